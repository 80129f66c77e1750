//! `cargo xtask demo`: natgw between a client and a server, killed and restarted, as one table; with `--cluster` on a real
//! API server.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{apiserver, bpftool, build, cargo, setup, system, workspace::Workspace};

/// Options of `cargo xtask demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the result as JSON: nothing else is written to standard output.
    #[arg(long)]
    json: bool,
    /// Take the rules from etcd and an API server, built once if they are not there, and reboot the node too.
    #[arg(long)]
    cluster: bool,
    #[command(flatten)]
    setup: setup::Consent,
    /// Arguments for natgw-demo.
    #[arg(last = true)]
    rest: Vec<String>,
}

fn command(workspace: &Workspace) -> Result<Command> {
    let mut command = cargo::same(workspace.root());
    command.args(["run", "--locked", "--quiet", "--package", "natgw-tests", "--bin", "natgw-demo", "--"]);
    command.env("PATH", bpftool::path(workspace)?);
    Ok(command)
}

fn on_cluster(workspace: &Workspace) -> Result<Command> {
    let mut command = command(workspace)?;
    command.arg("--cluster").env(apiserver::VARIABLE, apiserver::provide(workspace)?.dir());
    Ok(command)
}

/// Runs the demos of what was built already.
///
/// # Errors
/// A check of one did not hold.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    println!("\n== demo --json");
    let output =
        command(workspace)?.arg("--json").stderr(Stdio::inherit()).output().context("cannot run natgw-demo")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    println!("{printed}");
    ensure!(!printed.trim().is_empty(), "natgw-demo printed nothing and ended with {}", output.status);
    let checks = checks_that_hold(&printed)?;
    ensure!(output.status.success(), "natgw-demo says ok and ended with {}", output.status);
    println!("{checks} checks hold");
    println!("\n== demo --cluster");
    cargo::run(&mut on_cluster(workspace)?)
}

/// How many checks the JSON of the demo has.
///
/// # Errors
/// It is none, or a check did not hold, or there is none.
fn checks_that_hold(printed: &str) -> Result<usize> {
    let report: Value = serde_json::from_str(printed).context("what natgw-demo printed is not JSON")?;
    let checks = report["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let failed = checks.iter().filter(|check| check["ok"] != true).map(|check| check["name"].to_string());
    let failed: Vec<_> = failed.collect();
    ensure!(failed.is_empty(), "the demo failed: {}", failed.join(", "));
    ensure!(report["ok"] == true && !checks.is_empty(), "the demo did not run to its end");
    Ok(checks.len())
}

/// Builds and runs natgw-demo; its exit code is ours.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    system::require_root("demo", "it makes namespaces and loads programs")?;
    setup::run(workspace, args.setup)?;
    build::run(workspace, &build::Args::default())?;
    let mut command = if args.cluster { on_cluster(workspace)? } else { command(workspace)? };
    if args.json {
        command.arg("--json");
    }
    let status = command.args(&args.rest).status().context("cannot run natgw-demo")?;
    // Killed by a signal: no code.
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_counts_only_with_checks_that_all_hold() {
        let good = r#"{"ok":true,"checks":[{"name":"SNAT","ok":true,"detail":""}],"restart":null}"#;
        assert_eq!(checks_that_hold(good).unwrap(), 1);
        for (printed, expected) in [
            ("", "not JSON"),
            ("{}", "did not run to its end"),
            (r#"{"ok":true,"checks":[]}"#, "did not run to its end"),
            (r#"{"ok":false,"checks":[{"name":"SNAT","ok":true}]}"#, "did not run to its end"),
            (r#"{"ok":true,"checks":[{"name":"SNAT","ok":false}]}"#, "\"SNAT\""),
        ] {
            let error = checks_that_hold(printed).expect_err(printed).to_string();
            assert!(error.contains(expected), "{printed}: {error}");
        }
    }
}
