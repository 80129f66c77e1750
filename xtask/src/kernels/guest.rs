//! The emulated machine: an initial file system with a job in it, and the command that boots it.

use std::{
    fs::{self, Permissions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::{Kernel, image, modules};
use crate::{cargo, workspace::Workspace};

/// The guest's first process.
const INIT: &str = include_str!("init.sh");
/// A guest that runs longer hangs. Ten times what its tests take on two idle processors.
const LONGEST: &str = "900";
/// How much slower than the host an emulated machine may be before a test gives up waiting.
const SLOWER: &str = "6";

/// A command that boots the kernel, runs `program` with `args` in it as root, and prints what that prints. The kernel's
/// console goes to `target/kernels/console.log`.
pub(crate) fn command(workspace: &Workspace, kernel: &Kernel, program: &Path, args: &[String]) -> Result<Command> {
    let dir = workspace.root().join("target/kernels");
    let initrd = initrd(workspace, kernel, &dir, &job(workspace, program, args))?;
    let console = dir.join("console.log");
    eprintln!("booting Linux {} (its console: {})", kernel.release, console.display());
    let mut command = cargo::command("timeout", workspace.root());
    command.args(["--signal=KILL", LONGEST, "qemu-system-x86_64"]);
    command.args(["-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "2", "-m", "3072"]);
    command.args(["-no-reboot", "-display", "none", "-monitor", "none", "-nic", "none"]);
    command.arg("-kernel").arg(image::vmlinuz(&kernel.dir, &kernel.release)).arg("-initrd").arg(initrd);
    command.args(["-append", "console=ttyS0 quiet panic=-1"]);
    command.args(["-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"]);
    command.args(["-device", "virtio-9p-pci,fsdev=host,mount_tag=host"]);
    command.arg("-serial").arg(format!("file:{}", console.display())).args(["-serial", "stdio"]);
    Ok(command)
}

/// What the guest's shell runs.
fn job(workspace: &Workspace, program: &Path, args: &[String]) -> String {
    let quote = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let words: Vec<_> = [program.display().to_string()].iter().chain(args).map(|word| quote(word)).collect();
    format!(
        "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root\n\
         export NATGW_TEST_SLOWER={SLOWER}\n\
         ip link set lo up\n\
         cd {}\n\
         {}\n",
        quote(&workspace.root().join("tests").display().to_string()),
        words.join(" ")
    )
}

/// Packs the initial file system: busybox, the modules for the rest, `init` and the job.
fn initrd(workspace: &Workspace, kernel: &Kernel, dir: &Path, job: &str) -> Result<PathBuf> {
    let tree = dir.join("initrd");
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display()))?;
    }
    for sub in ["bin", "modules", "proc", "dev", "host", "memory", "root"] {
        fs::create_dir_all(tree.join(sub)).with_context(|| format!("cannot create {}/{sub}", tree.display()))?;
    }
    let all = kernel.dir.join("lib/modules");
    let modules = all.join(&kernel.release);
    let dep = fs::read_to_string(modules.join("modules.dep")).context("cannot read modules.dep")?;
    let mut order = String::new();
    for path in modules::order(&dep, &modules::NEEDED)? {
        let name = path.rsplit('/').next().unwrap_or(&path);
        fs::copy(modules.join(&path), tree.join("modules").join(name))
            .with_context(|| format!("cannot copy {path}"))?;
        order.push_str(name);
        order.push('\n');
    }
    fs::copy(image::busybox(&kernel.dir), tree.join("bin/busybox")).context("cannot copy busybox")?;
    for (name, text) in
        [("modules/order", &*order), ("modules/dir", &all.display().to_string()), ("job", job), ("init", INIT)]
    {
        fs::write(tree.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    fs::set_permissions(tree.join("init"), Permissions::from_mode(0o755)).context("cannot make init executable")?;
    pack(workspace, &tree, dir.join("initrd.cpio"))
}

/// The tree as a `newc` archive, which is what the kernel unpacks.
fn pack(workspace: &Workspace, tree: &Path, archive: PathBuf) -> Result<PathBuf> {
    let names =
        cargo::probe(cargo::command("find", workspace.root()).arg(tree).args(["-mindepth", "1", "-printf", "%P\\n"]))
            .context("cannot list the initial file system")?;
    let out = fs::File::create(&archive).with_context(|| format!("cannot create {}", archive.display()))?;
    let mut cpio = cargo::command("cpio", workspace.root());
    cpio.args(["--create", "--quiet", "--format=newc", "--owner=0:0"]).current_dir(tree);
    let mut child = cpio.stdin(Stdio::piped()).stdout(out).spawn().context("cannot run cpio")?;
    let written = child.stdin.take().context("cpio has no input")?.write_all(names.as_bytes());
    let status = child.wait().context("cannot wait for cpio")?;
    ensure!(status.success() && written.is_ok(), "cpio cannot pack {}: {status}", tree.display());
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_job_survive_the_guests_shell() {
        let workspace = Workspace::find().expect("the tests run in the workspace");
        let job = job(&workspace, Path::new("/a b/test"), &["it's".to_owned(), "$HOME".to_owned()]);
        let last = job.lines().last().expect("the job has lines");
        let output = Command::new("sh").args(["-c", &format!("printf '%s|' {last}")]).output().expect("sh runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "/a b/test|it's|$HOME|");
    }
}
