//! `cargo xtask recovery-report`: the results of the layer `recovery`, and `docs/recovery.md` from them.

use anyhow::Result;

use crate::{cargo, workspace::Workspace};

/// Options of `cargo xtask recovery-report`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Write docs/recovery.md too; refused unless every row was measured and kept its bounds.
    #[arg(long)]
    write: bool,
}

/// Prints the table. Fails when a row was not measured or not kept.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let mut command = cargo::same(workspace.root());
    command.args(["run", "--locked", "--quiet", "--package", "natgw-tests", "--bin", "natgw-recovery-report", "--"]);
    if args.write {
        command.arg("--write").arg(workspace.recovery_document());
    }
    cargo::run(&mut command)
}
