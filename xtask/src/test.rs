//! `cargo xtask test`: the layers, one after the other, with their counts.

use std::{
    env, fmt,
    io::{self, BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{
    apiserver, bpftool, build, cargo, kernels,
    layers::{self, LAYERS, Layer},
    libtest::{Counts, Reader, Shown},
    setup, system,
    workspace::Workspace,
};

/// Which `natgw` the tests start.
const NATGW_BIN: &str = "NATGW_BIN";

/// Options of `cargo xtask test`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Run only this layer; may be given more than once.
    #[arg(long, value_name = "NAME")]
    layer: Vec<String>,
    /// List the layers and run none.
    #[arg(long)]
    list: bool,
    /// Tests of a layer that run at a time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    test_threads: Option<u32>,
    #[command(flatten)]
    setup: setup::Consent,
    /// Names of tests, or other arguments for them.
    #[arg(last = true)]
    rest: Vec<String>,
}

impl Args {
    /// All layers, whole.
    pub(crate) fn all(setup: setup::Consent, test_threads: Option<u32>) -> Self {
        Self { test_threads, setup, ..Self::default() }
    }
}

/// What a layer came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) layer: &'static Layer,
    pub(crate) counts: Counts,
    pub(crate) seconds: f64,
}

impl Outcome {
    /// Why the layer does not count as passed, if so. A layer in which nothing ran has shown nothing.
    pub(crate) fn complaint(&self) -> Option<&'static str> {
        match self.counts {
            Counts { failed: 1.., .. } => Some("FAILED"),
            Counts { passed: 0, skipped: 0, .. } => Some("FAILED: no test ran"),
            Counts { passed: 0, .. } => Some("FAILED: every test was skipped"),
            Counts { .. } => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { passed, failed, skipped } = self.counts;
        let complaint = self.complaint().unwrap_or("ok");
        write!(f, "{:<10} {passed:>7} {failed:>7} {skipped:>8} {:>8.1}  {complaint}", self.layer.name, self.seconds)
    }
}

/// `cargo xtask test`.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    if args.list {
        for layer in LAYERS {
            let required = if layer.required { "required" } else { "optional" };
            println!("{:<10} {required}  {}", layer.name, layer.what);
        }
        return Ok(());
    }
    let outcomes = run_layers(workspace, args)?;
    summarise(&outcomes)
}

/// Sets up, builds and runs the chosen layers; a failed layer does not keep the next from running.
pub(crate) fn run_layers(workspace: &Workspace, args: &Args) -> Result<Vec<Outcome>> {
    let layers = layers::select(&args.layer).map_err(|message| anyhow!(message))?;
    if let Some(layer) = layers.iter().find(|layer| layer.root) {
        let hint = "run it as root, or choose `--layer unit`";
        system::require_root(
            "test",
            &format!("the layer `{}` makes namespaces and loads programs; {hint}", layer.name),
        )?;
    }
    setup::run(workspace, args.setup)?;
    build::run(workspace, &build::Args::default())?;
    if layers.iter().any(|layer| layer.abi_next) {
        build::abi_next(workspace)?;
    }
    layers.into_iter().map(|layer| run_layer(workspace, layer, args)).collect()
}

/// The table and the verdict.
pub(crate) fn summarise(outcomes: &[Outcome]) -> Result<()> {
    let mut total = Counts::default();
    println!("\n{:<10} {:>7} {:>7} {:>8} {:>8}", "layer", "passed", "failed", "skipped", "seconds");
    for outcome in outcomes {
        println!("{outcome}");
        total.add(&outcome.counts);
    }
    println!("\n{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    let bad: Vec<_> = outcomes.iter().filter(|it| it.complaint().is_some()).map(|it| it.layer.name).collect();
    if !bad.is_empty() {
        bail!("not passed: {}", bad.join(", "));
    }
    Ok(())
}

fn run_layer(workspace: &Workspace, layer: &'static Layer, args: &Args) -> Result<Outcome> {
    println!("\n== {}: {}", layer.name, layer.what);
    let mut counts = Counts::default();
    let mut seconds = 0.0;
    let assets = match layer.apiserver.then(|| apiserver::provide(workspace)).transpose() {
        Ok(assets) => assets,
        Err(error) => {
            eprintln!("{error:#}");
            counts.failed += 1;
            return Ok(Outcome { layer, counts, seconds });
        }
    };
    if layer.kernels {
        let started = Instant::now();
        counts.add(&kernels::run(workspace, &args.rest));
        seconds += started.elapsed().as_secs_f64();
    }
    let natgw = layer.release && env::var_os(NATGW_BIN).is_none();
    let natgw = match natgw.then(|| build::release_natgw(workspace)).transpose() {
        Ok(natgw) => natgw,
        Err(error) => {
            eprintln!("{error:#}");
            counts.failed += 1;
            return Ok(Outcome { layer, counts, seconds });
        }
    };
    for invocation in layer.invocations {
        // Compiled apart, so that the layer's time is that of its tests and an error of the compiler is seen as such.
        let mut compile = cargo_test(workspace, invocation);
        compile.arg("--no-run");
        if let Err(error) = cargo::run(&mut compile) {
            eprintln!("{error:#}");
            counts.failed += 1;
            continue;
        }
        let mut command = cargo_test(workspace, invocation);
        command.args(["--no-fail-fast", "--quiet", "--", "--show-output", "--format=pretty"]);
        if let Some(threads) = args.test_threads.or(layer.threads) {
            command.arg(format!("--test-threads={threads}"));
        }
        command.args(&args.rest);
        command.env("PATH", bpftool::path(workspace)?);
        command.envs(assets.iter().map(|assets| (apiserver::VARIABLE, assets.dir())));
        command.envs(natgw.iter().map(|natgw| (NATGW_BIN, natgw)));
        let started = Instant::now();
        counts.add(&run_tests(&mut command)?);
        seconds += started.elapsed().as_secs_f64();
    }
    let outcome = Outcome { layer, counts, seconds };
    println!("{outcome}");
    Ok(outcome)
}

fn cargo_test(workspace: &Workspace, invocation: &[&str]) -> Command {
    let mut command = cargo::same(workspace.root());
    command.args(["test", "--locked"]).args(invocation);
    command
}

/// Runs tests, shows what they print as it comes, and counts.
fn run_tests(command: &mut Command) -> Result<Counts> {
    let (output, writer) = io::pipe().context("cannot make a pipe")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone().context("cannot copy a pipe")?).stderr(writer);
    let mut child = command.spawn().context("cannot run cargo")?;
    // The command keeps the write end open; without this the reader would never see its end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut reader = Reader::new();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read what the tests print")?;
        show(&mut reader, &String::from_utf8_lossy(&line));
    }
    let status = child.wait().context("cannot wait for cargo")?;
    Ok(reader.finish(status.success()))
}

/// Counts one line of output and shows what is to be shown of it.
pub(crate) fn show(reader: &mut Reader, line: &str) {
    match reader.line(line) {
        Shown::Line => println!("{line}"),
        Shown::Instead(text) => println!("{text}"),
        Shown::Hidden => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(passed: u64, failed: u64, skipped: u64) -> Outcome {
        Outcome { layer: &LAYERS[0], counts: Counts { passed, failed, skipped }, seconds: 1.25 }
    }

    #[test]
    fn a_layer_in_which_nothing_ran_has_failed() {
        assert_eq!(outcome(0, 0, 0).complaint(), Some("FAILED: no test ran"));
        assert_eq!(outcome(0, 0, 3).complaint(), Some("FAILED: every test was skipped"));
        assert_eq!(outcome(5, 1, 0).complaint(), Some("FAILED"));
        assert_eq!(outcome(1, 0, 3).complaint(), None);
    }

    #[test]
    fn one_bad_layer_fails_the_run() {
        assert!(summarise(&[outcome(1, 0, 0)]).is_ok());
        let error = summarise(&[outcome(1, 0, 0), outcome(0, 1, 0)]).expect_err("one layer failed");
        assert_eq!(error.to_string(), "not passed: unit");
    }

    #[test]
    fn the_row_of_a_layer_has_all_its_numbers() {
        assert_eq!(outcome(12, 0, 3).to_string(), "unit            12       0        3      1.2  ok");
    }

    #[test]
    fn a_child_that_dies_is_counted() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'running 2 tests'; kill -SEGV $$"]);
        let counts = run_tests(&mut command).expect("sh runs");
        assert_eq!(counts, Counts { passed: 0, failed: 2, skipped: 0 });
    }
}
