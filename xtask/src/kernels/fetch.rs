//! A kernel of Debian in the cache: `boot/vmlinuz-<release>` and `lib/modules/<release>`, unpacked and not installed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use super::recipe::{self, DROPPED, KEPT, Kernel};
use crate::{
    archive::{self, Archive},
    cache, cargo, system,
    workspace::Workspace,
};

/// An unpacked kernel.
#[derive(Debug)]
pub(crate) struct Image {
    /// What `uname -r` says.
    pub(crate) release: String,
    pub(crate) vmlinuz: PathBuf,
    /// `lib/modules/<release>`.
    pub(crate) modules: PathBuf,
}

impl Image {
    /// The one in `dir`.
    fn in_dir(dir: &Path) -> Result<Self> {
        let vmlinuz = archive::only_file(&dir.join("boot"), "vmlinuz-", "")?;
        let name = vmlinuz.file_name().unwrap_or_default().to_string_lossy();
        let release = name.trim_start_matches("vmlinuz-").to_owned();
        let modules = dir.join("lib/modules").join(&release);
        ensure!(modules.join("modules.dep").is_file(), "{} has no modules.dep", modules.display());
        Ok(Self { release, vmlinuz, modules })
    }
}

/// The kernel, fetched if it is not there. One that is there is used for ever: remove its directory for a newer one.
pub(crate) fn provide(workspace: &Workspace, kernel: &Kernel) -> Result<Image> {
    let slot = cache::slot("kernels", &kernel.id(), "kernels for the tests")?;
    if let Ok(image) = Image::in_dir(slot.dir()) {
        return Ok(image);
    }
    let lock = slot.lock()?;
    if let Ok(image) = Image::in_dir(slot.dir()) {
        return Ok(image);
    }
    let scratch = slot.scratch()?;
    let archive = Archive::open(workspace, scratch.dir().join("apt"), recipe::WANTED)?;
    let known = archive.show("linux-image-amd64")?;
    let package = recipe::package(&known, kernel.series)
        .with_context(|| format!("Debian's archive has no kernel {} any more", kernel.series))?;
    archive.binaries(&[package], scratch.dir())?;
    let deb = archive::only_file(scratch.dir(), "linux-image-", ".deb")?;
    let (all, out) = (scratch.dir().join("all"), scratch.dir().join("out"));
    cargo::run(cargo::command("dpkg-deb", workspace.root()).arg("--extract").arg(&deb).arg(&all))?;
    keep(&all, &out)?;
    let release = package.trim_start_matches("linux-image-");
    // Debian makes modules.dep at installation.
    let depmod = system::find_program("depmod").context("there is no program `depmod`")?;
    cargo::run(cargo::command(depmod, workspace.root()).arg("-b").arg(&out).arg(release))?;
    slot.fill(&out)?;
    drop((scratch, lock));
    Image::in_dir(slot.dir())
}

/// Moves what the tests can need from `all` to `out`.
fn keep(all: &Path, out: &Path) -> Result<()> {
    let vmlinuz = archive::only_file(&all.join("boot"), "vmlinuz-", "")?;
    let name = vmlinuz.file_name().unwrap_or_default().to_string_lossy().into_owned();
    move_to(&vmlinuz, &out.join("boot").join(&name))?;
    let tree = Path::new("lib/modules").join(name.trim_start_matches("vmlinuz-"));
    for list in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
        move_to(&all.join(&tree).join(list), &out.join(&tree).join(list))?;
    }
    let tree = tree.join("kernel");
    for dir in DROPPED.map(|dir| all.join(&tree).join(dir)).iter().filter(|dir| dir.exists()) {
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    for dir in KEPT.iter().filter(|dir| all.join(&tree).join(dir).exists()) {
        move_to(&all.join(&tree).join(dir), &out.join(&tree).join(dir))?;
    }
    Ok(())
}

fn move_to(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().context("a file has a directory")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    fs::rename(from, to).with_context(|| format!("cannot move {}", from.display()))
}
