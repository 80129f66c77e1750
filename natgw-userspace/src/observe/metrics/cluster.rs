//! Talking with the API server. The counts are kept where the talking is done, and followed here.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{metrics::counter::Counter, registry::Registry};

use super::labels::{Counters, family, follow, kind, register};
use crate::{
    cluster::{source::WatchCount, status::writer::Tally},
    core::objects::Kind,
};

/// Outcomes of a status write.
const OUTCOMES: [&str; 3] = ["written", "failed", "gone"];

/// What was seen last.
#[derive(Debug, Default)]
struct Last {
    watches: BTreeMap<Kind, WatchCount>,
    tally: Tally,
}

/// Watches, statuses and Events.
#[derive(Debug, Clone)]
pub struct ClusterMetrics {
    lists: Counters,
    errors: Counters,
    writes: Counters,
    events: Counter,
    events_dropped: Counter,
    last: Arc<Mutex<Last>>,
}

impl ClusterMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let kinds = || family("kind", Kind::ALL.map(kind));
        Self {
            lists: register(
                registry,
                "watch_lists",
                "Complete lists that were begun: one at the start and one for each watch that could not be resumed",
                kinds(),
            ),
            errors: register(registry, "watch_errors", "Lists and watches that failed", kinds()),
            writes: register(
                registry,
                "status_writes",
                "Status writes by outcome: written, failed (and tried again), gone (the object is no more)",
                family("outcome", OUTCOMES),
            ),
            events: register(registry, "events", "Kubernetes Events that were written", Counter::default()),
            events_dropped: register(
                registry,
                "events_dropped",
                "Kubernetes Events that were forgotten: too many at once, or refused",
                Counter::default(),
            ),
            last: Arc::default(),
        }
    }

    /// The watches as counted so far.
    pub fn watched(&self, counts: &BTreeMap<Kind, WatchCount>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        for (of, now) in counts {
            let last = last.watches.entry(*of).or_default();
            let label = [("kind", kind(*of))];
            follow(&self.lists.get_or_create(&label), &mut last.lists, now.lists);
            follow(&self.errors.get_or_create(&label), &mut last.errors, now.errors);
        }
    }

    /// What the writer has counted so far.
    pub fn wrote(&self, now: Tally) {
        let last = &mut self.last.lock().unwrap_or_else(PoisonError::into_inner).tally;
        let [written, failed, gone] = OUTCOMES.map(|outcome| self.writes.get_or_create_owned(&[("outcome", outcome)]));
        follow(&written, &mut last.written, now.written);
        follow(&failed, &mut last.failed, now.failed);
        follow(&gone, &mut last.gone, now.gone);
        follow(&self.events, &mut last.events, now.events);
        follow(&self.events_dropped, &mut last.events_dropped, now.events_dropped);
    }
}
