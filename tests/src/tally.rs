//! What the data plane itself counted (`COUNTERS`, `DROPS`), as bpftool reads the pinned maps.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use natgw_common::abi::{Counter, DropReason, map};
use serde_json::Value;

use crate::{Gateway, command};

/// A snapshot: packets since the gateway began. What is zero is left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Translated and passed packets.
    pub counters: BTreeMap<Counter, u64>,
    /// Dropped packets.
    pub drops: BTreeMap<DropReason, u64>,
}

impl Tally {
    /// The counters of `gateway` now; `None` when it has no data plane.
    ///
    /// # Panics
    /// When the pinned maps cannot be read.
    #[must_use]
    pub fn read(gateway: &Gateway) -> Option<Self> {
        let dir = gateway.pins().join("maps");
        dir.exists().then(|| Self {
            counters: packets(&dir.join(map::COUNTERS), Counter::ALL),
            drops: packets(&dir.join(map::DROPS), DropReason::ALL),
        })
    }

    /// What was counted after `then`.
    #[must_use]
    pub fn since(&self, then: &Self) -> BTreeMap<Counter, u64> {
        let grown = self.counters.iter().map(|(kind, now)| (*kind, now - then.counters.get(kind).unwrap_or(&0)));
        grown.filter(|(_, packets)| *packets != 0).collect()
    }

    /// Asserts that packets were dropped for every reason in `must`, and for none but these and those in `may`.
    ///
    /// # Panics
    /// When it is not so.
    pub fn assert_drops(&self, must: &BTreeSet<DropReason>, may: &BTreeSet<DropReason>) {
        let found: BTreeSet<_> = self.drops.keys().copied().collect();
        let missing: Vec<_> = must.difference(&found).collect();
        assert!(missing.is_empty(), "natgw was expected to drop for {missing:?} and dropped {:?}", self.drops);
        let surplus: Vec<_> = found.iter().filter(|reason| !must.contains(reason) && !may.contains(reason)).collect();
        assert!(surplus.is_empty(), "natgw dropped for {surplus:?}, which nobody provoked: {:?}", self.drops);
    }
}

/// The packets of a per-CPU array of `Traffic`, all CPUs together.
fn packets<K: Copy + Ord>(pin: &Path, names: &[K]) -> BTreeMap<K, u64> {
    let path = pin.display().to_string();
    let json: Value = serde_json::from_str(&command::run("bpftool", &["-j", "map", "dump", "pinned", &path]))
        .unwrap_or_else(|error| panic!("bpftool's dump of {path} is no JSON: {error}"));
    let entries = json.as_array().unwrap_or_else(|| panic!("bpftool's dump of {path} is no list"));
    assert_eq!(entries.len(), names.len(), "{path} has a number of entries that this test does not know");
    let sum = |entry: &Value| -> u64 {
        let cpus = entry["values"].as_array().unwrap_or_else(|| panic!("{path} is not per CPU: {entry}"));
        cpus.iter().map(|cpu| number(&cpu["value"])).sum()
    };
    let keyed = entries.iter().map(|entry| (names[usize::try_from(number(&entry["key"])).expect("small")], sum(entry)));
    keyed.filter(|(_, packets)| *packets != 0).collect()
}

/// The little-endian number of at most 8 bytes that begins bpftool's list of hexadecimal bytes.
fn number(bytes: &Value) -> u64 {
    let bytes = bytes.as_array().unwrap_or_else(|| panic!("{bytes} is no list of bytes"));
    let byte = |value: &Value| {
        let text = value.as_str().and_then(|text| text.strip_prefix("0x"));
        text.and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or_else(|| panic!("{value} is no byte"))
    };
    bytes.iter().take(8).rev().fold(0, |sum, value| sum << 8 | byte(value))
}
