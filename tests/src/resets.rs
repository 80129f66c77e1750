//! Connections that were reset, as the kernels of all hosts counted them.

use crate::{Topology, snmp::Counters};

const COUNTERS: [&str; 2] = ["Tcp.EstabResets", "Tcp.OutRsts"];

/// The counters of a network at one moment.
#[derive(Debug, Clone)]
pub struct Resets(Vec<(String, i64)>);

impl Resets {
    /// Now.
    #[must_use]
    pub fn now(net: &Topology) -> Self {
        // By role: a gateway whose sandbox was rebuilt has a namespace of another name, and counters that begin at 0.
        let hosts =
            net.hosts().into_iter().zip(["client", "pod2", "far", "server", "server2"]).chain([(&net.gw, "gw")]);
        let read = hosts.flat_map(|(host, role)| {
            let counters = Counters::read(host);
            COUNTERS.map(|name| (format!("{name} of {role}"), counters.get(name)))
        });
        Self(read.collect())
    }

    /// Which have grown since, and by how much.
    #[must_use]
    pub fn since(&self, net: &Topology) -> Vec<(String, u64)> {
        let Self(now) = Self::now(net);
        let more = |(name, now): (String, i64)| {
            let before = self.0.iter().find(|(known, _)| *known == name).map_or(0, |(_, before)| *before);
            (now > before).then(|| (name, now.abs_diff(before)))
        };
        now.into_iter().filter_map(more).collect()
    }
}

/// How many connections that were: one reset is seen by several counters.
#[must_use]
pub fn count(grown: &[(String, u64)]) -> u64 {
    grown.iter().map(|(_, more)| *more).max().unwrap_or(0)
}
