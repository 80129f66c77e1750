//! The passes of the loop: how long, how much, how often in vain.

use std::time::Duration;

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use super::labels::{Cause, Counters, Drift, Label, family, register};

/// From the pass that finds nothing to do to the one that writes ten thousand rules: 0.5 ms to 8 s.
#[derive(Debug, Clone)]
struct Durations;

impl MetricConstructor<Histogram> for Durations {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(0.0005, 2.0, 15))
    }
}

/// The loop.
#[derive(Debug, Clone)]
pub struct ReconcileMetrics {
    duration: Family<Label, Histogram, Durations>,
    writes: Counter,
    errors: Counter,
    repairs: Counters,
}

impl ReconcileMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let duration = Family::new_with_constructor(Durations);
        for cause in Cause::ALL {
            drop(duration.get_or_create(&[("cause", cause.word())]));
        }
        let help = "How long a pass over what is wanted and what is there took";
        registry.register_with_unit("reconcile_duration", help, Unit::Seconds, duration.clone());
        Self {
            duration,
            writes: register(registry, "map_writes", "Writes to maps", Counter::default()),
            errors: register(
                registry,
                "reconcile_errors",
                "Failures in passes; what keeps failing counts with every try",
                Counter::default(),
            ),
            repairs: register(
                registry,
                "drift_repairs",
                "Things that somebody else had removed or changed and that were put back",
                family("what", Drift::ALL.map(Drift::word)),
            ),
        }
    }

    /// A pass has ended.
    pub fn passed(&self, cause: Cause, took: Duration, writes: u64, errors: usize) {
        self.duration.get_or_create(&[("cause", cause.word())]).observe(took.as_secs_f64());
        self.writes.inc_by(writes);
        self.errors.inc_by(errors as u64);
    }

    /// Something was put back.
    pub fn repaired(&self, what: Drift) {
        self.repairs.get_or_create(&[("what", what.word())]).inc();
    }
}
