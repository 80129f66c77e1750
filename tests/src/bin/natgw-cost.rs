//! Nanoseconds per packet of the eBPF programs, next to the goals.
//!
//! `cargo run --release -p natgw-tests --bin natgw-cost` (root; the object from `cargo xtask build-ebpf`). What the
//! figures include and what not is written in `docs/performance.md`.

use std::{fs, process::ExitCode};

use clap::Parser;
use comfy_table::Table;
use natgw_tests::prog_run::cost::{Cost, measure};
use nix::sys::utsname::uname;
use serde::Serialize;

/// Measures the programs by `BPF_PROG_TEST_RUN`.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often every scenario is measured, interleaved.
    #[arg(long, default_value_t = 9)]
    rounds: u32,
    /// System calls per scenario and round, each of 200 packets.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=600))]
    calls: u32,
    /// Only the scenarios whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Exit with 1 when a goal is missed.
    #[arg(long)]
    check: bool,
}

/// What the figures depend on.
#[derive(Debug, Serialize)]
struct Machine {
    kernel: String,
    cpu: String,
    cores: usize,
    spectre_v2: String,
}

impl Machine {
    fn read() -> anyhow::Result<Self> {
        let info = fs::read_to_string("/proc/cpuinfo")?;
        let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
        let mitigation = fs::read_to_string("/sys/devices/system/cpu/vulnerabilities/spectre_v2");
        Ok(Self {
            kernel: uname()?.release().to_string_lossy().into_owned(),
            cpu: model.map_or("unknown", |(_, model)| model.trim()).to_owned(),
            cores: info.lines().filter(|line| line.starts_with("processor")).count(),
            spectre_v2: mitigation.map_or_else(|_| "unknown".into(), |text| text.trim().to_owned()),
        })
    }
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    costs: Vec<Cost>,
}

fn table(report: &Report) -> Table {
    let mut table = Table::new();
    table.set_header(["ns per packet", "median", "min", "p90", "goal", ""]);
    for cost in &report.costs {
        let goal = cost.goal_ns.map_or_else(|| "-".to_owned(), |goal| format!("<= {goal}"));
        let verdict = match (cost.goal_ns, cost.is_met()) {
            (None, _) => "",
            (Some(_), true) => "ok",
            (Some(_), false) => "MISSED",
        };
        let figures = [cost.median_ns, cost.min_ns, cost.p90_ns].map(|ns| ns.to_string());
        let [median, min, p90] = figures;
        table.add_row([cost.name, &median, &min, &p90, &goal, verdict]);
    }
    table
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let report =
        Report { machine: Machine::read()?, costs: measure(arguments.rounds, arguments.calls, &arguments.only) };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        let Machine { kernel, cpu, cores, spectre_v2 } = &report.machine;
        println!("kernel {kernel}, {cores} x {cpu}, spectre_v2: {spectre_v2}\n{}", table(&report));
    }
    let missed = arguments.check && report.costs.iter().any(|cost| !cost.is_met());
    Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
