//! Running the tools of the machine (`ip`, `bpftool`, `ethtool`) with an error that shows what they said.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

/// Runs `program` in the calling thread's namespace.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn output(program: &str, args: &[&str]) -> Output {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot start `{program}`: {error} (the test layers need it installed)"))
}

/// Runs `program` and returns what it printed.
///
/// # Panics
/// When it cannot be started or fails.
pub fn run(program: &str, args: &[&str]) -> String {
    let output = output(program, args);
    assert!(
        output.status.success(),
        "`{program} {}` failed ({}): {}{}",
        args.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Feeds `lines` to `ip -batch`, in the namespace `netns` or, without one, in the calling thread's.
///
/// # Panics
/// When one of the lines fails.
pub fn ip_batch(netns: Option<&str>, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let mut command = Command::new("ip");
    if let Some(name) = netns {
        command.args(["-n", name]);
    }
    let mut child = command
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("iproute2 is installed");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all((lines.join("\n") + "\n").as_bytes()).expect("`ip -batch` reads its standard input");
    drop(stdin);
    let output = child.wait_with_output().expect("`ip -batch` ends");
    assert!(
        output.status.success(),
        "`ip -batch` in {netns:?} failed: {}\n{}",
        String::from_utf8_lossy(&output.stderr),
        lines.join("\n"),
    );
}
