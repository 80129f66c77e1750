//! What the daemon lets others see: it sets health and metrics at the end of every pass.

use std::{collections::BTreeMap, time::Duration};

use super::{daemon::Daemon, repair::Repair, work::Cause};
use crate::{
    core::{diagnostic::Severity, objects::Kind, plan::MapOp},
    observe::{Health, Metrics, metrics::Entries},
    source::Source,
};

/// Areas of the reporter whose problems mean that something wanted is not in force.
const AREAS: [&str; 7] = ["maps", "attach", "addresses", "address removal", "stray addresses", "routes", "sysctl"];

/// The two values that the server reads, and what has to be remembered between passes.
#[derive(Debug)]
pub(super) struct Observer {
    pub(super) health: Health,
    pub(super) metrics: Metrics,
    /// FIP, DNAT and SNAT entries that the maps did not take.
    refused: [usize; 3],
}

impl Observer {
    pub(super) fn new(health: Health, metrics: Metrics) -> Self {
        Self { health, metrics, refused: [0; 3] }
    }

    /// Takes over which map writes failed.
    pub(super) fn maps_written(&mut self, failed: &[(MapOp, String)]) {
        self.refused = [0; 3];
        for (op, _) in failed {
            let [fip, dnat, snat] = &mut self.refused;
            match op {
                MapOp::PutFipIn(..) => *fip += 1,
                MapOp::PutDnat(..) => *dnat += 1,
                MapOp::PutSnat(_, pool) => *snat += usize::try_from(pool.count).unwrap_or(0),
                // What is too many is not missing, a floating IP counts once for its two halves, and a refused EIP gets no
                // address.
                MapOp::PutEip(..)
                | MapOp::PutFipOut(..)
                | MapOp::DelEip(_)
                | MapOp::DelFipIn(_)
                | MapOp::DelFipOut(_)
                | MapOp::DelDnat(_)
                | MapOp::DelSnat(_) => {}
            }
        }
    }

    /// Counts what was put back.
    pub(super) fn repaired(&self, repaired: &[Repair]) {
        for repair in repaired {
            self.metrics.reconcile.repaired(repair.kind);
        }
    }
}

impl Daemon<'_> {
    /// A pass has ended.
    pub(super) fn observe(&self, cause: Cause, took: Duration, writes: u64, errors: usize) {
        let Observer { health, metrics, .. } = &self.observer;
        metrics.reconcile.passed(cause, took, writes, errors);
        let [internal, external] = [&self.network.internal, &self.network.external].map(|one| one.link.is_some());
        health.interfaces([(internal, self.mechanisms[0].is_some()), (external, self.mechanisms[1].is_some())]);
        health.problems(self.reporter.outstanding(&AREAS));
        self.observe_objects();
        self.observe_cluster();
    }

    fn observe_objects(&self) {
        let (state, metrics) = (&self.effective, &self.observer.metrics.objects);
        let pools = state.snat.values().map(|pool| usize::try_from(pool.count).unwrap_or(0)).sum();
        let [fips, dnat, snat] = self.observer.refused;
        for (entries, desired, programmed) in [
            (Entries::Eip, state.eips.len(), self.network.addresses_in_place().min(state.eips.len())),
            (Entries::Fip, state.fip_in.len(), state.fip_in.len().saturating_sub(fips)),
            (Entries::Dnat, state.dnat.len(), state.dnat.len().saturating_sub(dnat)),
            (Entries::Snat, pools, pools.saturating_sub(snat)),
            (Entries::Route, state.routes.len(), self.network.routes_in_place().min(state.routes.len())),
        ] {
            metrics.set(entries, desired, programmed);
        }
        let mut refused: BTreeMap<Kind, Vec<_>> = Kind::ALL.into_iter().map(|kind| (kind, Vec::new())).collect();
        for diagnostic in self.diagnostics.iter().filter(|one| one.severity == Severity::Error) {
            if let Some(object) = &diagnostic.object {
                refused.entry(object.kind).or_default().push(object);
            }
        }
        for (kind, mut objects) in refused {
            objects.sort_unstable();
            objects.dedup();
            metrics.set_refused(kind, objects.len());
        }
    }

    /// What is counted where the API server is talked with, and whether it answers.
    pub(super) fn observe_cluster(&self) {
        let Some(cluster) = self.source.as_ref().and_then(Source::cluster) else { return };
        let Observer { health, metrics, .. } = &self.observer;
        metrics.cluster.watched(&cluster.watch_counts());
        if let Some(tally) = self.publishing.tally() {
            metrics.cluster.wrote(tally);
        }
        let why = cluster.problems().join("; ");
        health.connection(cluster.stale_since().map(|since| (since.into_std(), why.as_str())));
    }
}
