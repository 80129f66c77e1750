//! Something that was put back: what kind of thing, and in words.

use std::fmt;

use crate::observe::metrics::Drift;

/// A repair of drift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Repair {
    /// For the metric.
    pub(super) kind: Drift,
    what: String,
}

impl Repair {
    pub(super) fn new(kind: Drift, what: impl Into<String>) -> Self {
        Self { kind, what: what.into() }
    }
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
