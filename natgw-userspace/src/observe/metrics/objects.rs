//! What is wanted, what of it is in force, and what the source asks for in vain.

use prometheus_client::{
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::labels::{Entries, Label, family, kind, register};
use crate::core::objects::Kind;

/// Objects by kind.
#[derive(Debug, Clone)]
pub struct ObjectMetrics {
    desired: Family<Label, Gauge>,
    programmed: Family<Label, Gauge>,
    refused: Family<Label, Gauge>,
}

impl ObjectMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let entries = || family("kind", Entries::ALL.map(Entries::word));
        Self {
            desired: register(registry, "objects_desired", "What the gateway should have in force", entries()),
            programmed: register(registry, "objects_programmed", "What of it is in force", entries()),
            refused: register(
                registry,
                "objects_refused",
                "Objects of the source with an error that keeps them from being programmed",
                family("kind", Kind::ALL.map(kind)),
            ),
        }
    }

    /// How many there should be and are.
    pub fn set(&self, entries: Entries, desired: usize, programmed: usize) {
        let label = [("kind", entries.word())];
        self.desired.get_or_create(&label).set(count(desired));
        self.programmed.get_or_create(&label).set(count(programmed));
    }

    /// How many objects of a kind have an error.
    pub fn set_refused(&self, of: Kind, refused: usize) {
        self.refused.get_or_create(&[("kind", kind(of))]).set(count(refused));
    }
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
