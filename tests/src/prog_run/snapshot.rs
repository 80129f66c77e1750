//! Everything that the programs may change, read at one moment.

use std::collections::BTreeMap;

use natgw_common::abi::{Counter, DropReason, FlowKey, Session, SessionKey, SessionStat, Traffic};

/// The state maps; per-CPU values are summed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// `SESSIONS`
    pub sessions: BTreeMap<SessionKey, Session>,
    /// `FLOWS`
    pub flows: BTreeMap<FlowKey, SessionKey>,
    /// `COUNTERS`
    pub counters: Vec<Traffic>,
    /// `DROPS`
    pub drops: Vec<Traffic>,
    /// `SESSION_STATS`
    pub stats: Vec<u64>,
}

fn grown(now: &[Traffic], then: &[Traffic]) -> impl Iterator<Item = (usize, Traffic)> {
    now.iter()
        .zip(then)
        .enumerate()
        .map(|(n, (now, then))| {
            let grown = Traffic { packets: now.packets - then.packets, bytes: now.bytes - then.bytes };
            (n, grown)
        })
        .filter(|(_, traffic)| *traffic != Traffic::default())
}

impl Snapshot {
    /// The counters that grew since `then`, by how much.
    #[must_use]
    pub fn counters_since(&self, then: &Self) -> BTreeMap<Counter, Traffic> {
        grown(&self.counters, &then.counters).map(|(n, traffic)| (Counter::ALL[n], traffic)).collect()
    }

    /// The drop reasons that grew since `then`, by how much.
    #[must_use]
    pub fn drops_since(&self, then: &Self) -> BTreeMap<DropReason, Traffic> {
        grown(&self.drops, &then.drops).map(|(n, traffic)| (DropReason::ALL[n], traffic)).collect()
    }

    /// The session events since `then`.
    #[must_use]
    pub fn stats_since(&self, then: &Self) -> BTreeMap<SessionStat, u64> {
        let each = self.stats.iter().zip(&then.stats).enumerate();
        each.map(|(n, (now, then))| (SessionStat::ALL[n], now - then)).filter(|(_, grown)| *grown != 0).collect()
    }
}
