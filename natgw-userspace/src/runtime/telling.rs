//! What the daemon says: log lines that people, tests and dashboards read. Messages and fields are stable.

use std::{net::Ipv4Addr, time::Duration};

use super::{daemon::Daemon, repair::Repair, startup::millis};
use crate::{
    cluster::status::events::Severity,
    core::plan::MapOp,
    datapath::{Attached, Hook, Mechanism, Outcome},
    observe::metrics::Drift,
};

/// More repairs than this in one pass are only counted.
const REPAIRS_SAID: usize = 20;
/// More repairs than this are only counted in an Event.
const REPAIRS_IN_EVENT: usize = 5;

impl Daemon<'_> {
    pub(super) fn tell_attached(&mut self, name: &str, ifindex: u32, attached: &Attached) {
        if attached.hooks.iter().any(|(_, outcome)| *outcome != Outcome::Unchanged) {
            tracing::info!(interface = name, ifindex, mode = word(attached.mechanism), "programs attached");
        }
        if let (Some(reason), false) = (&attached.fallback, self.fallback_said) {
            self.fallback_said = true;
            tracing::warn!("TCX is not used, clsact filters are: {reason}");
        }
    }

    pub(super) fn tell_repairs(&mut self, repaired: &[Repair]) {
        if repaired.is_empty() {
            return;
        }
        self.repairs += repaired.len() as u64;
        for what in repaired.iter().take(REPAIRS_SAID) {
            tracing::warn!("repaired: {what}");
        }
        tracing::warn!(repaired = repaired.len(), repairs_total = self.repairs, "drift repaired");
        let (said, more) = (repaired.len().min(REPAIRS_IN_EVENT), repaired.len().saturating_sub(REPAIRS_IN_EVENT));
        let mut text = repaired.iter().take(said).map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if more > 0 {
            text = format!("{text} and {more} more");
        }
        self.note(Severity::Warning, "DriftRepaired", "Repair", format!("put back: {text}"));
    }

    pub(super) fn tell_reconciled(&self, writes: u64, ended_sessions: u64, took: Duration, errors: usize) {
        let state = &self.effective;
        tracing::info!(
            objects = self.objects,
            eips = state.eips.len(),
            fips = state.fip_in.len(),
            dnat = state.dnat.len(),
            snat = state.snat.len(),
            routes = state.routes.len(),
            writes,
            ended_sessions,
            duration_ms = millis(took),
            errors,
            complete = self.complete,
            "reconciled"
        );
    }

    pub(super) fn tell_ready(&mut self) {
        if let ([Some(internal), Some(external)], true, false) = (self.mechanisms, self.begun, self.ready) {
            self.ready = true;
            let attach = if internal == external { word(external) } else { "mixed" };
            tracing::info!(
                gateway = %self.options.gateway,
                since_start_ms = millis(self.started.elapsed()),
                adopted = self.adopted,
                map_writes = self.datapath.maps().writes(),
                attach,
                "ready"
            );
            self.start_sweeping();
        }
    }
}

pub(super) fn word(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::Tcx => "tcx",
        Mechanism::Clsact => "clsact",
    }
}

/// Hooks of an attached interface that had lost their program.
pub(super) fn repairs(attached: &Attached, interface: &str) -> Vec<Repair> {
    let changed = attached.hooks.iter().filter(|(_, outcome)| *outcome != Outcome::Unchanged);
    let repair = |hook: &Hook| Repair::new(Drift::Program, format!("program {} on {interface}", hook.name()));
    changed.map(|(hook, _)| repair(hook)).collect()
}

/// A rule map that was not as it should be.
pub(super) fn repair(op: &MapOp) -> Repair {
    Repair::new(Drift::MapEntry, describe(op))
}

/// The map entry that an operation is about.
pub(super) fn describe(op: &MapOp) -> String {
    let ip = |addr: &[u8; 4]| Ipv4Addr::from(*addr);
    match op {
        MapOp::PutEip(eip, _) => format!("EIPS entry {}", ip(eip)),
        MapOp::PutFipOut(pod, _) => format!("FIP_OUT entry {}", ip(pod)),
        MapOp::PutFipIn(eip, _) => format!("FIP_IN entry {}", ip(eip)),
        MapOp::PutDnat(key, _) => {
            format!("DNAT entry {}:{} proto {}", ip(&key.eip), u16::from_be_bytes(key.port), key.proto)
        }
        MapOp::PutSnat(key, _) => format!("SNAT entry {}/{}", ip(&key.addr), key.prefix_len),
        MapOp::DelSnat(key) => format!("surplus SNAT entry {}/{}", ip(&key.addr), key.prefix_len),
        MapOp::DelDnat(key) => {
            format!("surplus DNAT entry {}:{} proto {}", ip(&key.eip), u16::from_be_bytes(key.port), key.proto)
        }
        MapOp::DelFipIn(eip) => format!("surplus FIP_IN entry {}", ip(eip)),
        MapOp::DelFipOut(pod) => format!("surplus FIP_OUT entry {}", ip(pod)),
        MapOp::DelEip(eip) => format!("surplus EIPS entry {}", ip(eip)),
    }
}
