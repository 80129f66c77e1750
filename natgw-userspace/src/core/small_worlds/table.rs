//! The two session maps of the kernel, for a handful of sessions.
//!
//! Slots are never freed, so that a reference to one lives as long as the table; a removed one is only marked.

use std::cell::{Cell, OnceCell};

use natgw_common::{
    abi::{FlowKey, Session, SessionKey},
    nat::{Fixed, Inserted, SessionCell},
};

/// More than any experiment opens.
const SLOTS: usize = 8;

/// One session.
#[derive(Debug)]
pub(super) struct Slot {
    key: SessionKey,
    session: Cell<Session>,
    there: Cell<bool>,
}

/// One index entry.
#[derive(Debug)]
struct Flow {
    key: FlowKey,
    leads_to: SessionKey,
    there: Cell<bool>,
}

/// `SESSIONS` and `FLOWS`.
#[derive(Debug, Default)]
pub(super) struct Table {
    sessions: [OnceCell<Slot>; SLOTS],
    flows: [OnceCell<Flow>; SLOTS],
}

fn add<T>(slots: &[OnceCell<T>; SLOTS], new: T) {
    let free = slots.iter().find(|slot| slot.get().is_none()).expect("an experiment opens few sessions");
    assert!(free.set(new).is_ok());
}

impl Table {
    /// Every session there is.
    pub(super) fn dump(&self) -> Vec<(SessionKey, Session)> {
        let slots = self.sessions.iter().filter_map(OnceCell::get).filter(|slot| slot.there.get());
        slots.map(|slot| (slot.key, slot.session.get())).collect()
    }

    pub(super) fn session(&self, key: &SessionKey) -> Option<&Slot> {
        self.sessions.iter().map_while(OnceCell::get).find(|slot| slot.there.get() && slot.key == *key)
    }

    pub(super) fn flow(&self, key: &FlowKey) -> Option<&SessionKey> {
        self.flow_entry(key).map(|flow| &flow.leads_to)
    }

    fn flow_entry(&self, key: &FlowKey) -> Option<&Flow> {
        self.flows.iter().map_while(OnceCell::get).find(|flow| flow.there.get() && flow.key == *key)
    }

    pub(super) fn insert_session(&self, key: &SessionKey, session: &Session) -> Inserted {
        if self.session(key).is_some() {
            return Inserted::Exists;
        }
        add(&self.sessions, Slot { key: *key, session: Cell::new(*session), there: Cell::new(true) });
        Inserted::Yes
    }

    pub(super) fn insert_flow(&self, key: &FlowKey, leads_to: &SessionKey) -> Inserted {
        if self.flow(key).is_some() {
            return Inserted::Exists;
        }
        add(&self.flows, Flow { key: *key, leads_to: *leads_to, there: Cell::new(true) });
        Inserted::Yes
    }

    pub(super) fn remove_session(&self, key: &SessionKey) {
        if let Some(slot) = self.session(key) {
            slot.there.set(false);
        }
    }

    pub(super) fn remove_flow(&self, key: &FlowKey) {
        if let Some(flow) = self.flow_entry(key) {
            flow.there.set(false);
        }
    }
}

impl SessionCell for &Slot {
    fn last_seen_ns(self) -> u64 {
        self.session.get().last_seen_ns
    }
    fn swap_last_seen(self, old: u64, new: u64) -> bool {
        let session = self.session.get();
        self.session.set(Session { last_seen_ns: new, ..session });
        session.last_seen_ns == old
    }
    fn created_ns(self) -> u64 {
        self.session.get().created_ns
    }
    fn state(self) -> u32 {
        self.session.get().state
    }
    fn swap_state(self, old: u32, new: u32) -> bool {
        let session = self.session.get();
        self.session.set(Session { state: new, ..session });
        session.state == old
    }
    fn fixed(self) -> Fixed {
        let Session { int_addr, peer_addr, int_port, peer_port, origin, .. } = self.session.get();
        Fixed { int_addr, peer_addr, int_port, peer_port, origin }
    }
    fn tag(self) -> u32 {
        self.session.get().tag
    }
}
