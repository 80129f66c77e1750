//! Other kernels for the layer that needs them: Debian's own, in an emulated machine that has this machine's files.
//!
//! No disk image is made: the guest mounts `/` of the host read-only and writes into memory, so tests, natgw and every
//! tool are those of the host, and only the kernel differs. Emulation is slow, but needs no KVM.

mod guest;
mod image;
mod modules;

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::{apiserver::cache, system, workspace::Workspace};

pub(crate) use self::guest::command;

/// Debian 12's kernel: 6.1, the last long-term one without TCX, and with the VLAN module that minimal kernels lack.
pub(crate) const PACKAGE: &str = "linux-image-amd64";
/// The release that the package comes from.
const CODENAME: &str = "bookworm";
/// Counted up when what is kept of the packages changes.
const REVISION: &str = "1";

/// An unpacked kernel.
#[derive(Debug)]
pub(crate) struct Kernel {
    dir: std::path::PathBuf,
    /// `uname -r`.
    release: String,
}

impl Kernel {
    fn in_dir(dir: &Path) -> Result<Self> {
        let release = image::release(dir)?;
        Ok(Self { dir: dir.to_owned(), release })
    }
}

/// The kernel, fetched if it has to be.
pub(crate) fn provide(workspace: &Workspace) -> Result<Kernel> {
    let slot = cache::slot("kernels", &format!("{CODENAME}-{REVISION}"))?;
    if let Ok(kernel) = Kernel::in_dir(slot.dir()) {
        return Ok(kernel);
    }
    let lock = slot.lock("fetches the kernel for the tests")?;
    // Another process may have fetched it while this one waited.
    if let Ok(kernel) = Kernel::in_dir(slot.dir()) {
        return Ok(kernel);
    }
    image::fetch(workspace, &slot).with_context(|| {
        let os = system::os_release();
        let os = os.value("PRETTY_NAME");
        format!("the kernel for the tests cannot be had: it comes from Debian {CODENAME}, and this is `{os}`")
    })?;
    drop(lock);
    Kernel::in_dir(slot.dir())
}
