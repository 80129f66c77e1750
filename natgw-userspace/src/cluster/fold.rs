//! What the watches have told, folded into an index: pure, so that any order of events can be tried.

use std::collections::{BTreeMap, BTreeSet};

use kube::runtime::watcher::Event;
use serde_json::Value;

use super::{watch::Told, watched::Watched};
use crate::core::{
    diagnostic::Diagnostic,
    index::Index,
    objects::{Kind, ObjectKey},
    verdict::Unread,
};

/// What the API server holds of an object besides its spec.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observed {
    /// `metadata.uid`.
    pub uid: String,
    /// `status`.
    pub status: Value,
}

/// An object whose spec cannot be read.
#[derive(Debug, Clone, PartialEq)]
struct Malformed {
    problem: Diagnostic,
    /// `metadata.generation` of that spec.
    generation: i64,
}

/// Everything told so far.
#[derive(Debug, Default)]
pub(super) struct Fold {
    index: Index,
    observed: BTreeMap<ObjectKey, Observed>,
    malformed: BTreeMap<ObjectKey, Malformed>,
    /// Kinds of which something is known: what the server had at hand, or all.
    known: BTreeSet<Kind>,
    listed: BTreeSet<Kind>,
    /// Objects of which [`Observed`] has changed since this was last taken.
    fresh: BTreeSet<ObjectKey>,
    /// Objects of which what they ask for has changed since this was last taken; `None`: any may have.
    asked: Option<BTreeSet<ObjectKey>>,
    /// Names seen in the lists that have begun and not ended.
    listing: BTreeMap<Kind, BTreeSet<String>>,
}

/// What an event changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// What somebody asks for, or whether it can be read, or whether everything is known.
    pub desired: bool,
    /// What is said of an object.
    pub observed: bool,
}

impl Change {
    /// Adds another change.
    pub fn add(&mut self, other: Self) {
        self.desired |= other.desired;
        self.observed |= other.observed;
    }
}

impl Fold {
    /// Takes in what is heard about the objects of `kind`.
    pub(super) fn take(&mut self, kind: Kind, told: Told) -> Change {
        match told {
            Told::AtHand(objects) => {
                let mut change = Change { desired: self.known.insert(kind), observed: false };
                for watched in objects {
                    change.add(self.apply(kind, watched));
                }
                change
            }
            Told::Event(event) => self.take_event(kind, event),
        }
    }

    fn take_event(&mut self, kind: Kind, event: Event<Watched>) -> Change {
        match event {
            Event::Init => {
                self.listing.insert(kind, BTreeSet::new());
                Change::default()
            }
            Event::InitApply(watched) => {
                if let (Some(seen), Some(name)) = (self.listing.get_mut(&kind), &watched.metadata.name) {
                    seen.insert(name.clone());
                }
                self.apply(kind, watched)
            }
            Event::InitDone => self.finish_listing(kind),
            Event::Apply(watched) => self.apply(kind, watched),
            Event::Delete(watched) => self.delete(&ObjectKey::new(kind, watched.metadata.name.unwrap_or_default())),
        }
    }

    fn apply(&mut self, kind: Kind, watched: Watched) -> Change {
        let read = watched.object(kind);
        let generation = watched.metadata.generation.unwrap_or(0);
        let key = ObjectKey::new(kind, watched.metadata.name.unwrap_or_default());
        let observed = Observed { uid: watched.metadata.uid.unwrap_or_default(), status: watched.status };
        let mut change = Change::default();
        if self.observed.get(&key) != Some(&observed) {
            change.observed = true;
            self.observed.insert(key.clone(), observed);
            self.fresh.insert(key.clone());
        }
        match read {
            Ok(object) => {
                change.desired = self.malformed.remove(&key).is_some() || self.index.get(&key) != Some(&object);
                if change.desired {
                    self.ask(&key);
                    self.index.apply(object);
                }
            }
            // What it last said stays in force.
            Err(problem) => {
                let malformed = Malformed { problem: *problem, generation };
                change.desired = self.malformed.get(&key) != Some(&malformed);
                self.malformed.insert(key, malformed);
            }
        }
        change
    }

    fn ask(&mut self, key: &ObjectKey) {
        if let Some(asked) = &mut self.asked {
            asked.insert(key.clone());
        }
    }

    fn delete(&mut self, key: &ObjectKey) -> Change {
        let known = self.index.get(key).is_some() || self.malformed.contains_key(key);
        self.ask(key);
        self.index.delete(key);
        self.malformed.remove(key);
        let observed = self.observed.remove(key).is_some();
        if observed {
            self.fresh.insert(key.clone());
        }
        Change { desired: known, observed }
    }

    /// Whatever a complete list does not name was deleted while nobody watched.
    fn finish_listing(&mut self, kind: Kind) -> Change {
        let seen = self.listing.remove(&kind).unwrap_or_default();
        let gone: Vec<ObjectKey> =
            self.observed.keys().filter(|key| key.kind == kind && !seen.contains(&*key.name)).cloned().collect();
        self.known.insert(kind);
        let mut change = Change { desired: self.listed.insert(kind), observed: false };
        for key in gone {
            change.add(self.delete(&key));
        }
        change
    }

    /// The objects.
    #[must_use]
    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// What is known of the object besides its spec.
    #[must_use]
    pub(super) fn observed(&self, key: &ObjectKey) -> Option<&Observed> {
        self.observed.get(key)
    }

    /// The objects of which [`Observed`] has changed since the last call.
    pub(super) fn take_fresh(&mut self) -> BTreeSet<ObjectKey> {
        std::mem::take(&mut self.fresh)
    }

    /// The objects of which the index has changed since the last call; the first time that is every one.
    pub(super) fn take_asked(&mut self) -> Option<BTreeSet<ObjectKey>> {
        self.asked.replace(BTreeSet::new())
    }

    /// What is wrong with objects that cannot be read.
    pub(super) fn malformed(&self) -> impl Iterator<Item = &Diagnostic> {
        self.malformed.values().map(|malformed| &malformed.problem)
    }

    /// The generations of the specs that cannot be read.
    pub(super) fn unread(&self) -> Unread {
        self.malformed.iter().map(|(key, malformed)| (key.clone(), malformed.generation)).collect()
    }

    /// Required kinds of which nothing is known yet.
    pub(super) fn unknown(&self) -> impl Iterator<Item = Kind> {
        Kind::REQUIRED.into_iter().filter(|kind| !self.known.contains(kind))
    }

    /// Required kinds that have not been listed once.
    pub(super) fn unlisted(&self) -> impl Iterator<Item = Kind> {
        Kind::REQUIRED.into_iter().filter(|kind| !self.listed.contains(kind))
    }
}

#[cfg(test)]
mod tests;
