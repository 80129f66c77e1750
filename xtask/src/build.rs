//! `cargo xtask build`: the programs, then user space with them inside.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::{
    build_ebpf, cargo, setup,
    workspace::{Abi, Workspace},
};

/// Options of `cargo xtask build`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Build user space optimised, as it is deployed (target/release/natgw); the demo and most tests use the other one.
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

/// Builds `natgw` alone, optimised as it is deployed, and says where it is. The programs have to be there.
pub(crate) fn release_natgw(workspace: &Workspace) -> Result<PathBuf> {
    let mut command = cargo::same(workspace.root());
    // The packages of `build --release`, whose features of the dependencies are then the same.
    command.args(["build", "--locked", "--release", "--package", "natgw-userspace", "--package", "natgw-tests"]);
    command.args(["--bin", "natgw"]);
    cargo::run(&mut command).context("cannot build natgw optimised")?;
    Ok(workspace.release_natgw())
}

/// Builds `target/debug/natgw-abi-next`: `natgw` with a map ABI that only the tests have. Beside the other one, so that
/// neither is ever in the other's place.
pub(crate) fn abi_next(workspace: &Workspace) -> Result<()> {
    let toolchain = setup::ensure(workspace, setup::Consent::default())?;
    build_ebpf::build(workspace, &toolchain, &build_ebpf::Args::with(Abi::Next))?;
    let mut command = cargo::same(workspace.root());
    // Together with natgw-tests, whose features of the dependencies are then the same: those are not compiled again.
    command.args(["build", "--locked", "--package", "natgw-userspace", "--package", "natgw-tests"]);
    command.args(["--bin", "natgw-abi-next", "--features", "natgw-userspace/abi-next"]);
    cargo::run(&mut command).context("cannot build user space with the next map ABI")
}
