//! `cargo xtask demo`: natgw between a client and a server, killed and restarted, as one table; with `--cluster` on a real
//! API server.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

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
    println!("\n== demo");
    cargo::run(&mut command(workspace)?)?;
    println!("\n== demo --cluster");
    cargo::run(&mut on_cluster(workspace)?)
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
