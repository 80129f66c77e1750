//! `natgw check DIR`: what would be programmed, and what is wrong, without touching the kernel.
#![forbid(unsafe_code)]

use std::{collections::BTreeMap, path::Path};

use serde::Serialize;

use crate::core::diagnostic::Diagnostic;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Whether there is no error; warnings are allowed.
    pub valid: bool,
    /// How many diagnostics are errors.
    pub errors: usize,
    /// How many are warnings.
    pub warnings: usize,
    /// What each gateway would get, by its name.
    pub gateways: BTreeMap<String, GatewaySummary>,
    /// Every problem, in the order of files and lines.
    pub diagnostics: Vec<Diagnostic>,
}

/// What would be programmed for one gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct GatewaySummary {
    /// Elastic IPs.
    pub eips: usize,
    /// Floating IPs.
    pub fips: usize,
    /// Port mappings.
    pub dnat: usize,
    /// Source networks.
    pub snat: usize,
    /// Routes on the internal interface.
    pub routes: usize,
}

/// How [`CheckReport::render`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Whether [`CheckReport::render`] may use ANSI colours (never in JSON).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// Plain text.
    Never,
    /// Severities are coloured.
    Always,
}

/// Reads `dir` and checks it for `gateway`, or for every gateway it names.
#[must_use]
pub fn check(dir: &Path, gateway: Option<&str>) -> CheckReport {
    let _ = (dir, gateway);
    todo!()
}

impl CheckReport {
    /// 0 when valid, 1 when there are errors.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        if self.valid { 0 } else { 1 }
    }

    /// The report as text, ending in a newline.
    #[must_use]
    pub fn render(&self, format: Format, colours: Colours) -> String {
        let _ = (format, colours);
        todo!()
    }
}
