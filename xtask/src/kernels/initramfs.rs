//! What the kernel starts from: busybox, a few modules, and a script that makes this machine's files the guest's root.
//!
//! The guest reads them over virtio-9p, read-only; what it writes goes to an overlay in its memory. So nothing is
//! installed in an image, and binaries run as they were built.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};

use super::{fetch::Image, guest, modules, recipe::MODULES};
use crate::{cargo, system, workspace::Workspace};

/// Packs it into `dir`, with `tests` as the script that runs in the end.
pub(crate) fn pack(workspace: &Workspace, image: &Image, tests: &str, dir: &Path) -> Result<PathBuf> {
    let tree = dir.join("initramfs");
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display()))?;
    }
    for sub in ["bin", "modules", "proc", "sys", "dev", "host", "memory", "new"] {
        fs::create_dir_all(tree.join(sub)).with_context(|| format!("cannot create {}", tree.display()))?;
    }
    let busybox = system::find_program("busybox").context("there is no program `busybox`")?;
    fs::copy(&busybox, tree.join("bin/busybox")).context("cannot copy busybox")?;
    let read = |name: &str| fs::read_to_string(image.modules.join(name)).with_context(|| format!("cannot read {name}"));
    let (dep, builtin) = (read("modules.dep")?, read("modules.builtin")?);
    let files = modules::resolve(&dep, &builtin, &MODULES)?;
    let mut names = Vec::new();
    for file in files {
        let name = modules::name(file);
        let bytes = uncompressed(workspace, &image.modules.join(file))?;
        fs::write(tree.join("modules").join(&name), bytes).with_context(|| format!("cannot write {name}"))?;
        names.push(name);
    }
    fs::write(tree.join("tests"), tests).context("cannot write the script")?;
    let init = tree.join("init");
    fs::write(&init, script(&names, image)).context("cannot write the script")?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).context("cannot make the script executable")?;
    let packed = dir.join("initramfs.cpio");
    let mut cpio = cargo::command("sh", &tree);
    cpio.args(["-c", "find . | cpio --create --format=newc --quiet > ../initramfs.cpio"]);
    cargo::run(&mut cpio)?;
    Ok(packed)
}

/// A module; newer kernels of Debian have them compressed, which busybox' insmod does not know.
fn uncompressed(workspace: &Workspace, file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    }
    let mut xzcat = cargo::command("busybox", workspace.root());
    let output = xzcat.arg("xzcat").arg(file).stderr(Stdio::inherit()).output().context("cannot run busybox")?;
    ensure!(output.status.success(), "cannot decompress {}", file.display());
    Ok(output.stdout)
}

/// The first process. When it fails the kernel panics, and the guest ends.
///
/// `switch_root` and not `chroot`: the kernel starts modprobe in the root of the first process.
fn script(modules: &[String], image: &Image) -> String {
    let (release, tag) = (&image.release, guest::HOST_TAG);
    let own_modules = image.modules.display();
    format!(
        "#!/bin/busybox sh
set -e
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs devtmpfs /dev
for module in {modules}; do $b insmod /modules/$module; done
$b mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000,cache=loose {tag} /host
$b mount -t tmpfs tmpfs /memory
$b mkdir /memory/upper /memory/work
$b mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work overlay /new
for dir in proc sys dev; do $b mount --move /$dir /new/$dir; done
$b mkdir -p /new/lib/modules/{release}
$b mount -o bind '/new{own_modules}' /new/lib/modules/{release}
$b mount -t tmpfs tmpfs /new/run
$b mkdir /new/run/tmp
$b mount -t bpf bpf /new/sys/fs/bpf
$b cp /tests /new/run/tests
exec $b switch_root /new /bin/sh /run/tests
",
        modules = modules.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_loads_the_modules_in_their_order_and_binds_those_of_the_kernel() {
        let image =
            Image { release: "6.1.0".to_owned(), vmlinuz: PathBuf::new(), modules: "/c/lib/modules/6.1.0".into() };
        let text = script(&["netfs".to_owned(), "9p".to_owned()], &image);
        assert!(text.contains("for module in netfs 9p;"), "{text}");
        assert!(text.contains("mount -o bind '/new/c/lib/modules/6.1.0' /new/lib/modules/6.1.0\n"), "{text}");
    }
}
