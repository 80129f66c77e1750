//! What the user sees while a long child process runs: on a terminal its latest line, elsewhere nothing; and when it
//! fails, the end of what it said.
//!
//! Everything goes to standard error: standard output belongs to results (`demo --json`).

use std::{
    collections::VecDeque,
    io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};

/// How much of a failed command is shown.
const TAIL: usize = 40;
/// Longer lines would wrap and could not be erased.
const WIDTH: usize = 70;

/// Runs `command`, with its output reduced to progress, and ends with a line that says how long `label` took.
/// Each output line is also given to `each`, whose answer, if any, is printed to stay.
pub(crate) fn run(label: &str, command: &mut Command, mut each: impl FnMut(&str) -> Option<String>) -> Result<()> {
    let started = Instant::now();
    let terminal = io::stderr().is_terminal();
    eprintln!("{label} ...");
    // One pipe for both streams keeps their order.
    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(writer.try_clone().context("cannot copy a pipe")?).stderr(writer);
    let mut child = command.spawn().with_context(|| format!("cannot run {name}"))?;
    // The command keeps the write end open; without this the reader would never see its end.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let mut tail = VecDeque::with_capacity(TAIL);
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.with_context(|| format!("cannot read what {name} says"))?;
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if terminal {
            let shown: String = line.trim_start().chars().filter(|c| !c.is_control()).take(WIDTH).collect();
            eprint!("\r\x1b[2K  {shown}");
            // Progress that cannot be shown is not worth failing for.
            let _ = io::stderr().flush();
        }
        if let Some(kept) = each(&line) {
            erase(terminal);
            eprintln!("{kept}");
        }
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(line);
    }
    erase(terminal);
    let status = child.wait().with_context(|| format!("cannot wait for {name}"))?;
    if !status.success() {
        for line in &tail {
            eprintln!("  | {line}");
        }
        let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
        bail!("{label}: `{name} {}` failed: {status}", args.join(" "));
    }
    eprintln!("{label}: done in {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn erase(terminal: bool) {
    if terminal {
        eprint!("\r\x1b[2K");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_both_streams_is_offered() {
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; printf three"]);
        run("counting", &mut command, |line| {
            lines.push(line.to_owned());
            None
        })
        .expect("sh works");
        assert_eq!(lines, ["one", "two", "three"]);
    }

    #[test]
    fn a_failure_names_the_command() {
        let error = run("failing", Command::new("sh").args(["-c", "exit 3"]), |_| None).expect_err("it exits with 3");
        assert!(error.to_string().contains("`sh -c exit 3`"), "{error}");
    }
}
