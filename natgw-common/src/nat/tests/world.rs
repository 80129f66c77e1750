//! The fake kernel: maps with capacity, a clock that stands still, repeatable randomness, routes.
//!
//! Like the kernel's preallocated hash maps it reuses the memory of a removed session at once, while another CPU may
//! still hold a pointer to it.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
    },
};

use super::{rules::Rules, schedule::step};
use crate::{
    abi::{
        Config, Counter, DnatKey, DnatTarget, DropReason, EipEntry, Fip, FlowKey, Session, SessionKey, SessionStat,
        SnatPool, Timeouts,
    },
    nat::{Action, Env, ErrorRewrite, Exit, Fixed, Inserted, SessionCell, Tuple},
    wire::Packet,
};

pub(super) const SECOND: u64 = 1_000_000_000;

/// The memory of one session.
struct Slot {
    last_seen: AtomicU64,
    created: AtomicU64,
    state: AtomicU32,
    tag: AtomicU32,
    fixed: Mutex<Fixed>,
}

#[derive(Clone, Copy)]
pub(super) struct Cell(&'static Slot);

impl SessionCell for Cell {
    fn last_seen_ns(self) -> u64 {
        step();
        self.0.last_seen.load(SeqCst)
    }
    fn swap_last_seen(self, old: u64, new: u64) -> bool {
        step();
        self.0.last_seen.compare_exchange(old, new, SeqCst, SeqCst).is_ok()
    }
    fn created_ns(self) -> u64 {
        step();
        self.0.created.load(SeqCst)
    }
    fn state(self) -> u32 {
        step();
        self.0.state.load(SeqCst)
    }
    fn swap_state(self, old: u32, new: u32) -> bool {
        step();
        self.0.state.compare_exchange(old, new, SeqCst, SeqCst).is_ok()
    }
    fn fixed(self) -> Fixed {
        step();
        *self.0.fixed.lock().unwrap()
    }
    fn tag(self) -> u32 {
        step();
        self.0.tag.load(SeqCst)
    }
}

pub(super) struct World {
    pub(super) config: Config,
    pub(super) rules: Rules,
    pub(super) max_sessions: usize,
    pub(super) max_flows: usize,
    clock: AtomicU64,
    random: AtomicU64,
    sessions: Mutex<BTreeMap<SessionKey, &'static Slot>>,
    free: Mutex<Vec<&'static Slot>>,
    pub(super) flows: Mutex<BTreeMap<FlowKey, SessionKey>>,
    stats: Mutex<BTreeMap<SessionStat, u64>>,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            config: Config {
                flags: 0,
                int_ifindex: 2,
                ext_ifindex: 3,
                port_min: 1024,
                port_max: 65535,
                port_secret: 0x5eed,
                timeouts: Timeouts::DEFAULT,
                hold_until_ns: 0,
            },
            rules: Rules::default(),
            max_sessions: usize::MAX,
            max_flows: usize::MAX,
            clock: AtomicU64::new(1000 * SECOND),
            random: AtomicU64::new(1),
            sessions: Mutex::default(),
            free: Mutex::default(),
            flows: Mutex::default(),
            stats: Mutex::default(),
        }
    }

    pub(super) fn pass_time(&self, nanoseconds: u64) {
        self.clock.fetch_add(nanoseconds, SeqCst);
    }

    pub(super) fn stat(&self, stat: SessionStat) -> u64 {
        self.stats.lock().unwrap().get(&stat).copied().unwrap_or(0)
    }

    /// Every session, as a dump of the map shows it.
    pub(super) fn dump(&self) -> Vec<(SessionKey, Session)> {
        let read = |slot: &Slot| {
            let fixed = *slot.fixed.lock().unwrap();
            Session {
                last_seen_ns: slot.last_seen.load(SeqCst),
                created_ns: slot.created.load(SeqCst),
                state: slot.state.load(SeqCst),
                int_addr: fixed.int_addr,
                peer_addr: fixed.peer_addr,
                int_port: fixed.int_port,
                peer_port: fixed.peer_port,
                origin: fixed.origin,
                tag: slot.tag.load(SeqCst),
            }
        };
        self.sessions.lock().unwrap().iter().map(|(key, slot)| (*key, read(slot))).collect()
    }

    /// Overwrites the last sight of a session, as a removal that stopped half-way leaves it.
    pub(super) fn set_last_seen(&self, key: &SessionKey, last_seen_ns: u64) {
        self.sessions.lock().unwrap()[key].last_seen.store(last_seen_ns, SeqCst);
    }

    /// An index entry that leads to each session, and a session for each entry.
    pub(super) fn check_index(&self) -> Result<(), String> {
        let sessions: BTreeMap<_, _> = self.dump().into_iter().collect();
        let flows = self.flows.lock().unwrap();
        for (key, session) in &sessions {
            let leads_to = flows.get(&session.flow_key(key));
            if leads_to != Some(key) {
                return Err(format!("the index of {key:?} leads to {leads_to:?}"));
            }
            if session.last_seen_ns & Session::DEAD != 0 {
                return Err(format!("{key:?} is dead and was left behind"));
            }
        }
        let lost = flows.iter().find(|(flow, key)| sessions.get(*key).is_none_or(|s| s.flow_key(key) != **flow));
        lost.map_or(Ok(()), |lost| Err(format!("an index entry leads nowhere: {lost:?}")))
    }
}

impl Env for World {
    type Cell = Cell;
    type Verdict = Action;

    fn pass(&self, count: Counter) -> Action {
        Action::Pass(count)
    }
    fn drop(&self, reason: DropReason) -> Action {
        Action::Drop(reason)
    }
    fn translate(&self, to: Tuple, count: Counter, exit: Exit) -> Action {
        Action::Translate { to, count, exit }
    }
    fn translate_error(&self, to: ErrorRewrite, count: Counter, exit: Exit) -> Action {
        Action::TranslateError { to, count, exit }
    }
    fn config(&self) -> &Config {
        &self.config
    }
    fn now(&self) -> u64 {
        self.clock.load(SeqCst)
    }
    fn random(&self) -> u32 {
        // SplitMix64: repeatable, and as good as random.
        let state = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, SeqCst);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from(mixed >> 32).unwrap()
    }
    /// 10/8 is the VPC, the EIPs are the gateway's own, all else is outside.
    fn route(&self, packet: &Packet) -> Exit {
        match packet.ip.dst {
            dst if self.rules.eips.contains(&dst) => Exit::Kernel,
            [10, ..] => Exit::Internal,
            _ => Exit::External,
        }
    }
    fn eip(&self, addr: [u8; 4]) -> Option<EipEntry> {
        self.rules.eips.contains(&addr).then_some(EipEntry { flags: 0 })
    }
    fn fip_in(&self, eip: [u8; 4]) -> Option<Fip> {
        self.rules.fip_in(eip)
    }
    fn fip_out(&self, pod: [u8; 4]) -> Option<Fip> {
        self.rules.fip_out(pod)
    }
    fn dnat(&self, key: &DnatKey) -> Option<DnatTarget> {
        self.rules.dnat.get(key).copied()
    }
    fn snat(&self, src: [u8; 4]) -> Option<&SnatPool> {
        self.rules.longest_prefix(src)
    }

    fn session(&self, key: &SessionKey) -> Option<Cell> {
        step();
        self.sessions.lock().unwrap().get(key).copied().map(Cell)
    }
    fn flow(&self, key: &FlowKey) -> Option<SessionKey> {
        step();
        self.flows.lock().unwrap().get(key).copied()
    }
    /// `BPF_NOEXIST` looks for the key before it looks for room, as `htab_map_update_elem` does.
    fn insert_session(&self, key: &SessionKey, value: &Session) -> Inserted {
        step();
        let mut sessions = self.sessions.lock().unwrap();
        if sessions.contains_key(key) {
            return Inserted::Exists;
        }
        if sessions.len() >= self.max_sessions {
            return Inserted::Full;
        }
        let fixed = Fixed {
            int_addr: value.int_addr,
            peer_addr: value.peer_addr,
            int_port: value.int_port,
            peer_port: value.peer_port,
            origin: value.origin,
        };
        let slot = self.free.lock().unwrap().pop().unwrap_or_else(|| {
            let empty = Slot {
                last_seen: AtomicU64::default(),
                created: AtomicU64::default(),
                state: AtomicU32::default(),
                tag: AtomicU32::default(),
                fixed: Mutex::new(fixed),
            };
            Box::leak(Box::new(empty))
        });
        slot.last_seen.store(value.last_seen_ns, SeqCst);
        slot.created.store(value.created_ns, SeqCst);
        slot.state.store(value.state, SeqCst);
        slot.tag.store(value.tag, SeqCst);
        *slot.fixed.lock().unwrap() = fixed;
        sessions.insert(*key, slot);
        Inserted::Yes
    }
    fn insert_flow(&self, key: &FlowKey, value: &SessionKey) -> Inserted {
        step();
        let mut flows = self.flows.lock().unwrap();
        if flows.contains_key(key) {
            return Inserted::Exists;
        }
        if flows.len() >= self.max_flows {
            return Inserted::Full;
        }
        flows.insert(*key, *value);
        Inserted::Yes
    }
    fn remove_session(&self, key: &SessionKey) {
        step();
        if let Some(slot) = self.sessions.lock().unwrap().remove(key) {
            self.free.lock().unwrap().push(slot);
        }
    }
    fn remove_flow(&self, key: &FlowKey) {
        step();
        self.flows.lock().unwrap().remove(key);
    }
    fn count(&self, stat: SessionStat) {
        *self.stats.lock().unwrap().entry(stat).or_default() += 1;
    }
}
