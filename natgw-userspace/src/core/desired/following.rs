//! The desired state of a gateway, kept from one change to the next.
//!
//! Most changes are of port mappings alone, and there are thousands of those: they are mended where they changed. Any other
//! change builds everything anew. Either way it is what [`DesiredState::build`] makes of the same objects.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use natgw_common::abi::{DnatKey, DnatTarget, EipFlags};

use super::{DesiredState, Diagnostic, Entry, dnat, eips::Eips, fields::Report};
use crate::core::{
    index::Index,
    objects::{Kind, Object, ObjectKey},
};

/// Above one changed mapping in this many, building anew is cheaper.
const FEW: usize = 16;

/// What a gateway should do, and what is wrong with its objects.
#[derive(Debug, Default)]
pub struct Following {
    state: Arc<DesiredState>,
    said: Vec<Diagnostic>,
    eips: Eips,
    /// Made when it is first needed after everything was built.
    mappings: Option<Mappings>,
}

/// Port mappings that are valid by themselves.
#[derive(Debug, Default)]
struct Mappings {
    /// Who wants what, in no order.
    rivals: BTreeMap<DnatKey, Vec<ObjectKey>>,
    /// What each one wants.
    wanted: HashMap<ObjectKey, DnatKey>,
}

impl Following {
    /// Builds everything.
    pub fn build(&mut self, index: &Index, gateway: &str) {
        let (state, said, eips) = DesiredState::build_with(index, gateway);
        // Whoever holds the state sees by this whether it changed.
        if *self.state != state {
            self.state = Arc::new(state);
        }
        (self.said, self.eips, self.mappings) = (said, eips, None);
    }

    /// Follows the objects that were made, changed or deleted since the last call; all others are as they were.
    pub fn follow(&mut self, index: &Index, gateway: &str, changed: &BTreeSet<ObjectKey>) {
        let mappings_alone = changed.iter().all(|key| key.kind == Kind::IptablesDnatRule);
        // Whether an EIP that is being deleted is still there depends on every rule.
        if !mappings_alone || self.eips.any_deleting() || changed.len() > self.state.dnat.len() / FEW {
            return self.build(index, gateway);
        }
        if changed.is_empty() {
            return;
        }
        let eips = &self.eips;
        let mut mappings = self.mappings.take().unwrap_or_else(|| Mappings::of(index, eips, &self.state, changed));
        self.mend(index, &mut mappings, changed);
        self.mappings = Some(mappings);
    }

    /// What should be there now.
    #[must_use]
    pub fn state(&self) -> &Arc<DesiredState> {
        &self.state
    }

    /// What is wrong with the objects, sorted by object.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.said
    }

    /// Whether the last change was followed without building everything anew.
    #[cfg(test)]
    pub(super) const fn mended(&self) -> bool {
        self.mappings.is_some()
    }

    fn mend(&mut self, index: &Index, mappings: &mut Mappings, changed: &BTreeSet<ObjectKey>) {
        let mut report = Report::default();
        let mut touched = BTreeSet::new();
        for key in changed {
            touched.extend(mappings.remove(key));
            let candidate = index.get(key).and_then(|object| dnat::candidate(object, &self.eips, &mut report));
            touched.extend(candidate.map(|candidate| mappings.insert(&candidate)));
        }
        let mut judged = changed.clone();
        let mut news = Vec::new();
        for key in touched {
            let names = mappings.rivals.get(&key).map_or(&[][..], Vec::as_slice);
            judged.extend(names.iter().cloned());
            // They are valid by themselves, so of that nothing is said here.
            let objects = names.iter().filter_map(|name| index.get(name));
            let rivals = objects.filter_map(|object| dnat::candidate(object, &self.eips, &mut report));
            let mut rivals: Vec<_> = rivals.collect();
            rivals.sort_unstable_by_key(|candidate| candidate.object.seniority());
            let winner = dnat::first_of(&rivals, &self.state, &mut report);
            let winner = winner.map(|winner| (winner.target, winner.object.key.clone()));
            if !has(&self.state, key, winner.as_ref()) {
                news.push((key, winner));
            }
        }
        if !news.is_empty() {
            let state = Arc::make_mut(&mut self.state);
            for (key, winner) in news {
                put(state, key, winner);
            }
        }
        self.said.retain(|one| one.object.as_ref().is_none_or(|object| !judged.contains(object)));
        self.said.extend(report.finish());
        Report::sort(&mut self.said);
    }
}

fn has(state: &DesiredState, key: DnatKey, winner: Option<&(DnatTarget, ObjectKey)>) -> bool {
    let (target, owner) = winner.map(|(target, owner)| (target, owner)).unzip();
    state.dnat.get(&key) == target && state.owner(&Entry::Dnat(key)) == owner
}

/// Gives `key` to whoever has it now, and keeps the flag of its EIP right.
fn put(state: &mut DesiredState, key: DnatKey, winner: Option<(DnatTarget, ObjectKey)>) {
    if let Some((target, owner)) = winner {
        state.dnat.insert(key, target);
        state.owners.insert(Entry::Dnat(key), owner);
    } else {
        state.dnat.remove(&key);
        state.owners.remove(&Entry::Dnat(key));
    }
    let first = DnatKey::new(key.eip, [0; 2], 0);
    let carries = state.dnat.range(first..).next().is_some_and(|(next, _)| next.eip == key.eip);
    if let Some(entry) = state.eips.get_mut(&key.eip) {
        entry.flags &= !(EipFlags::Dnat as u32);
        entry.flags |= if carries { EipFlags::Dnat as u32 } else { 0 };
    }
}

impl Mappings {
    /// Those of `index`, but of the rules that are `changed` what they have in `state`. (One that had nothing because another
    /// has precedence leaves nothing behind.)
    fn of(index: &Index, eips: &Eips, state: &DesiredState, changed: &BTreeSet<ObjectKey>) -> Self {
        let mut mappings = Self::default();
        let rules = index.of_kind(Kind::IptablesDnatRule).filter(|object| !changed.contains(&object.key));
        for object in rules {
            // What is wrong with it was said when it came.
            if let Some(candidate) = dnat::candidate(object, eips, &mut Report::default()) {
                mappings.insert(&candidate);
            }
        }
        for (entry, owner) in state.owners.iter().filter(|(_, owner)| changed.contains(*owner)) {
            if let Entry::Dnat(key) = entry {
                mappings.wanted.insert(owner.clone(), *key);
            }
        }
        mappings
    }

    fn insert(&mut self, candidate: &dnat::Candidate<'_>) -> DnatKey {
        let Object { key: name, .. } = candidate.object;
        self.rivals.entry(candidate.key).or_default().push(name.clone());
        self.wanted.insert(name.clone(), candidate.key);
        candidate.key
    }

    /// Returns what the rule wanted.
    fn remove(&mut self, name: &ObjectKey) -> Option<DnatKey> {
        let key = self.wanted.remove(name)?;
        if let Some(rivals) = self.rivals.get_mut(&key) {
            rivals.retain(|other| other != name);
            if rivals.is_empty() {
                self.rivals.remove(&key);
            }
        }
        Some(key)
    }
}
