//! One pass: brings the kernel in line, and tells what came of it.
//!
//! Order of a change: what is new before what goes (an address answers ARP before its rules translate; rules go before
//! their address). When an interface is new it is the other way round: rules and programs first, because a live
//! connection's packet that meets the address without the programs would be reset by the gateway's own stack.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Daemon, rules::Written};
use crate::runtime::{
    network::Step,
    repair::Repair,
    telling::repair,
    work::{Cause, Work},
};

/// How long after a pass its outcome is told to the cluster.
const SETTLE: Duration = Duration::from_millis(20);

impl Daemon<'_> {
    /// One pass: does what `work` names, reports, schedules a retry when something failed.
    pub(super) async fn pass(&mut self, work: Work, cause: Cause) {
        let begun = Instant::now();
        let (before, complete) = (Arc::clone(&self.effective), self.complete);
        let writes_before = self.datapath.maps().writes();
        let changed = work.source && self.read_source(cause).await;
        let mut errors = 0;
        let mut repaired = Vec::new();
        let mut written = Written::default();
        let new_hook = work.hooks && !self.attached();
        let mut leaving = Vec::new();
        if work.rules && new_hook {
            written = self.write_rules(cause);
        }
        if work.hooks {
            let (step, attach_errors) = self.hooks(cause);
            if self.ready {
                repaired.extend(step.repaired);
            }
            errors += self.reporter.problems("sysctl", step.errors);
            errors += self.reporter.problems("attach", attach_errors);
        }
        if work.rules || work.network {
            self.refresh_effective();
        }
        // Most changes are about rules alone; what went wrong before is tried again by itself.
        let alone =
            cause == Cause::Change && self.begun && complete == self.complete && before.has_network_of(&self.effective);
        let network = (work.rules || work.network) && !alone;
        if network && !self.occupied[1] {
            let (step, remove) = self.network.add_addresses(&self.effective, &self.unprogrammed).await;
            leaving = remove;
            repaired.extend(step.repaired);
            self.publishing.address_failures = step.refused;
            errors += self.reporter.problems("addresses", step.errors);
        }
        if work.rules && !new_hook {
            written = self.write_rules(cause);
            if !self.unprogrammed.is_empty() && !self.occupied[1] {
                (_, leaving) = self.network.add_addresses(&self.effective, &self.unprogrammed).await;
            }
        }
        if work.announce && !self.occupied[1] {
            self.network.announce_link();
        }
        if network || !leaving.is_empty() {
            errors += self.finish_network(&leaving, &mut repaired).await;
        }
        if work.hooks && !self.occupied[1] {
            let step = self.network.remove_strays(&self.paths, &self.effective).await;
            errors += self.reporter.problems("stray addresses", step.errors);
        }
        if work.rules {
            errors += self.reporter.problems("maps", std::mem::take(&mut written.errors));
        }
        self.schedule(errors, work);
        // What follows from a change that came without an event is no repair.
        if cause == Cause::Drift && !changed {
            repaired.extend(written.plan.ops.iter().map(repair));
        }
        self.tell_passed(&repaired, cause);
        let writes = self.datapath.maps().writes() - writes_before;
        self.observe(cause, begun.elapsed(), writes, errors);
        if cause == Cause::Change || changed || !written.plan.is_empty() {
            self.tell_reconciled(writes, written.ended, begun.elapsed(), errors);
        }
        self.tell_ready();
        self.end_orphans();
        if cause == Cause::Drift {
            self.tell_exhaustion();
        }
        if matches!(cause, Cause::Drift | Cause::Retry) {
            self.publishing.compare_all();
        }
        self.publish_soon(work.source);
    }

    /// After the data plane, and once for several changes: of ten thousand objects each is judged again. But objects that
    /// never come to rest must not keep it waiting: a pass that has `read` them all sees to what is overdue.
    fn publish_soon(&mut self, read: bool) {
        let now = tokio::time::Instant::now();
        match self.publish_due {
            Some(due) if read && due <= now => {
                self.publish_due = None;
                self.publish();
            }
            Some(_) => {}
            None => self.publish_due = Some(now + SETTLE),
        }
    }

    /// Tells what was put back; of a fight about it only now and then.
    fn tell_passed(&mut self, repaired: &[Repair], cause: Cause) {
        self.observer.repaired(repaired);
        if cause != Cause::Network {
            return self.tell_repairs(repaired);
        }
        match self.brake.repaired(repaired.len(), tokio::time::Instant::now()) {
            Some(count) => {
                self.tell_repairs(repaired);
                if count > repaired.len() {
                    tracing::warn!(count, "put back again and again: something else on this machine removes it");
                }
            }
            None => self.repairs += repaired.len() as u64,
        }
    }

    fn schedule(&mut self, errors: usize, work: Work) {
        if errors > 0 {
            self.backoff.failed(tokio::time::Instant::now());
        } else if self.source.is_some()
            && self.watch.is_some()
            && !self.watch_broken
            && work.rules
            && work.hooks
            && work.network
        {
            self.backoff.succeeded();
        }
    }

    async fn finish_network(&mut self, leaving: &[(Ipv4Addr, u8)], repaired: &mut Vec<Repair>) -> usize {
        let eips: BTreeSet<Ipv4Addr> = self.effective.eips.keys().map(|eip| Ipv4Addr::from(*eip)).collect();
        // Before the first complete read only prefix changes of living EIPs are made.
        let leaving: Vec<(Ipv4Addr, u8)> =
            leaving.iter().filter(|(addr, _)| self.complete || eips.contains(addr)).copied().collect();
        let step = self.network.remove_addresses(&leaving).await;
        let mut errors = self.reporter.problems("address removal", step.errors);
        let step = if self.occupied[0] {
            Step::default()
        } else {
            self.network.ensure_routes(&self.effective, self.complete).await
        };
        repaired.extend(step.repaired);
        let default =
            if self.occupied[1] { Step::default() } else { self.network.ensure_default_route(&self.effective).await };
        repaired.extend(default.repaired);
        errors += self.reporter.problems("routes", step.errors.into_iter().chain(default.errors));
        // Seen again at every check and every news of the interface; trying more often would not help.
        self.reporter.problems("next hops", step.blocked);
        errors
    }

    /// The first pass over everything.
    pub(super) async fn begin(&mut self) {
        self.pass(Work::EVERYTHING, Cause::Change).await;
        self.begun = true;
        // What was counted before this daemon is no news.
        self.tell_exhaustion();
        self.observer.health.begun();
        self.tell_ready();
        self.end_orphans();
    }
}
