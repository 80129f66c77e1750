//! The labels and every value they can have.

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::{Metric, Registry},
};

use crate::core::objects::Kind;

/// One label.
pub(super) type Label = [(&'static str, &'static str); 1];

/// A counter with one label.
pub(super) type Counters = Family<Label, Counter>;

/// A family whose every series exists from the start: an increase from nothing is none for Prometheus.
pub(super) fn family<M: Clone + Default>(
    label: &'static str,
    values: impl IntoIterator<Item = &'static str>,
) -> Family<Label, M> {
    let family = Family::default();
    for value in values {
        drop(family.get_or_create(&[(label, value)]));
    }
    family
}

/// Registers a metric and returns its handle.
pub(super) fn register<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

/// The name of an object's kind in labels.
pub(super) const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::VpcNatGateway => "gateway",
        Kind::IptablesEip => "eip",
        Kind::IptablesFipRule => "fip",
        Kind::IptablesDnatRule => "dnat",
        Kind::IptablesSnatRule => "snat",
        Kind::QosPolicy => "qos_policy",
        Kind::Subnet => "subnet",
    }
}

/// What is programmed, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entries {
    /// Elastic IPs.
    Eip,
    /// Floating IPs.
    Fip,
    /// Port mappings.
    Dnat,
    /// EIPs of source networks.
    Snat,
    /// VPC routes.
    Route,
}

impl Entries {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Eip, Self::Fip, Self::Dnat, Self::Snat, Self::Route];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Eip => kind(Kind::IptablesEip),
            Self::Fip => kind(Kind::IptablesFipRule),
            Self::Dnat => kind(Kind::IptablesDnatRule),
            Self::Snat => kind(Kind::IptablesSnatRule),
            Self::Route => "route",
        }
    }
}

/// Why a pass of the loop is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The start, or the source changed.
    Change,
    /// News of the interfaces.
    Network,
    /// Something failed before.
    Retry,
    /// The periodic check. The source is read again too: not every change of it comes with an event.
    Drift,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 4] = [Self::Change, Self::Network, Self::Retry, Self::Drift];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Network => "network",
            Self::Retry => "retry",
            Self::Drift => "drift",
        }
    }
}

/// What somebody else had changed and was put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drift {
    /// An entry of a rule map.
    MapEntry,
    /// A program on an interface.
    Program,
    /// An EIP's address.
    Address,
    /// A VPC route or the default route.
    Route,
    /// A sysctl.
    Sysctl,
}

impl Drift {
    /// Everything that drifts.
    pub const ALL: [Self; 5] = [Self::MapEntry, Self::Program, Self::Address, Self::Route, Self::Sysctl];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::MapEntry => "map_entry",
            Self::Program => "program",
            Self::Address => "address",
            Self::Route => "route",
            Self::Sysctl => "sysctl",
        }
    }
}

/// Follows a count that is kept elsewhere and begins again when its keeper does.
pub(super) fn follow(counter: &Counter, last: &mut u64, now: u64) {
    counter.inc_by(now.checked_sub(*last).unwrap_or(now));
    *last = now;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_begins_again_is_added() {
        let (counter, mut last) = (Counter::default(), 0);
        for now in [3, 5, 5, 2, 4] {
            follow(&counter, &mut last, now);
        }
        assert_eq!(counter.get(), 9);
    }
}
