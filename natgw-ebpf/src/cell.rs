//! A session inside its map.

use natgw_common::{
    abi::Session,
    nat::{Fixed, SessionCell},
};

use crate::atomics::{load, swap};

/// A pointer that a look-up in `SESSIONS` returned; valid until the program ends.
#[derive(Clone, Copy)]
pub(crate) struct Cell(pub(crate) *mut Session);

impl SessionCell for Cell {
    #[inline(always)]
    fn last_seen_ns(self) -> u64 {
        // SAFETY: a map value, alive while the program runs; the field is 8-aligned (abi::layout).
        unsafe { load(&raw const (*self.0).last_seen_ns) }
    }

    #[inline(always)]
    fn swap_last_seen(self, old: u64, new: u64) -> bool {
        // SAFETY: as above.
        unsafe { swap(&raw mut (*self.0).last_seen_ns, old, new) }
    }

    #[inline(always)]
    fn created_ns(self) -> u64 {
        // SAFETY: as above.
        unsafe { load(&raw const (*self.0).created_ns) }
    }

    #[inline(always)]
    fn state(self) -> u32 {
        // SAFETY: as above, 4-aligned.
        unsafe { load(&raw const (*self.0).state) }
    }

    #[inline(always)]
    fn swap_state(self, old: u32, new: u32) -> bool {
        // SAFETY: as above.
        unsafe { swap(&raw mut (*self.0).state, old, new) }
    }

    #[inline(always)]
    fn fixed(self) -> Fixed {
        // SAFETY: as above; these fields are written once, before the entry is reachable.
        unsafe {
            let session = &*self.0;
            Fixed {
                int_addr: session.int_addr,
                peer_addr: session.peer_addr,
                int_port: session.int_port,
                peer_port: session.peer_port,
                origin: session.origin,
            }
        }
    }

    #[inline(always)]
    fn tag(self) -> u32 {
        // SAFETY: as above. Volatile, like the barrier-free loads before it on a TSO machine: read last.
        unsafe { load(&raw const (*self.0).tag) }
    }
}
