//! Puts the new programs in the place of the old ones, wherever these are attached.
//!
//! Nothing is attached anew and nothing moves: that is [`Datapath::attach`]'s, when the interfaces are known. Links are
//! found through their pins, also in the namespace of a sandbox that is gone but not dead; filters only in this one. A
//! filter elsewhere goes on with the old maps until its namespace ends, as it would after any other restart.

use crate::datapath::{
    attach::{self, AttachError, Hook},
    loader::Datapath,
};

impl Datapath {
    /// Replaces the program of every hook of this gateway. Returns how many there were.
    pub(super) fn switch(&mut self) -> Result<usize, AttachError> {
        let mut switched = 0;
        for hook in Hook::ALL {
            switched += usize::from(attach::replace_link(&mut self.ebpf, &self.paths, hook)?);
            super::failpoint::at(hook.name());
        }
        for (hook, ifindex, name, _) in attach::filters(&self.paths)? {
            match attach::replace_filter(&mut self.ebpf, hook, ifindex, &name) {
                Ok(()) => switched += 1,
                // Its interface went in this moment, and the filter with it.
                Err(error) if error.is_interface_gone() => {}
                Err(error) => return Err(error),
            }
            super::failpoint::at(hook.name());
        }
        Ok(switched)
    }
}
