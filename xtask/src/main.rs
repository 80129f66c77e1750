//! `cargo xtask`: everything that is run on this repository.
//!
//! One file per command; this one only reads the command line and dispatches.
#![forbid(unsafe_code)]

mod build_ebpf;
mod cargo;
mod object;
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
    /// Builds the eBPF object `target/bpf/natgw.o` (release, BTF, cpu v3).
    BuildEbpf(build_ebpf::Args),
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        // Not `Result` from main: with RUST_BACKTRACE set that buries the message under frames of xtask.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<()> {
    let workspace = Workspace::find()?;
    match command {
        Command::BuildEbpf(args) => build_ebpf::run(&workspace, &args),
    }
}
