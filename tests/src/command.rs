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
#[expect(clippy::must_use_candidate, reason = "often run for its effect")]
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

/// Runs `program` with `input` as its standard input.
///
/// # Panics
/// When it cannot be started or fails.
pub fn feed(program: &str, args: &[&str], input: &str) {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start `{program}`: {error} (the test layers need it installed)"));
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // A program that fails early closes its input; its message is shown below.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("a child can be waited for");
    assert!(
        output.status.success(),
        "`{program} {}` failed: {}\n{input}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr),
    );
}

/// Feeds `lines` to `ip -batch`, in the namespace `netns` or, without one, in the calling thread's.
///
/// # Panics
/// When one of the lines fails.
pub fn ip_batch(netns: Option<&str>, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let input = lines.join("\n") + "\n";
    match netns {
        Some(name) => feed("ip", &["-n", name, "-batch", "-"], &input),
        None => feed("ip", &["-batch", "-"], &input),
    }
}
