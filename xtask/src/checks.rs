//! Checks of the tree itself that no compiler makes.

use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    cargo,
    toolchain::{self, OLDEST, Origin, Version},
    workspace::Workspace,
};

/// Home directories and build areas of single machines; none belongs into the repository.
const MACHINE_ROOTS: [&str; 4] = ["root", "home", "work", "Users"];

/// What a check found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It holds; the text says how that is known, if that is worth saying.
    Holds(String),
    /// It could not be found out here, and why.
    NotRun(String),
}

/// Cargo.lock is part of the commit and no build has changed it.
pub(crate) fn lock_file(workspace: &Workspace) -> Result<Finding> {
    let Some(tracked) = git(workspace, &["ls-files", "Cargo.lock"]) else {
        return Ok(Finding::NotRun("this is not a git checkout".to_owned()));
    };
    ensure!(!tracked.trim().is_empty(), "Cargo.lock is not committed: git add Cargo.lock");
    let changed = git(workspace, &["status", "--porcelain", "Cargo.lock"]).unwrap_or_default();
    ensure!(changed.trim().is_empty(), "Cargo.lock differs from the commit: commit it with the change that needs it");
    Ok(Finding::Holds("committed and unchanged".to_owned()))
}

/// No tracked file names a directory of somebody's machine.
pub(crate) fn machine_paths(workspace: &Workspace) -> Result<Finding> {
    if git(workspace, &["rev-parse", "--git-dir"]).is_none() {
        return Ok(Finding::NotRun("this is not a git checkout".to_owned()));
    }
    let mut command = cargo::command("git", workspace.root());
    let output = command.args(["grep", "-nIE", &machine_path_pattern()]).output().context("cannot run git")?;
    match output.status.code() {
        Some(1) => Ok(Finding::Holds(String::new())),
        Some(0) => bail!("paths of a machine in the tree:\n{}", String::from_utf8_lossy(&output.stdout).trim_end()),
        _ => bail!("git grep failed: {}", String::from_utf8_lossy(&output.stderr).trim_end()),
    }
}

/// A machine root at the start of a path: `natgw.io/home/x` is none.
fn machine_path_pattern() -> String {
    format!("(^|[^A-Za-z0-9_.*-])/({})/[A-Za-z0-9.]", MACHINE_ROOTS.join("|"))
}

/// The crates of user space compile with the stated `rust-version`: because that compiler runs us, or by a check with
/// it if rustup has it.
pub(crate) fn stated_rust_version(workspace: &Workspace) -> Result<Finding> {
    let found = toolchain::detect(workspace);
    let same = |version: Version| (version.major, version.minor) == (OLDEST.major, OLDEST.minor);
    let Some(oldest) = found.iter().find(|toolchain| same(toolchain.version)) else {
        return Ok(Finding::NotRun(format!("no rustc {OLDEST} here: rustup toolchain install {OLDEST}")));
    };
    if oldest.origin == Origin::Active {
        return Ok(Finding::Holds(format!("rustc {} runs all of this", oldest.version)));
    }
    let mut command = cargo::command(oldest.cargo(), workspace.root());
    command
        .env("RUSTC", oldest.rustc())
        .args(["check", "--locked", "--quiet", "--workspace", "--all-targets", "--target-dir"])
        .arg(workspace.root().join("target/oldest"));
    cargo::run(&mut command).with_context(|| format!("rust-version {OLDEST} is stated but does not compile"))?;
    Ok(Finding::Holds(format!("cargo check with rustc {}", oldest.version)))
}

/// What git prints, or nothing outside of a checkout or without git.
fn git(workspace: &Workspace, args: &[&str]) -> Option<String> {
    let mut command: Command = cargo::command("git", workspace.root());
    cargo::probe(command.args(args))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the pattern as git does, over one line.
    fn is_machine_path(line: &str) -> bool {
        let mut command = Command::new("sh");
        command.args(["-c", "printf '%s\\n' \"$1\" | grep -qE \"$2\"", "sh", line, &machine_path_pattern()]);
        command.status().expect("sh runs").success()
    }

    #[test]
    fn directories_of_a_machine_are_found() {
        for root in MACHINE_ROOTS {
            assert!(is_machine_path(&format!("see /{root}/x")), "{root} at a word");
            assert!(is_machine_path(&format!("/{root}/x")), "{root} at the start");
            assert!(is_machine_path(&format!("\"/{root}/.cargo\"")), "{root} in quotes");
        }
    }

    #[test]
    fn other_paths_are_left_alone() {
        for line in ["/sys/fs/bpf", "https://example.com/home/x", "target/work/x", "root/x", "/usr/lib"] {
            assert!(!is_machine_path(line), "{line}");
        }
    }
}
