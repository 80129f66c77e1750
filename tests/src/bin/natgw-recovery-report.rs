//! The results of the layer `recovery` as a table, or as `docs/recovery.md`. `cargo xtask recovery-report` runs it.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use natgw_tests::recovery::{
    document::{document, table},
    results,
};

/// Prints what the last run of the layer `recovery` measured, next to its bounds.
#[derive(Debug, Parser)]
struct Arguments {
    /// Write the document to this file.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let results = results::read();
    print!("{}", table(&results));
    let kept = |figures: &Option<results::Figures>, row| figures.as_ref().is_some_and(|it| it.misses(row).is_empty());
    if !results.iter().all(|(row, figures)| kept(figures, row)) {
        eprintln!("error: not every row was measured and kept: cargo xtask test --layer recovery");
        return Ok(ExitCode::FAILURE);
    }
    if let Some(path) = arguments.write {
        std::fs::write(path, document(&results))?;
    }
    Ok(ExitCode::SUCCESS)
}
