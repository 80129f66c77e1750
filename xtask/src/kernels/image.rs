//! A kernel's packages, fetched and reduced to what a guest needs: the image, the modules and a static busybox.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use super::PACKAGE;
use crate::{
    apiserver::{
        archive::{Archive, only_file},
        cache::Slot,
    },
    cargo, progress,
    workspace::Workspace,
};

/// Modules are kept below these directories: file systems, network, virtual devices. The rest is 300 MB of drivers.
const KEPT: [&str; 7] =
    ["net", "fs", "lib", "crypto", "drivers/virtio", "drivers/net/veth.ko", "drivers/net/macvlan.ko"];
/// A shell for the first moments of the guest, which has no file system yet.
const BUSYBOX: &str = "busybox-static";

/// Where the image of `release` is, below the kernel's directory.
pub(super) fn vmlinuz(dir: &Path, release: &str) -> PathBuf {
    dir.join(format!("boot/vmlinuz-{release}"))
}

/// The busybox, below the kernel's directory.
pub(super) fn busybox(dir: &Path) -> PathBuf {
    dir.join("bin/busybox")
}

/// What the kernel in `dir` calls itself.
pub(super) fn release(dir: &Path) -> Result<String> {
    let image = only_file(&dir.join("boot"), "vmlinuz-", "")?;
    let name = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(name.trim_start_matches("vmlinuz-").to_owned())
}

/// Fills the slot, whose lock the caller holds.
pub(super) fn fetch(workspace: &Workspace, slot: &Slot) -> Result<()> {
    let scratch = slot.scratch()?;
    let (fetched, whole, out) = (scratch.dir().join("fetched"), scratch.dir().join("whole"), scratch.dir().join("out"));
    for dir in [&fetched, &whole, &out] {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    let archive = Archive::open(workspace, scratch.dir().join("apt"))?;
    let image = archive.dependency(PACKAGE, "linux-image-")?;
    archive.binaries(&[&image, BUSYBOX], &fetched)?;
    for package in [image.as_str(), BUSYBOX] {
        let file = only_file(&fetched, &format!("{package}_"), ".deb")?;
        let mut extract = cargo::command("dpkg-deb", workspace.root());
        progress::run(&format!("unpacking {package}"), extract.arg("--extract").arg(file).arg(&whole), |_| None)?;
    }
    let release = release(&whole)?;
    keep(&whole, &out, "boot", &format!("vmlinuz-{release}"))?;
    keep(&whole, &out, "bin", "busybox")?;
    let modules = format!("lib/modules/{release}");
    for file in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
        keep(&whole, &out, &modules, file)?;
    }
    for kept in KEPT {
        let (parent, name) = kept.rsplit_once('/').unwrap_or(("", kept));
        keep(&whole, &out, &format!("{modules}/kernel/{parent}"), name)?;
    }
    let mut depmod = cargo::command("depmod", workspace.root());
    cargo::run(depmod.arg("--basedir").arg(&out).arg(&release))?;
    slot.fill(&out)
}

/// Moves `dir/name` from one tree to the other.
fn keep(from: &Path, to: &Path, dir: &str, name: &str) -> Result<()> {
    let (source, target) = (from.join(dir).join(name), to.join(dir));
    ensure!(source.exists(), "the package has no {dir}/{name}");
    fs::create_dir_all(&target).with_context(|| format!("cannot create {}", target.display()))?;
    fs::rename(&source, target.join(name)).with_context(|| format!("cannot move {}", source.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_known_by_its_image_and_a_directory_without_one_is_none() {
        let dir = std::env::temp_dir().join(format!("natgw-xtask-kernel-{}", std::process::id()));
        fs::create_dir_all(dir.join("boot")).unwrap();
        assert!(release(&dir).is_err());
        fs::write(dir.join("boot/vmlinuz-6.1.0-1-amd64"), "").unwrap();
        assert_eq!(release(&dir).unwrap(), "6.1.0-1-amd64");
        fs::remove_dir_all(&dir).unwrap();
    }
}
