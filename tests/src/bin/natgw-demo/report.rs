//! The result, as a table and as JSON.

use comfy_table::{Cell, Color, Table};
use serde::Serialize;

use crate::progress;

/// One line of the table.
#[derive(Debug, Serialize)]
struct Check {
    name: String,
    ok: bool,
    detail: String,
}

/// The result of a check that `holds` or not.
pub(crate) fn verdict(holds: bool, detail: String) -> Result<String, String> {
    if holds { Ok(detail) } else { Err(detail) }
}

/// What the kill cost.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Restart {
    /// Packets that the probes sent.
    pub(crate) sent: u64,
    /// Packets that never came back.
    pub(crate) lost: u64,
    /// Connections reset.
    pub(crate) resets: u64,
    /// Map writes that the new daemon made until it was ready.
    pub(crate) map_writes: Option<u64>,
    /// From exec to `ready`.
    pub(crate) ready_ms: u128,
}

/// What the reboot cost.
#[derive(Debug, Serialize)]
pub(crate) struct Reboot {
    /// Packets that the probes sent.
    pub(crate) sent: u64,
    /// Packets that never came back: nothing was there to forward them.
    pub(crate) lost: u64,
    /// From exec to the last kind of rule that translates again.
    pub(crate) recovery_ms: u128,
}

/// All of it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    checks: Vec<Check>,
    /// One session, as bpftool printed it.
    pub(crate) session: Option<String>,
    /// What the kill cost; missing when it did not come so far.
    pub(crate) restart: Option<Restart>,
    /// What the reboot cost; only with a cluster, and missing when it did not come so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reboot: Option<Reboot>,
}

impl Report {
    /// Adds the result of a check: what was seen, or what was wrong.
    pub(crate) fn add(&mut self, name: &str, result: Result<String, String>) {
        let (ok, detail) = match result {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        progress(&format!("  {} {name}: {detail}", if ok { "ok    " } else { "FAILED" }));
        self.checks.push(Check { name: name.to_owned(), ok, detail });
    }

    /// Whether every check holds and the kill was shown.
    pub(crate) fn ok(&self) -> bool {
        self.restart.is_some() && self.checks.iter().all(|check| check.ok)
    }

    /// One JSON object.
    pub(crate) fn json(&self) -> String {
        #[derive(Serialize)]
        struct Whole<'a> {
            ok: bool,
            #[serde(flatten)]
            report: &'a Report,
        }
        serde_json::to_string_pretty(&Whole { ok: self.ok(), report: self }).unwrap_or_else(|error| error.to_string())
    }

    /// The table; `colours` for a terminal.
    pub(crate) fn text(&self, colours: bool) -> String {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
        if colours {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(["check", "result", "detail"]);
        for check in &self.checks {
            let (word, colour) = if check.ok { ("ok", Color::Green) } else { ("FAILED", Color::Red) };
            table.add_row([Cell::new(&check.name), Cell::new(word).fg(colour), Cell::new(&check.detail)]);
        }
        let failed = self.checks.iter().filter(|check| !check.ok).count();
        let summary = match &self.restart {
            None => "the kill was not shown".to_owned(),
            Some(Restart { sent, lost, resets, map_writes, ready_ms }) => format!(
                "killed and restarted: {lost} of {sent} packets lost, {resets} connections reset, {} map writes, ready \
                 after {ready_ms} ms",
                map_writes.map_or_else(|| "?".to_owned(), |writes| writes.to_string())
            ),
        };
        let reboot = self.reboot.as_ref().map(|Reboot { sent, lost, recovery_ms }| {
            format!(
                "rebooted: every rule translates {recovery_ms} ms after exec, {lost} of {sent} packets lost meanwhile\n"
            )
        });
        let reboot = reboot.unwrap_or_default();
        format!("{table}\n{summary}\n{reboot}{} checks, {failed} failed\n", self.checks.len())
    }
}
