//! Removal of sessions by `natgw_sweep`.

use std::time::Duration;

use aya::maps::{HashMap, Map, MapData};
use natgw_common::abi::{
    DnatKey, DnatTarget, FlowKey, Origin, Session, SessionKey, SessionStat, SweepItem, SweepOp, map,
};
use natgw_userspace::{
    core::plan::EndSessions,
    datapath::{AttachMode, Maps},
};

use crate::rig::{Rig, Started};

const UDP: u8 = 17;
const EIP: [u8; 4] = [203, 0, 113, 1];
const POD: [u8; 4] = [10, 0, 0, 5];

struct Tables {
    sessions: HashMap<MapData, SessionKey, Session>,
    flows: HashMap<MapData, FlowKey, SessionKey>,
}

impl Tables {
    fn open(rig: &Rig) -> Self {
        let data = |name| Map::HashMap(MapData::from_pin(rig.paths.map(name)).unwrap());
        Self { sessions: data(map::SESSIONS).try_into().unwrap(), flows: data(map::FLOWS).try_into().unwrap() }
    }

    fn insert(&mut self, key: SessionKey, session: Session) {
        self.sessions.insert(key, session, 1).unwrap();
        self.flows.insert(session.flow_key(&key), key, 1).unwrap();
    }

    fn count(&self) -> (usize, usize) {
        (self.sessions.keys().count(), self.flows.keys().count())
    }
}

fn now() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC_COARSE).unwrap();
    Duration::from(now).as_nanos().try_into().unwrap()
}

/// UDP session number `n`, made 10 s ago and last seen at `seen`.
fn session(origin: Origin, n: u16, seen: u64) -> (SessionKey, Session) {
    let key = SessionKey {
        ext_addr: EIP,
        peer_addr: [198, 51, 100, 1],
        ext_port: n.to_be_bytes(),
        peer_port: [0, 53],
        proto: UDP,
        role: 0,
        _pad: [0; 2],
    };
    let session = Session {
        last_seen_ns: seen,
        created_ns: now() - 10_000_000_000,
        state: 0,
        int_addr: POD,
        peer_addr: key.peer_addr,
        int_port: n.to_be_bytes(),
        peer_port: key.peer_port,
        origin: origin as u32,
        tag: key.tag(),
    };
    (key, session)
}

/// UDP sessions expire after one second.
fn started() -> (Rig, Started, Tables) {
    let rig = Rig::new();
    let mut started = rig.start(AttachMode::Auto);
    started.datapath.maps().update_config(|config| config.timeouts.udp_ns = 1_000_000_000).unwrap();
    let tables = Tables::open(&rig);
    (rig, started, tables)
}

fn stat(maps: &Maps, wanted: SessionStat) -> u64 {
    maps.counters().unwrap().sessions.iter().find(|(stat, _)| *stat == wanted).unwrap().1
}

#[test]
fn expired_sessions_go_and_live_ones_stay() {
    let (_rig, mut started, mut tables) = started();
    for n in 1..=300 {
        let seen = if n % 3 == 0 { now() } else { now() - 5_000_000_000 };
        let (key, session) = session(Origin::Snat, n, seen);
        tables.insert(key, session);
    }
    let report = started.datapath.sweeper().unwrap().sweep_expired().unwrap();
    assert_eq!((report.seen, report.proposed, report.removed, report.finished), (300, 200, 200, true));
    assert_eq!(tables.count(), (100, 100), "both maps lose the entry");
    assert_eq!(stat(started.datapath.maps(), SessionStat::Swept), 200);
}

#[test]
fn a_session_refreshed_after_it_was_proposed_stays() {
    let (_rig, started, mut tables) = started();
    let (key, fresh) = session(Origin::Snat, 7, now());
    tables.insert(key, fresh);
    let sweeper = started.datapath.sweeper().unwrap();
    let item = SweepItem { key, created_ns: fresh.created_ns };
    assert_eq!(sweeper.propose(SweepOp::Expired, &[item]).unwrap(), 0);
    assert_eq!(tables.count(), (1, 1));
}

#[test]
fn a_younger_session_under_the_same_key_stays() {
    let (_rig, started, mut tables) = started();
    let (key, young) = session(Origin::Snat, 7, now() - 5_000_000_000);
    tables.insert(key, young);
    let sweeper = started.datapath.sweeper().unwrap();
    let item = SweepItem { key, created_ns: young.created_ns - 1 };
    for op in [SweepOp::Expired, SweepOp::Ended] {
        assert_eq!(sweeper.propose(op, &[item]).unwrap(), 0);
    }
    assert_eq!(tables.count(), (1, 1));
}

#[test]
fn steps_cover_the_whole_table_and_begin_anew() {
    let (_rig, started, mut tables) = started();
    for n in 1..=1000 {
        let (key, session) = session(Origin::Snat, n, now() - 5_000_000_000);
        tables.insert(key, session);
    }
    let mut sweeper = started.datapath.sweeper().unwrap();
    let (mut steps, mut removed) = (0, 0);
    loop {
        let report = sweeper.step(64).unwrap();
        assert!(report.seen <= 64, "{report:?}");
        removed += report.removed;
        steps += 1;
        if report.finished {
            break;
        }
    }
    assert!(steps >= 1000 / 64, "{steps}");
    assert_eq!((removed, tables.count()), (1000, (0, 0)));
    assert!(sweeper.step(64).unwrap().finished);
}

#[test]
fn a_removed_rule_ends_its_live_sessions_only() {
    let (_rig, mut started, mut tables) = started();
    for n in 1..=100 {
        let (key, session) = session(Origin::Snat, n, now());
        tables.insert(key, session);
    }
    for n in 101..=200u16 {
        let (mut key, mut session) = session(Origin::Dnat, 80, now());
        key.peer_port = n.to_be_bytes();
        session.peer_port = n.to_be_bytes();
        session.int_port = 8080u16.to_be_bytes();
        session.tag = key.tag();
        tables.insert(key, session);
    }
    let sweeper = started.datapath.sweeper().unwrap();
    let gone = EndSessions::Dnat {
        key: DnatKey::new(EIP, 80u16.to_be_bytes(), UDP),
        target: DnatTarget::new(POD, 8080u16.to_be_bytes()),
    };
    assert_eq!(sweeper.end(&[gone]).unwrap(), 100);
    assert_eq!(tables.count(), (100, 100));
    assert_eq!(stat(started.datapath.maps(), SessionStat::Ended), 100);
    assert_eq!(sweeper.end(&[]).unwrap(), 0);
    assert_eq!(sweeper.end(&[EndSessions::Eip(EIP)]).unwrap(), 100);
    assert_eq!(tables.count(), (0, 0));
}

#[test]
fn a_walk_sees_every_session_once_while_others_come_and_go() {
    let (rig, started, mut tables) = started();
    for n in 1..=1000 {
        let (key, session) = session(Origin::Snat, n, now());
        tables.insert(key, session);
    }
    let maps = Maps::open(&rig.paths).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (stop, tables) = (&stop, &mut tables);
        scope.spawn(move || {
            for n in (2000..u16::MAX).cycle() {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                let (key, session) = session(Origin::Dnat, n, now());
                tables.sessions.insert(key, session, 0).unwrap();
                tables.sessions.remove(&key).unwrap();
            }
        });
        for _ in 0..50 {
            let mut seen: Vec<_> = maps
                .sessions()
                .map(Result::unwrap)
                .filter(|(_, session)| session.origin == Origin::Snat as u32)
                .map(|(key, _)| u16::from_be_bytes(key.ext_port))
                .collect();
            seen.sort_unstable();
            assert_eq!(seen, (1..=1000).collect::<Vec<_>>());
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    drop(started);
}
