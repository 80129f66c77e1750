//! `cargo xtask build`: the programs, then user space with them inside.

use anyhow::{Context as _, Result};

use crate::{build_ebpf, cargo, setup, workspace::Workspace};

/// Options of `cargo xtask build`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Build user space optimised, as it is deployed (target/release/natgw); tests and the demo use the other one.
    #[arg(long)]
    release: bool,
    #[command(flatten)]
    setup: setup::Consent,
}

/// Builds everything that the tests and the demo start.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let toolchain = setup::ensure(workspace, args.setup)?;
    build_ebpf::build(workspace, &toolchain, &build_ebpf::Args::default())?;
    let mut command = cargo::same(workspace.root());
    command.args(["build", "--locked", "--package", "natgw-userspace", "--package", "natgw-tests", "--bins"]);
    if args.release {
        command.arg("--release");
    }
    cargo::run(&mut command).context("cannot build user space")
}
