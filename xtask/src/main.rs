//! `cargo xtask`: everything that is run on this repository.
//!
//! One file per command; this one only reads the command line and dispatches.
#![forbid(unsafe_code)]

mod apiserver;
mod apt;
mod archive;
mod bookworm;
mod bpf_linker;
mod bpftool;
mod build;
mod build_ebpf;
mod cache;
mod cargo;
mod checks;
mod ci;
mod demo;
mod kernels;
mod layers;
mod libtest;
mod lint;
mod needs;
mod object;
mod progress;
mod recovery_report;
mod setup;
mod system;
mod test;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Sets up, builds, tests and demonstrates natgw.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Finds or installs everything that is needed; a second run does nothing.
    Setup(setup::Consent),
    /// Builds the eBPF object `target/bpf/natgw.o` (release, BTF, cpu v3).
    BuildEbpf(build_ebpf::Args),
    /// Builds the eBPF object and user space with it inside.
    Build(build::Args),
    /// Runs the layers of tests and prints their counts.
    Test(test::Args),
    /// Builds etcd and kube-apiserver for the tests, unless that is done, and prints their directory.
    Apiserver,
    /// Formatting, clippy, documentation, dependencies and the tree itself.
    Lint(lint::Args),
    /// What has to hold for every change: lint and all layers.
    Ci(ci::Args),
    /// Prints what the layer `recovery` measured last, next to its bounds.
    RecoveryReport(recovery_report::Args),
    /// Shows a gateway that forwards while its daemon is killed.
    Demo(demo::Args),
}

fn main() -> ExitCode {
    // Not `Result` from main: with RUST_BACKTRACE set that buries the message under frames of xtask.
    dispatch(Cli::parse().command).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn dispatch(command: Command) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match command {
        Command::Setup(args) => setup::run(&workspace, args)?,
        Command::BuildEbpf(args) => build_ebpf::run(&workspace, &args)?,
        Command::Build(args) => build::run(&workspace, &args)?,
        Command::Test(args) => test::run(&workspace, &args)?,
        Command::Apiserver => apiserver::run(&workspace)?,
        Command::Lint(args) => lint::run(&workspace, &args)?,
        Command::Ci(args) => ci::run(&workspace, &args)?,
        Command::RecoveryReport(args) => recovery_report::run(&workspace, &args)?,
        Command::Demo(args) => return demo::run(&workspace, &args),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn layers_and_arguments_for_tests_are_told_apart() {
        let line = ["xtask", "test", "--layer", "unit", "--layer", "netns", "--test-threads", "2", "--", "ping"];
        assert!(Cli::try_parse_from(line).is_ok());
        assert!(Cli::try_parse_from(["xtask", "test", "--test-threads", "0"]).is_err());
    }
}
