//! What a test collects about its row, hands in, and is judged by.

use std::{path::Path, time::Duration};

use super::{
    results::{self, Figures, Machine},
    table::{Row, row},
};
use crate::{gateway::natgw_binary, traffic::Seen};

/// The outcome of one scenario, while it runs. Dropping it prints what is known of it.
#[derive(Debug)]
pub struct Outcome {
    row: &'static Row,
    figures: Figures,
}

impl Outcome {
    /// Begins the row called `id`; what was measured of it before is forgotten.
    #[must_use]
    pub fn of(id: &str) -> Self {
        Self::with(id, &natgw_binary())
    }

    /// The same where it is this natgw that is measured.
    #[must_use]
    pub fn with(id: &str, binary: &Path) -> Self {
        let row = row(id);
        results::forget(row);
        Self { row, figures: Figures { machine: Machine::with(binary), ..Figures::default() } }
    }

    /// A time to recovery; the longest counts.
    pub fn took(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.figures.took_us = Some(self.figures.took_us.map_or(micros, |longest| longest.max(micros)));
    }

    /// Writes that a daemon made until it was ready; all of them count.
    ///
    /// # Panics
    /// When it did not say.
    pub fn map_writes(&mut self, writes: Option<u64>) {
        let writes = writes.expect("`ready` says how many map writes there were");
        *self.figures.map_writes.get_or_insert(0) += writes;
    }

    /// Probes of the test's own.
    pub fn probes(&mut self, sent: u64, lost: u64) {
        self.figures.sent += sent;
        self.figures.lost += lost;
    }

    /// Connections of the test's own that were reset.
    pub fn resets(&mut self, resets: u64) {
        *self.figures.resets.get_or_insert(0) += resets;
    }

    /// What the traffic saw.
    pub fn traffic(&mut self, seen: &Seen) {
        self.probes(seen.sent, seen.lost);
        self.resets(seen.resets());
    }

    /// Something else worth saying.
    pub fn note(&mut self, note: impl Into<String>) {
        self.figures.note = note.into();
    }

    /// Asserts that the row's bounds were kept and keeps it for the report. The last thing that a test does: a row whose
    /// test fails was not kept.
    ///
    /// # Panics
    /// When a bound was not kept.
    pub fn hand_in(self) {
        let Self { row, figures } = &self;
        let misses = figures.misses(row);
        figures.keep(row);
        assert!(misses.is_empty(), "{}, natgw compiled as {}: {misses:?}", row.id, figures.machine.build);
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        let Self { row, figures } = self;
        let time = figures.took().map_or_else(String::new, |took| format!(", {took:?} from {}", row.timed));
        let Figures { lost, sent, resets, note, .. } = &figures;
        println!("{}: {lost} of {sent} packets lost, resets: {resets:?}{time}; {note}", row.id);
    }
}
