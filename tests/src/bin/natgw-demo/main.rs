//! `cargo xtask demo`: natgw between a VPC and the outside, killed in the middle of its traffic, as one table.
//!
//! Progress goes to standard error, the result to standard output. Exit code 0 only when every check holds.

mod checks;
mod conditions;
mod killed;
mod rebooted;
mod report;
mod signals;
mod stage;
mod traffic;

use std::{
    fs,
    io::{self, IsTerminal},
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use natgw_tests::gateway::natgw_binary;

use crate::{report::Report, stage::Stage};

/// Builds a network of namespaces, runs natgw in it with the example manifests, and shows that it works.
#[derive(Debug, Parser)]
#[command(name = "natgw-demo", max_term_width = 110)]
struct Args {
    /// Take the rules from a real API server, show what natgw says of them there, and reboot the node too
    #[arg(long)]
    cluster: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Leave the network and the gateway running until Enter is pressed
    #[arg(long)]
    keep: bool,
    /// Directory of the manifests
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples"))]
    examples: PathBuf,
}

/// One line of progress.
fn progress(text: &str) {
    eprintln!("{text}");
}

fn main() -> ExitCode {
    let args = Args::parse();
    if !nix::unistd::geteuid().is_root() {
        progress("natgw-demo makes namespaces and loads programs: run it as root");
        return ExitCode::from(2);
    }
    signals::clean_up_on_interrupt();
    // The harness panics when the machine refuses something; unwinding removes what was made.
    let played = panic::catch_unwind(AssertUnwindSafe(|| play(&args)));
    signals::yield_to_interrupt();
    match played {
        Ok(Ok(report)) if report.ok() => ExitCode::SUCCESS,
        Ok(Ok(_)) => ExitCode::FAILURE,
        Ok(Err(error)) => {
            progress(&format!("the demo cannot run: {error}"));
            ExitCode::from(2)
        }
        // The panic has said why.
        Err(_) => ExitCode::from(2),
    }
}

fn play(args: &Args) -> Result<Report, String> {
    progress("building a VPC (client 10.0.1.2, pod 10.0.1.3), a gateway (10.0.1.1, 203.0.113.1) and a server outside");
    let examples = fs::canonicalize(&args.examples)
        .map_err(|error| format!("cannot read {}: {error}", args.examples.display()))?;
    let mut stage = if args.cluster { Stage::on_cluster(&examples) } else { Stage::build(&examples) }?;
    progress(&format!("natgw is ready after {} ms with the rules of {}", stage.ready_ms(), examples.display()));
    let mut report = Report::default();
    checks::run(&stage, &mut report);
    if let Some(cluster) = &stage.cluster {
        conditions::run(cluster, &mut report);
    }
    killed::run(&mut stage, &mut report);
    if args.cluster {
        rebooted::run(&mut stage, &mut report);
    }
    if args.json {
        println!("{}", report.json());
    } else {
        print!("{}", report.text(io::stdout().is_terminal()));
    }
    if args.keep {
        keep(&stage);
    }
    progress("removing the network");
    Ok(report)
}

fn keep(stage: &Stage) {
    progress("\nThe network stays until you press Enter. Have a look:");
    for (what, ns) in [("client", &stage.net.client), ("gateway", &stage.net.gw), ("server", &stage.net.server)] {
        progress(&format!("  nsenter --net={}   # {what}", ns.path().display()));
    }
    let bpffs = stage.gateway.bpffs();
    progress(&format!("  {} sessions --gateway gw1 --bpffs {}", natgw_binary().display(), bpffs.display()));
    progress(&format!("  bpftool map dump pinned {}/maps/SESSIONS", stage.gateway.pins().display()));
    // No terminal, no key: an empty input ends it at once.
    let _ = io::stdin().read_line(&mut String::new());
}
