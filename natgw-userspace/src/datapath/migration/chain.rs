//! From one version of the map ABI to the next: pure functions over bytes, one [`Step`] per version left behind.

use natgw_common::abi::{ABI_VERSION, MapSpec};

use super::steps;
use crate::datapath::abi_check::FoundMap;

/// An entry of a map.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value; of one CPU, for per-CPU maps.
    pub value: Vec<u8>,
}

/// What becomes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is now one of the next version.
    Kept,
    /// The next version has no place for it.
    Dropped,
}

/// How the maps of one version become those of the next. Never changed once released: it describes what is pinned
/// somewhere.
#[derive(Debug)]
pub struct Step {
    /// The version it reads. It makes the next one.
    pub from: u32,
    /// The maps of that version, as they were.
    pub maps: &'static [MapSpec],
    /// Where `hold_until_ns` was in the value of `CONFIG`.
    pub hold_at: usize,
    /// Turns an entry of the named map into one of the next version. Not called for `ABI`, which is written anew, nor
    /// for `FLOWS`, which follows from `SESSIONS`.
    pub convert: fn(map: &str, entry: &mut Entry) -> Fate,
}

/// The steps from a pinned version to that of this build.
#[derive(Debug, Clone, Copy)]
pub struct Chain(&'static [Step]);

impl Chain {
    /// The way from `version`, if this build knows one.
    #[must_use]
    pub fn from(version: u32) -> Option<Self> {
        Self::between(steps::ALL, version, ABI_VERSION)
    }

    fn between(all: &'static [Step], from: u32, to: u32) -> Option<Self> {
        let first = all.iter().position(|step| step.from == from)?;
        let wanted = usize::try_from(to.checked_sub(from)?).ok()?;
        let steps = all.get(first..first.checked_add(wanted)?)?;
        let unbroken = steps.iter().zip(from..).all(|(step, version)| step.from == version);
        (unbroken && !steps.is_empty()).then_some(Self(steps))
    }

    /// The version it begins with.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.0.first().map_or(ABI_VERSION, |step| step.from)
    }

    /// The maps of the version it begins with.
    #[must_use]
    pub fn maps(&self) -> &'static [MapSpec] {
        self.0.first().map_or(&[], |step| step.maps)
    }

    /// The layouts these maps must have; whichever capacity they were made with is right.
    pub(in crate::datapath) fn expected(&self, found: &[FoundMap]) -> Vec<MapSpec> {
        let sized = |spec: &MapSpec| {
            let found = found.iter().find(|found| found.name == spec.name);
            MapSpec { max_entries: found.map_or(spec.max_entries, |found| found.max_entries), ..*spec }
        };
        self.maps().iter().map(sized).collect()
    }

    /// Where that version has `hold_until_ns` in `CONFIG`.
    #[must_use]
    pub fn hold_at(&self) -> usize {
        self.0.first().map_or(0, |step| step.hold_at)
    }

    /// Takes an entry through all steps.
    pub fn convert(&self, map: &str, entry: &mut Entry) -> Fate {
        for step in self.0 {
            if (step.convert)(map, entry) == Fate::Dropped {
                return Fate::Dropped;
            }
        }
        Fate::Kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn step(from: u32, convert: fn(&str, &mut Entry) -> Fate) -> Step {
        Step { from, maps: &[], hold_at: 0, convert }
    }

    static STEPS: [Step; 3] = [
        step(3, |_, entry| {
            entry.value.push(3);
            Fate::Kept
        }),
        step(4, |map, entry| {
            entry.value.push(4);
            if map == "GONE" { Fate::Dropped } else { Fate::Kept }
        }),
        step(6, |_, _| Fate::Kept),
    ];

    #[test]
    fn the_steps_are_taken_one_after_the_other() {
        let chain = Chain::between(&STEPS, 3, 5).unwrap();
        let mut entry = Entry { key: vec![7], value: vec![1] };
        assert_eq!(chain.convert("EIPS", &mut entry), Fate::Kept);
        assert_eq!(entry, Entry { key: vec![7], value: vec![1, 3, 4] });
        assert_eq!(chain.version(), 3);
    }

    #[test]
    fn an_entry_that_one_step_drops_is_gone() {
        assert_eq!(Chain::between(&STEPS, 3, 5).unwrap().convert("GONE", &mut Entry::default()), Fate::Dropped);
    }

    #[test]
    fn a_version_without_a_way_has_no_chain() {
        for (from, to, why) in [
            (2, 5, "too old"),
            (3, 7, "a step is missing between"),
            (6, 8, "a step is missing at the end"),
            (3, 3, "nothing to do"),
            (5, 5, "nothing to do"),
            (4, 3, "a step back"),
            (u32::MAX, 3, "the future"),
        ] {
            assert!(Chain::between(&STEPS, from, to).is_none(), "{why}");
        }
    }

    #[test]
    fn this_build_has_no_way_from_itself_or_the_future() {
        assert!(Chain::from(ABI_VERSION).is_none() && Chain::from(ABI_VERSION + 1).is_none());
    }

    #[test]
    fn the_steps_of_this_build_lead_to_it_without_a_gap() {
        for (step, version) in steps::ALL.iter().rev().zip((0..ABI_VERSION).rev()) {
            assert_eq!(step.from, version);
            assert!(Chain::from(step.from).is_some());
        }
    }
}
