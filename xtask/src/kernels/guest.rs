//! One virtual machine that boots, runs tests and ends.
//!
//! Its first serial port is the kernel's console, kept in a file; the second is what the tests print, and then one line
//! that says how they ended. A guest that does not get to that line has failed.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    fetch::Image,
    recipe::{SLOWNESS, Suite},
};
use crate::{
    cargo,
    libtest::{Counts, Reader},
    test,
    workspace::Workspace,
};

/// The name of this machine's files.
pub(crate) const HOST_TAG: &str = "host";
/// Seconds after which a guest is killed. Five minutes are usual, fifteen on a busy machine.
const BOUND: &str = "1800";
/// What `timeout` exits with when it had to end the command.
const TIMED_OUT: i32 = 124;
/// How many lines of the console are shown.
const TAIL: usize = 30;
/// How the last line begins; the exit code follows.
const ENDED: &str = "natgw-guest: ended with ";

/// The script that runs the tests and ends the guest.
pub(crate) fn tests(suites: &[(&Suite, PathBuf)], more: &[String]) -> String {
    let mut text = format!(
        "exec >/dev/ttyS1 2>&1 </dev/null
stty -F /dev/ttyS1 raw
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/run/tmp NATGW_TEST_SLOWNESS={SLOWNESS}
ip link set lo up
code=0
"
    );
    for (suite, binary) in suites {
        let arguments = suite.filters.iter().copied().chain(more.iter().map(String::as_str));
        let arguments: Vec<_> = arguments.map(quoted).collect();
        let binary = quoted(&binary.display().to_string());
        let arguments = arguments.join(" ");
        let options = "--show-output --format=pretty --color=never --test-threads=1";
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{binary} {options} {arguments} || code=$?");
    }
    text + &format!("echo '{ENDED}'$code\nbusybox poweroff -f\n")
}

/// A word for sh.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The exit code in the last line of a guest.
fn ended(line: &str) -> Option<i32> {
    line.strip_prefix(ENDED)?.trim().parse().ok()
}

/// Boots `image` and counts what its tests print.
pub(crate) fn run(workspace: &Workspace, image: &Image, initramfs: &Path, dir: &Path) -> Result<Counts> {
    ensure!(env::consts::ARCH == "x86_64", "the kernels are built for x86-64");
    let console = dir.join("console.log");
    let mut command = qemu(workspace, image, initramfs, &console);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run timeout")?;
    let output = child.stdout.take().context("the guest has an output")?;
    let mut reader = Reader::new();
    let mut code = None;
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read what the guest prints")?;
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches('\r');
        match ended(line) {
            Some(ended) => code = Some(ended),
            None => test::show(&mut reader, line),
        }
    }
    let status = child.wait().context("cannot wait for qemu")?;
    if code.is_none() {
        eprintln!("the end of {}:", workspace.display(&console));
        eprintln!("{}", tail(&String::from_utf8_lossy(&fs::read(&console).unwrap_or_default())));
        if status.code() == Some(TIMED_OUT) {
            eprintln!("the guest was killed: it had not ended after {BOUND} s");
        } else if !status.success() {
            bail!("qemu failed: {status}");
        } else {
            eprintln!("the guest ended before its tests did");
        }
    }
    Ok(reader.finish(code == Some(0)))
}

/// Without KVM, which machines in a cloud do not offer. `timeout` and not a thread: it ends the guest also when xtask was
/// killed.
fn qemu(workspace: &Workspace, image: &Image, initramfs: &Path, console: &Path) -> Command {
    let mut command = cargo::command("timeout", workspace.root());
    command.args(["--kill-after=5", BOUND, "qemu-system-x86_64", "-nodefaults", "-no-reboot", "-display", "none"]);
    command.args(["-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "2", "-m", "3G"]);
    command.arg("-kernel").arg(&image.vmlinuz).arg("-initrd").arg(initramfs);
    command.args(["-append", "console=ttyS0 panic=-1 quiet loglevel=4 mitigations=off"]);
    command.arg("-serial").arg(format!("file:{}", console.display())).args(["-serial", "stdio", "-monitor", "none"]);
    command.args(["-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"]);
    command.args(["-device", &format!("virtio-9p-pci,fsdev=host,mount_tag={HOST_TAG}")]);
    command
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_of_the_script_ends_a_guest() {
        assert_eq!(ended("natgw-guest: ended with 0"), Some(0));
        assert_eq!(ended("natgw-guest: ended with 101\r"), Some(101));
        assert_eq!(ended("natgw-guest: ended with "), None);
        assert_eq!(ended("echo 'natgw-guest: ended with 0'"), None);
        assert_eq!(ended("test result: ok. 1 passed; 0 failed; 0 ignored"), None);
    }

    #[test]
    fn the_script_runs_every_suite_with_its_filters_and_keeps_a_failure() {
        let suite = Suite { target: "netns", filters: &["kernels::"] };
        let text = tests(&[(&suite, "/t/it's".into())], &["--nocapture".to_owned()]);
        assert!(text.contains(r"'/t/it'\''s' --show-output"), "{text}");
        assert!(text.contains("--test-threads=1 'kernels::' '--nocapture' || code=$?\n"), "{text}");
        assert!(text.ends_with("echo 'natgw-guest: ended with '$code\nbusybox poweroff -f\n"), "{text}");
    }

    #[test]
    fn the_end_of_a_console_is_what_is_shown() {
        let text = (0..100).map(|n| n.to_string()).collect::<Vec<_>>().join("\n");
        assert!(tail(&text).starts_with("70\n") && tail(&text).ends_with("\n99"));
        assert_eq!(tail("one"), "one");
    }
}
