//! One virtual machine that boots, runs tests and ends.
//!
//! Its first serial port is the kernel's console, kept in a file; the second is what the tests print, and then one line
//! that says how they ended. A guest that does not get to that line has failed.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::{fetch::Image, recipe::SLOWNESS, suite::Chosen};
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
/// What `timeout` exits with when it had to end the command, by SIGTERM or by SIGKILL.
const TIMED_OUT: [i32; 2] = [124, 137];
/// How many lines of the console are shown.
const TAIL: usize = 30;
/// How the last line begins; the exit code follows.
const ENDED: &str = "natgw-guest: ended with ";

/// The script that runs the tests and ends the guest.
pub(crate) fn tests(suites: &[Chosen], tools: &Path) -> String {
    let tools = quoted(&tools.display().to_string());
    let mut text = format!(
        "exec >/dev/ttyS1 2>&1 </dev/null
stty -F /dev/ttyS1 raw
export PATH={tools}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/run/tmp NATGW_TEST_SLOWNESS={SLOWNESS}
ip link set lo up
code=0
"
    );
    for chosen in suites {
        let binary = quoted(&chosen.binary.display().to_string());
        let arguments: Vec<_> = chosen.options.iter().chain(&chosen.tests).map(|word| quoted(word)).collect();
        let arguments = arguments.join(" ");
        let options = "--show-output --format=pretty --color=never --test-threads=1 --exact";
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
        match status.code() {
            Some(0) => eprintln!("the guest ended before its tests did"),
            Some(code) if TIMED_OUT.contains(&code) => {
                eprintln!("the guest was killed: it had not ended after {BOUND} s");
            }
            _ => eprintln!("qemu failed: {status}"),
        }
    }
    Ok(strict(&reader.finish(code == Some(0))))
}

/// A guest is booted for what only it can show: a test that finds it cannot run there has failed.
fn strict(counts: &Counts) -> Counts {
    if counts.skipped > 0 {
        eprintln!("FAILED: {} skipped on a kernel that was booted for it", counts.skipped);
    }
    Counts { failed: counts.failed + counts.skipped, skipped: 0, passed: counts.passed }
}

/// Without KVM, which machines in a cloud do not offer. `timeout` and not a thread: it ends the guest also when xtask was
/// killed; in the foreground, so that Ctrl-C reaches it and qemu.
fn qemu(workspace: &Workspace, image: &Image, initramfs: &Path, console: &Path) -> Command {
    let mut command = cargo::command("timeout", workspace.root());
    command.args([
        "--foreground",
        "--kill-after=5",
        BOUND,
        "qemu-system-x86_64",
        "-nodefaults",
        "-no-reboot",
        "-display",
        "none",
    ]);
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
    fn the_script_runs_the_chosen_tests_and_keeps_a_failure() {
        let chosen = Chosen {
            binary: "/t/it's".into(),
            options: vec!["--nocapture".to_owned()],
            tests: vec!["a::b".to_owned()],
        };
        let text = tests(&[chosen], Path::new("/the tools"));
        assert!(text.contains("export PATH='/the tools':/usr/local/sbin:"), "{text}");
        assert!(text.contains(r"'/t/it'\''s' --show-output"), "{text}");
        assert!(text.contains("--test-threads=1 --exact '--nocapture' 'a::b' || code=$?\n"), "{text}");
        assert!(text.ends_with("echo 'natgw-guest: ended with '$code\nbusybox poweroff -f\n"), "{text}");
    }

    #[test]
    fn a_skipped_test_has_failed() {
        let counts = strict(&Counts { passed: 3, failed: 1, skipped: 2 });
        assert_eq!(counts, Counts { passed: 3, failed: 3, skipped: 0 });
    }

    #[test]
    fn the_end_of_a_console_is_what_is_shown() {
        let text = (0..100).map(|n| n.to_string()).collect::<Vec<_>>().join("\n");
        assert!(tail(&text).starts_with("70\n") && tail(&text).ends_with("\n99"));
        assert_eq!(tail("one"), "one");
    }
}
