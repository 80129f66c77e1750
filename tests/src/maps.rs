//! What the pinned maps hold, as bpftool reads it: an eye that shares no code with natgw.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::Value;

use crate::{Gateway, command};

/// The maps that only the daemon writes.
pub const RULE_MAPS: [&str; 5] = ["EIPS", "FIP_IN", "FIP_OUT", "DNAT", "SNAT"];

/// Entries of some maps: map name to `key => value` lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MapDump(BTreeMap<String, BTreeSet<String>>);

impl MapDump {
    /// The rule maps and the configuration of `gateway`.
    ///
    /// # Panics
    /// When they are not pinned.
    #[must_use]
    pub fn rules(gateway: &Gateway) -> Self {
        Self::read(gateway, &RULE_MAPS)
    }

    /// The named maps of `gateway`.
    ///
    /// # Panics
    /// When they are not pinned.
    #[must_use]
    pub fn read(gateway: &Gateway, names: &[&str]) -> Self {
        let dir = gateway.pins().join("maps");
        Self(names.iter().map(|name| ((*name).to_owned(), dump(&dir.join(name)))).collect())
    }

    /// How many entries the map has.
    #[must_use]
    pub fn len(&self, map: &str) -> usize {
        self.0.get(map).map_or(0, BTreeSet::len)
    }

    /// Whether no map has an entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.values().all(BTreeSet::is_empty)
    }

    /// The entries of `map`.
    ///
    /// # Panics
    /// When it was not read.
    #[must_use]
    pub fn entries(&self, map: &str) -> &BTreeSet<String> {
        &self.0[map]
    }

    /// What is in one of the two and not in the other, for messages and counts.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Vec<String> {
        let lines = |one: &Self, two: &Self, sign: char| -> Vec<String> {
            let empty = BTreeSet::new();
            let pairs = one.0.iter().map(|(map, entries)| (map, entries, two.0.get(map).unwrap_or(&empty)));
            pairs
                .flat_map(|(map, entries, others)| {
                    entries.difference(others).map(move |entry| format!("{sign}{map} {entry}"))
                })
                .collect()
        };
        [lines(self, other, '-'), lines(other, self, '+')].concat()
    }
}

/// Deletes an entry of a pinned map by hand.
///
/// # Panics
/// When it is not there.
pub fn delete(gateway: &Gateway, map: &str, key: &[u8]) {
    edit(gateway, map, "delete", &[("key", key)]);
}

/// Writes an entry of a pinned map by hand.
///
/// # Panics
/// When the map does not take it.
pub fn put(gateway: &Gateway, map: &str, key: &[u8], value: &[u8]) {
    edit(gateway, map, "update", &[("key", key), ("value", value)]);
}

fn edit(gateway: &Gateway, map: &str, verb: &str, operands: &[(&str, &[u8])]) {
    let pin = gateway.pins().join("maps").join(map).display().to_string();
    let bytes = |(name, bytes): &(&str, &[u8])| {
        std::iter::once((*name).to_owned()).chain(bytes.iter().map(ToString::to_string)).collect::<Vec<_>>()
    };
    let operands: Vec<String> = operands.iter().flat_map(bytes).collect();
    let args = ["map", verb, "pinned", &pin].into_iter().chain(operands.iter().map(String::as_str));
    command::run("bpftool", &args.collect::<Vec<_>>());
}

fn dump(pin: &Path) -> BTreeSet<String> {
    let path = pin.display().to_string();
    let json: Value = serde_json::from_str(&command::run("bpftool", &["-j", "map", "dump", "pinned", &path]))
        .unwrap_or_else(|error| panic!("bpftool's dump of {path} is no JSON: {error}"));
    let entries = json.as_array().unwrap_or_else(|| panic!("bpftool's dump of {path} is no list"));
    entries.iter().map(line).collect()
}

/// `key => value`, from the BTF form where there is one.
fn line(entry: &Value) -> String {
    let typed = entry.get("formatted").unwrap_or(entry);
    let part = |name: &str| typed.get(name).map_or_else(|| "?".to_owned(), Value::to_string);
    format!("{} => {}", part("key"), part("value"))
}
