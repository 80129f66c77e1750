//! `cargo xtask lint`: everything that can be said about a change without running it.

use std::{env, ffi::OsString, path::Path};

use anyhow::{Context as _, Result, bail};

use crate::{
    build_ebpf, cargo,
    checks::{self, Finding},
    progress, setup, system,
    workspace::Workspace,
};

/// The release of cargo-deny that deny.toml is written for.
const DENY: &str = "0.20.2";

/// Options of `cargo xtask lint`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Install cargo-deny into target/tools when it is missing; it takes minutes, so nothing does that by itself.
    #[arg(long)]
    install_deny: bool,
    #[command(flatten)]
    setup: setup::Consent,
}

impl Args {
    /// For a caller that has already decided about installing.
    pub(crate) fn with(setup: setup::Consent) -> Self {
        Self { install_deny: false, setup }
    }
}

/// One check and how it went.
#[derive(Debug)]
struct Step {
    name: &'static str,
    result: Result<Finding>,
}

/// Runs every check, so that one run shows all there is to mend.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let steps = [
        Step { name: "format", result: format(workspace) },
        Step { name: "clippy", result: clippy(workspace) },
        Step { name: "clippy of the programs", result: clippy_of_programs(workspace, args) },
        Step { name: "documentation", result: documentation(workspace) },
        Step { name: "dependencies", result: dependencies(workspace, args) },
        Step { name: "rust-version", result: checks::stated_rust_version(workspace) },
        Step { name: "machine paths", result: checks::machine_paths(workspace) },
        // Last: a build above may have changed it.
        Step { name: "Cargo.lock", result: checks::lock_file(workspace) },
    ];
    println!();
    for step in &steps {
        println!("{}", row(step));
    }
    let failed: Vec<_> = steps.iter().filter(|step| step.result.is_err()).map(|step| step.name).collect();
    if !failed.is_empty() {
        bail!("lint failed: {}", failed.join(", "));
    }
    Ok(())
}

fn row(step: &Step) -> String {
    let (verdict, note) = match &step.result {
        Ok(Finding::Holds(how)) => ("ok", how.clone()),
        Ok(Finding::NotRun(why)) => ("not run", why.clone()),
        Err(error) => ("FAILED", format!("{error:#}")),
    };
    format!("{:<24} {verdict:<8} {note}", step.name).trim_end().to_owned()
}

fn holds() -> Finding {
    Finding::Holds(String::new())
}

fn format(workspace: &Workspace) -> Result<Finding> {
    cargo::run(cargo::same(workspace.root()).args(["fmt", "--all", "--check"])).context("run `cargo fmt`")?;
    Ok(holds())
}

fn clippy(workspace: &Workspace) -> Result<Finding> {
    let mut command = cargo::same(workspace.root());
    command.args(["clippy", "--locked", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    cargo::run(&mut command)?;
    Ok(holds())
}

/// The host's clippy sees an empty program in natgw-ebpf.
fn clippy_of_programs(workspace: &Workspace, args: &Args) -> Result<Finding> {
    let toolchain = setup::ensure(workspace, args.setup)?;
    if toolchain.has_clippy() {
        build_ebpf::clippy(workspace, &toolchain)?;
        return Ok(Finding::Holds(format!("rustc {}", toolchain.version)));
    }
    build_ebpf::build(workspace, &toolchain, &build_ebpf::Args::strict())?;
    Ok(Finding::NotRun(format!("{} has no clippy; the programs compile without warnings", toolchain.sysroot.display())))
}

/// natgw-ebpf is left out: for the host it is an empty program, whose page would overwrite that of `natgw`.
fn documentation(workspace: &Workspace) -> Result<Finding> {
    let mut command = cargo::same(workspace.root());
    command.env("RUSTDOCFLAGS", "-D warnings");
    command.args(["doc", "--locked", "--quiet", "--workspace", "--exclude", "natgw-ebpf", "--no-deps"]);
    cargo::run(&mut command)?;
    Ok(holds())
}

/// Licences, sources and duplicates by deny.toml.
fn dependencies(workspace: &Workspace, args: &Args) -> Result<Finding> {
    let own = workspace.tools().join("bin/cargo-deny");
    let deny = if own.is_file() { Some(own.clone()) } else { system::find_program("cargo-deny") };
    let deny = match deny {
        Some(deny) => deny,
        None if args.install_deny => {
            let mut command = cargo::same(workspace.root());
            command.args(["install", "cargo-deny", "--version", DENY, "--locked", "--root"]).arg(workspace.tools());
            progress::run(&format!("installing cargo-deny {DENY} (some minutes)"), &mut command, |_| None)?;
            own
        }
        None => {
            let why = "cargo-deny is not installed: cargo xtask lint --install-deny";
            return Ok(Finding::NotRun(why.to_owned()));
        }
    };
    // Advisories need a database from the network and change without a change here.
    let mut command = cargo::same(workspace.root());
    command.env("PATH", path_with(&deny)?);
    cargo::run(command.args(["deny", "--locked", "--log-level", "error", "check", "bans", "licenses", "sources"]))?;
    Ok(Finding::Holds("bans, licences, sources".to_owned()))
}

/// PATH with the directory of a program that cargo shall find.
fn path_with(program: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let own = program.parent().map(Path::to_owned);
    Ok(env::join_paths(own.into_iter().chain(env::split_paths(&path)))?)
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn the_row_says_why_a_check_did_not_run() {
        let step = |result| row(&Step { name: "x", result });
        assert_eq!(step(Ok(holds())), "x                        ok");
        assert!(step(Ok(Finding::NotRun("no git".to_owned()))).ends_with("not run  no git"));
        assert!(step(Err(anyhow!("inner").context("outer"))).ends_with("FAILED   outer: inner"));
    }
}
