//! Carries sessions from the old maps to the new ones, in three walks ([`Walk`]).
//!
//! Writing one takes microseconds, looking at one a tenth of that, so while the programs open no session only those are
//! written that are not there at all. Every entry is put as if there may be one already, and **the one seen last wins**,
//! for each tuple outside and for each flow inside. `FLOWS` is not read: it follows from the records. What programs have
//! removed meanwhile stays in the new maps unless something took its place: they remove only what is expired or closed.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
    io,
};

use natgw_common::abi::{MAPS, MapSpec, Session, SessionKey, map};

use super::{
    chain::{Chain, Entry},
    generation::{self, Maps, MigrationError},
};
use crate::datapath::{
    raw::{Batch, ByteMap, bytes_of, from_bytes},
    sessions::BATCH,
};

/// Which walk it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walk {
    /// While the old programs work: everything.
    Filling,
    /// While no session is opened: those that are new since.
    Held,
    /// Behind the switch: what has changed since it was carried.
    Closing,
}

/// What one walk did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Carried {
    /// Written to the new maps.
    pub(super) written: u64,
    /// Not taken over: being removed, without a place in the new version, or older than what is there.
    pub(super) left: u64,
    /// Known, and newer by a time stamp or a state: left for the last walk.
    pub(super) later: u64,
}

/// What became of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Put {
    Written,
    Left,
    Later,
}

/// Walks the old sessions.
#[derive(Debug)]
pub(super) struct Carrier {
    chain: Chain,
    spec: &'static MapSpec,
    /// `None`: there are none, or not any more.
    old: Option<ByteMap>,
    sessions: ByteMap,
    flows: ByteMap,
    /// Hashes of the entries that were carried as they are: eight bytes each, not a copy of the table.
    done: HashSet<u64>,
    /// Hashes of what never changes in the sessions that were carried.
    known: HashSet<u64>,
    hash: RandomState,
}

fn failed(action: &'static str) -> impl Fn(io::Error) -> MigrationError {
    move |source| MigrationError::Map { action, map: map::SESSIONS, source }
}

impl Carrier {
    pub(super) fn new(chain: Chain, old: &Maps, new: &Maps) -> Result<Self, MigrationError> {
        let spec = MAPS.iter().find(|spec| spec.name == map::SESSIONS);
        Ok(Self {
            chain,
            spec: spec.ok_or(MigrationError::Missing { map: map::SESSIONS })?,
            old: old.find(map::SESSIONS)?,
            sessions: new.get(map::SESSIONS)?,
            flows: new.get(map::FLOWS)?,
            done: HashSet::new(),
            known: HashSet::new(),
            hash: RandomState::new(),
        })
    }

    /// Carries every session that was not yet, or has changed since. Calls `alive` between batches.
    pub(super) fn carry(
        &mut self,
        walk: Walk,
        mut alive: impl FnMut() -> Result<(), MigrationError>,
    ) -> Result<Carried, MigrationError> {
        let mut carried = Carried::default();
        let Some(old) = self.old.take() else { return Ok(carried) };
        let (mut batch, mut cursor, mut entry) = (Batch::default(), None, Entry::default());
        loop {
            cursor = old.batch(cursor, BATCH, &mut batch).map_err(failed("read"))?;
            for (key, value) in batch.entries() {
                let mark = self.hash.hash_one((key, value));
                if self.done.contains(&mark) {
                    continue;
                }
                entry.key.clear();
                entry.key.extend_from_slice(key);
                entry.value.clear();
                entry.value.extend_from_slice(value);
                match self.put(&mut entry, walk)? {
                    Put::Written => carried.written += 1,
                    Put::Left => carried.left += 1,
                    Put::Later => {
                        carried.later += 1;
                        continue;
                    }
                }
                self.done.insert(mark);
            }
            alive()?;
            if cursor.is_none() {
                self.old = Some(old);
                return Ok(carried);
            }
        }
    }

    /// Puts one entry of the old maps.
    fn put(&mut self, entry: &mut Entry, walk: Walk) -> Result<Put, MigrationError> {
        let Some(entry) = generation::convert(&self.chain, self.spec, entry)? else { return Ok(Put::Left) };
        let (Some(key), Some(mut session)) = (from_bytes(&entry.key), from_bytes::<Session>(&entry.value)) else {
            return Ok(Put::Left);
        };
        if session.last_seen_ns & Session::DEAD != 0 {
            return Ok(Put::Left);
        }
        session.tag = SessionKey::tag(&key);
        let fixed = self.hash.hash_one((key, session.flow_key(&key), session.created_ns));
        let known = !self.known.insert(fixed);
        if known && walk == Walk::Held {
            return Ok(Put::Later);
        }
        // One that is known has changed since, perhaps in a second that its time stamp does not show.
        let written = self.claim(&key, &session, known).map_err(failed("write"))?;
        Ok(if written { Put::Written } else { Put::Left })
    }

    fn claim(&self, key: &SessionKey, session: &Session, changed: bool) -> io::Result<bool> {
        if !self.sessions.put_new(bytes_of(key), bytes_of(session))? {
            let Some(there) = self.session(key)? else { return Ok(false) };
            if !wins(session, &there, changed) {
                return Ok(false);
            }
            let flow = there.flow_key(key);
            if flow != session.flow_key(key) && self.leads_to(bytes_of(&flow), key)? {
                self.flows.remove(bytes_of(&flow))?;
            }
            self.sessions.put(bytes_of(key), bytes_of(session))?;
        }
        self.index(key, session)
    }

    /// Makes the index lead to `session`, unless its flow has a session that was seen later.
    fn index(&self, key: &SessionKey, session: &Session) -> io::Result<bool> {
        let flow = session.flow_key(key);
        if self.flows.put_new(bytes_of(&flow), bytes_of(key))? || self.leads_to(bytes_of(&flow), key)? {
            return Ok(true);
        }
        if let Some(other) = self.flows.get(bytes_of(&flow))?.and_then(|bytes| from_bytes::<SessionKey>(&bytes))
            && let Some(there) = self.session(&other)?
            && there.flow_key(&other) == flow
        {
            if !wins(session, &there, false) {
                self.sessions.remove(bytes_of(key))?;
                return Ok(false);
            }
            self.sessions.remove(bytes_of(&other))?;
        }
        self.flows.put(bytes_of(&flow), bytes_of(key))?;
        Ok(true)
    }

    fn session(&self, key: &SessionKey) -> io::Result<Option<Session>> {
        Ok(self.sessions.get(bytes_of(key))?.and_then(|bytes| from_bytes(&bytes)))
    }

    fn leads_to(&self, flow: &[u8], key: &SessionKey) -> io::Result<bool> {
        Ok(self.flows.get(flow)?.is_some_and(|found| found == bytes_of(key)))
    }
}

/// Whether `old` takes the place of `there`. A session that is being removed is nobody's match.
fn wins(old: &Session, there: &Session, changed: bool) -> bool {
    let dead = there.last_seen_ns & Session::DEAD != 0;
    let later = old.last_seen_ns > there.last_seen_ns;
    let changed = changed && old.last_seen_ns == there.last_seen_ns && old.state != there.state;
    !dead && (later || changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(last_seen_ns: u64, state: u32) -> Session {
        // SAFETY is not at stake: any bytes are a session.
        let mut session: Session = from_bytes(&[0; size_of::<Session>()]).unwrap();
        (session.last_seen_ns, session.state) = (last_seen_ns, state);
        session
    }

    #[test]
    fn the_one_seen_last_wins() {
        assert!(wins(&session(2, 0), &session(1, 0), false));
        assert!(!wins(&session(1, 0), &session(2, 0), true));
        assert!(!wins(&session(1, 3), &session(1, 4), false));
    }

    #[test]
    fn a_change_within_the_second_of_a_time_stamp_wins_when_it_is_known_to_be_one() {
        assert!(wins(&session(1, 4), &session(1, 3), true));
        assert!(!wins(&session(1, 3), &session(1, 3), true));
    }

    #[test]
    fn a_session_that_is_being_removed_is_left_to_whoever_removes_it() {
        assert!(!wins(&session(5, 0), &session(4 | Session::DEAD, 0), true));
    }
}
