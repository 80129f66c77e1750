//! `cargo xtask ci`: lint, layers, the demos and a second build that finds nothing to do: what has to hold for every change. `.ci/run` is this and nothing else.

use std::fs;

use anyhow::{Result, bail, ensure};

use crate::{
    build, demo,
    layers::{LAYERS, Layer},
    lint, setup,
    test::{self, Outcome},
    workspace::{Abi, Workspace},
};

/// Options of `cargo xtask ci`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Tests of a layer that run at a time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    test_threads: Option<u32>,
    #[command(flatten)]
    setup: setup::Consent,
}

/// Lint, all layers, and the demos if they passed. Lint and layers always run: one run shows everything that is wrong.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    setup::run(workspace, args.setup)?;
    let lint = lint::run(workspace, &lint::Args::with(args.setup));
    if let Err(error) = &lint {
        eprintln!("{error:#}");
    }
    let outcomes = test::run_layers(workspace, &test::Args::all(args.setup, args.test_threads))?;
    let tests = test::summarise(&outcomes);
    let missing: Vec<_> = not_run(LAYERS, &outcomes).map(|layer| layer.name).collect();
    if !missing.is_empty() {
        bail!("required layers did not run: {}", missing.join(", "));
    }
    let tests = tests.and_then(|()| demo::check(workspace)).and_then(|()| second_run(workspace));
    match (lint, tests) {
        (Ok(()), tests) => tests,
        (Err(error), Ok(())) => Err(error),
        (Err(lint), Err(tests)) => bail!("{lint:#}; {tests:#}"),
    }
}

/// Builds, as a user's first command does, and once more, which neither installs nor builds anything.
fn second_run(workspace: &Workspace) -> Result<()> {
    println!("\n== build, and again");
    build::run(workspace, &build::Args::default())?;
    ensure!(setup::is_complete(workspace), "after all of this setup would still install something");
    let debug = workspace.debug_dir();
    let made = [
        workspace.tools().join("bin/bpf-linker"),
        workspace.object(Abi::Released),
        debug.join("natgw"),
        debug.join("natgw-demo"),
    ];
    let written = || made.each_ref().map(|path| fs::metadata(path).and_then(|file| file.modified()).ok());
    let before = written();
    build::run(workspace, &build::Args::default())?;
    for ((path, then), now) in made.iter().zip(before).zip(written()) {
        ensure!(then.is_some(), "{} is not there", path.display());
        ensure!(now == then, "a second run wrote {} anew", path.display());
    }
    println!("nothing was installed or built");
    Ok(())
}

/// Required layers in which no test ran to its end.
fn not_run<'a>(layers: &'a [Layer], outcomes: &'a [Outcome]) -> impl Iterator<Item = &'a Layer> {
    let ran = |layer: &Layer| {
        let of_layer = outcomes.iter().find(|outcome| outcome.layer.name == layer.name);
        of_layer.is_some_and(|outcome| outcome.counts.passed + outcome.counts.failed > 0)
    };
    layers.iter().filter(move |layer| layer.required && !ran(layer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libtest::Counts;

    fn outcome(layer: &'static Layer, passed: u64, skipped: u64) -> Outcome {
        Outcome { layer, counts: Counts { passed, failed: 0, skipped }, seconds: 0.0 }
    }

    #[test]
    fn a_required_layer_that_is_absent_or_all_skipped_did_not_run() {
        let all: Vec<_> = LAYERS.iter().map(|layer| outcome(layer, 1, 0)).collect();
        assert_eq!(not_run(LAYERS, &all).count(), 0);
        let mut partly: Vec<_> = LAYERS.iter().skip(1).map(|layer| outcome(layer, 1, 0)).collect();
        assert_eq!(not_run(LAYERS, &partly).map(|layer| layer.name).collect::<Vec<_>>(), ["unit"]);
        partly.push(outcome(&LAYERS[0], 0, 4));
        assert_eq!(not_run(LAYERS, &partly).map(|layer| layer.name).collect::<Vec<_>>(), ["unit"]);
    }
}
