//! What the machine must have.

use std::path::Path;

use serde::Serialize;

/// How serious a missing thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// There.
    Ok,
    /// Missing; natgw runs without it.
    Warning,
    /// Missing; natgw cannot run.
    Missing,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// Whether it is there.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// The command that helps, when something does.
    pub fix: Option<String>,
}

/// The whole table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preflight {
    /// The rows, the ones that matter most first.
    pub checks: Vec<Check>,
}

impl Preflight {
    /// Looks at this machine. Interfaces are looked up in the calling thread's network namespace.
    #[must_use]
    pub fn run(_bpffs: &Path, _interfaces: &[&str]) -> Self {
        todo!()
    }

    /// Whether natgw can run.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.level != Level::Missing)
    }

    /// The table as text.
    #[must_use]
    pub fn render(&self) -> String {
        todo!()
    }
}
