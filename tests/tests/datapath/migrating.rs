//! An upgrade to another map ABI: everything is carried over, whenever it is killed. The new version is a process, the
//! old one is this test's own library.

use std::{collections::BTreeMap, fs, process::Output, time::Duration};

use aya::{
    maps::{HashMap, IterableMap as _, LpmTrie, Map, MapData, MapInfo, PerCpuArray, PerCpuValues, lpm_trie::Key},
    programs::loaded_programs,
    util::nr_cpus,
};
use natgw_common::{
    abi::{
        Counter, DnatKey, DnatTarget, EipEntry, Fip, FlowKey, MAPS, Origin, SNAT_POOL_MAX, Session, SessionKey,
        SnatKey, SnatPool, Traffic, map,
    },
    tcp_state::TcpState,
};
use natgw_tests::{Daemon, command, gateway::abi_next_binary};
use natgw_userspace::{
    core::plan::MapOp,
    datapath::{AttachMode, LoadError, Unfinished},
};

use crate::rig::{self, Rig};

const SESSIONS: u16 = 300;
const EIP: [u8; 4] = [203, 0, 113, 1];
const POD: [u8; 4] = [10, 0, 0, 5];

/// Every step at which the new version can be made to die, and whether the new maps count from there on.
const STEPS: [(&str, bool); 13] = [
    ("staged", false),
    ("filled", false),
    ("held", false),
    ("carried", false),
    ("ready", false),
    ("committing", true),
    ("committed", true),
    ("int_in", true),
    ("ext_in", true),
    ("switched", true),
    ("released", true),
    ("finished", true),
    ("removing", true),
];

/// Entries by their bytes.
type Bytes = BTreeMap<Vec<u8>, Vec<u8>>;

fn now() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC_COARSE).unwrap();
    Duration::from(now).as_nanos().try_into().unwrap()
}

fn session(n: u16) -> (SessionKey, Session) {
    let key = SessionKey {
        ext_addr: EIP,
        peer_addr: [198, 51, 100, 1],
        ext_port: (n + 5000).to_be_bytes(),
        peer_port: [0, 80],
        proto: 6,
        role: 0,
        _pad: [0; 2],
    };
    let session = Session {
        last_seen_ns: now() - u64::from(n) * 1_000_000,
        created_ns: now() - 10_000_000_000,
        state: TcpState::Established as u32,
        int_addr: POD,
        peer_addr: key.peer_addr,
        int_port: n.to_be_bytes(),
        peer_port: key.peer_port,
        origin: Origin::Snat as u32,
        tag: key.tag(),
    };
    (key, session)
}

struct Tables {
    sessions: HashMap<MapData, SessionKey, Session>,
    flows: HashMap<MapData, FlowKey, SessionKey>,
}

impl Tables {
    fn open(directory: &std::path::Path) -> Self {
        let data = |name| Map::HashMap(MapData::from_pin(directory.join(name)).unwrap());
        Self { sessions: data(map::SESSIONS).try_into().unwrap(), flows: data(map::FLOWS).try_into().unwrap() }
    }

    fn insert(&mut self, (key, session): (SessionKey, Session)) {
        self.sessions.insert(key, session, 0).unwrap();
        self.flows.insert(session.flow_key(&key), key, 0).unwrap();
    }
}

/// A gateway of the old version with some of everything.
fn old_gateway(mode: AttachMode) -> Rig {
    let rig = Rig::new();
    let mut started = rig.start(mode);
    let maps = started.datapath.maps();
    let mut pool = SnatPool { count: 1, eips: [[0; 4]; SNAT_POOL_MAX] };
    pool.eips[0] = EIP;
    let mut ops = vec![
        MapOp::PutEip(EIP, EipEntry { flags: 7 }),
        MapOp::PutFipIn(EIP, Fip { addr: POD, flags: 1 }),
        MapOp::PutFipOut(POD, Fip { addr: EIP, flags: 1 }),
        MapOp::PutSnat(SnatKey { prefix_len: 24, addr: [10, 0, 0, 0] }, pool),
        MapOp::PutSnat(SnatKey { prefix_len: 0, addr: [0; 4] }, pool),
    ];
    let dnat = |port: u16| {
        MapOp::PutDnat(DnatKey::new(EIP, port.to_be_bytes(), 6), DnatTarget::new(POD, (port + 1).to_be_bytes()))
    };
    ops.extend((1..=500).map(dnat));
    for op in ops {
        maps.apply(&op).unwrap();
    }
    drop(started);
    let mut tables = Tables::open(&rig.paths.maps());
    for n in 0..SESSIONS {
        tables.insert(session(n));
    }
    // Three that are not to be carried: one that is being removed, and two for flows that others are seen in later.
    let (key, dying) = session(SESSIONS);
    tables.sessions.insert(key, Session { last_seen_ns: dying.last_seen_ns | Session::DEAD, ..dying }, 0).unwrap();
    for n in [0, SESSIONS - 1] {
        let (key, stale) = session(n);
        let key = SessionKey { ext_port: (n + 7000).to_be_bytes(), ..key };
        let stale = Session { tag: key.tag(), last_seen_ns: stale.last_seen_ns - 1_000_000_000, ..stale };
        tables.sessions.insert(key, stale, 0).unwrap();
    }
    let mut counters: PerCpuArray<_, Traffic> =
        Map::PerCpuArray(MapData::from_pin(rig.paths.map(map::COUNTERS)).unwrap()).try_into().unwrap();
    for counter in Counter::ALL {
        counters.set(*counter as u32, counted(*counter), 0).unwrap();
    }
    rig
}

/// What each CPU has counted.
fn counted(counter: Counter) -> PerCpuValues<Traffic> {
    let cpus = nr_cpus().unwrap() as u64;
    let each = (0..cpus).map(|cpu| Traffic { packets: 1000 * u64::from(counter as u32) + cpu, bytes: cpu + 1 });
    PerCpuValues::try_from(each.collect::<Vec<_>>()).unwrap()
}

fn bytes<const K: usize, const V: usize>(pin: std::path::PathBuf) -> Bytes {
    let map: HashMap<_, [u8; K], [u8; V]> = Map::HashMap(MapData::from_pin(pin).unwrap()).try_into().unwrap();
    map.iter().map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
}

/// The new version's daemon, perhaps dying at a step. The manifests are empty: nothing is removed.
fn spawn(rig: &Rig, mode: AttachMode, die_at: Option<&str>) -> Daemon {
    let [bpffs, manifests, netns] =
        [rig.scratch.bpffs(), rig.scratch.manifests(), rig.ns.path()].map(|path| path.display().to_string());
    let args = ["run", "--gateway", "gw.test", "--bpffs", &bpffs, "--manifests", &manifests, "--netns", &netns];
    let args = [args.as_slice(), &["--log-format", "json", "--max-sessions", "4096", "--attach", how(mode)]].concat();
    // env becomes natgw: the pid stays.
    let mut line = vec![format!("NATGW_DIE_AT={}", die_at.unwrap_or("never")), abi_next_binary().display().to_string()];
    line.extend(args.iter().map(ToString::to_string));
    Daemon::spawn(std::path::Path::new("env"), &line, rig.scratch.dir())
}

fn how(mode: AttachMode) -> &'static str {
    if mode == AttachMode::Clsact { "clsact" } else { "tcx" }
}

fn dies(rig: &Rig, mode: AttachMode, step: &str) {
    use std::os::unix::process::ExitStatusExt as _;
    let mut daemon = spawn(rig, mode, Some(step));
    let status = daemon.wait();
    assert_eq!(status.signal(), Some(libc::SIGKILL), "{step}: it did not die: {status}\n{}", daemon.logs().text());
}

fn ready(rig: &Rig, mode: AttachMode) -> Daemon {
    let mut daemon = spawn(rig, mode, None);
    daemon.wait_ready();
    daemon
}

/// A command of the new version.
fn next(rig: &Rig, command: &str) -> Output {
    let bpffs = rig.scratch.bpffs().display().to_string();
    let args = [command, "--gateway", "gw.test", "--bpffs", &bpffs];
    let netns = rig.ns.path().display().to_string();
    let with_netns = [args.as_slice(), &["--netns", &netns]].concat();
    let args = if command == "sessions" { args.to_vec() } else { with_netns };
    command::output(&abi_next_binary().display().to_string(), &args)
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// What the new maps hold, and that nothing of the old ones is left.
fn assert_moved(rig: &Rig, sessions: &BTreeMap<SessionKey, Session>, context: &str) {
    let mut expected = Bytes::new();
    let mut flows = Bytes::new();
    for (key, session) in sessions {
        let value = [1u64.to_ne_bytes().as_slice(), &session_bytes(session)].concat();
        expected.insert(key_bytes(key), value);
        let flow = session.flow_key(key);
        let flow = SessionKey {
            ext_addr: flow.int_addr,
            peer_addr: flow.peer_addr,
            ext_port: flow.int_port,
            peer_port: flow.peer_port,
            ..*key
        };
        flows.insert(key_bytes(&flow), key_bytes(key));
    }
    let found = bytes::<16, 48>(rig.paths.map(map::SESSIONS));
    assert_eq!(found.len(), expected.len(), "{context}");
    assert!(found == expected, "{context}: sessions differ");
    assert!(bytes::<16, 16>(rig.paths.map(map::FLOWS)) == flows, "{context}: the index differs");
    let dnat: Bytes = (1..=500u16)
        .map(|port| {
            let key = [&[0; 4], EIP.as_slice(), &port.to_be_bytes(), &[6, 0]].concat();
            (key, [POD.as_slice(), &(port + 1).to_be_bytes(), &[0; 2]].concat())
        })
        .collect();
    assert!(bytes::<12, 8>(rig.paths.map(map::DNAT)) == dnat, "{context}: port mappings differ");
    assert_eq!(bytes::<4, 8>(rig.paths.map(map::FIP_IN)).len(), 1, "{context}");
    assert_eq!(bytes::<4, 8>(rig.paths.map(map::FIP_OUT)).len(), 1, "{context}");
    assert_eq!(bytes::<4, 4>(rig.paths.map(map::EIPS)), Bytes::from([(EIP.to_vec(), vec![7, 0, 0, 0])]), "{context}");
    let snat: LpmTrie<_, [u8; 4], SnatPool> =
        Map::LpmTrie(MapData::from_pin(rig.paths.map(map::SNAT)).unwrap()).try_into().unwrap();
    assert_eq!(snat.get(&Key::new(32, [10, 0, 0, 9]), 0).unwrap().eips[0], EIP, "{context}");
    assert_eq!(snat.map().info().unwrap().max_entries(), 131_072);
    let counters: PerCpuArray<_, Traffic> =
        Map::PerCpuArray(MapData::from_pin(rig.paths.map(map::COUNTERS)).unwrap()).try_into().unwrap();
    for counter in Counter::ALL {
        let (found, counted) = (counters.get(&(*counter as u32), 0).unwrap(), counted(*counter));
        assert!(found.iter().eq(counted.iter()), "{context}: {counter:?} is {found:?}");
    }
    assert_eq!(Unfinished::find(&rig.paths), None, "{context}");
    assert_eq!(rig.map_ids().len(), MAPS.len(), "{context}");
    assert_eq!(rig::pins(rig.paths.progs()).into_keys().collect::<Vec<_>>(), ["sweep"], "{context}");
}

fn key_bytes(key: &SessionKey) -> Vec<u8> {
    let SessionKey { ext_addr, peer_addr, ext_port, peer_port, proto, role, .. } = key;
    [ext_addr.as_slice(), peer_addr, ext_port, peer_port, &[*proto, *role, 0, 0]].concat()
}

fn session_bytes(session: &Session) -> Vec<u8> {
    [
        session.last_seen_ns.to_ne_bytes().as_slice(),
        &session.created_ns.to_ne_bytes(),
        &session.state.to_ne_bytes(),
        &session.tag.to_ne_bytes(),
        &session.int_addr,
        &session.peer_addr,
        &session.int_port,
        &session.peer_port,
        &session.origin.to_ne_bytes(),
    ]
    .concat()
}

/// The sessions in the old maps that are to be carried over.
fn to_carry(directory: &std::path::Path) -> BTreeMap<SessionKey, Session> {
    let tables = Tables::open(directory);
    let index: BTreeMap<FlowKey, SessionKey> = tables.flows.iter().map(Result::unwrap).collect();
    let all = tables.sessions.iter().map(Result::unwrap);
    all.filter(|(key, session)| {
        session.last_seen_ns & Session::DEAD == 0 && index.get(&session.flow_key(key)) == Some(key)
    })
    .collect()
}

/// Every program that is attached works with the maps that are pinned.
fn assert_on_pinned_maps(rig: &Rig, context: &str) {
    let config = MapInfo::from_pin(rig.paths.map(map::CONFIG)).unwrap().id();
    let attached: Vec<u32> = rig
        .ns
        .run(|| natgw_userspace::datapath::attachments(&rig.paths))
        .unwrap()
        .iter()
        .map(|attachment| attachment.program_id)
        .collect();
    assert_eq!(attached.len(), 3, "{context}");
    let programs: Vec<_> =
        loaded_programs().filter_map(Result::ok).filter(|info| attached.contains(&info.id())).collect();
    assert_eq!(programs.len(), 3, "{context}");
    for program in programs {
        assert!(program.map_ids().unwrap().unwrap().contains(&config), "{context}: a program on other maps");
    }
}

#[test]
fn everything_moves_to_the_new_layout_and_the_next_start_adopts_it() {
    for mode in [AttachMode::Tcx, AttachMode::Clsact] {
        let how = how(mode);
        let rig = old_gateway(mode);
        let sessions = to_carry(&rig.paths.maps());
        assert_eq!(sessions.len(), usize::from(SESSIONS));
        let mut daemon = ready(&rig, mode);
        let migrated = daemon.wait_message(0, "maps migrated");
        println!("{}", migrated.text);
        assert_eq!((migrated.number("rules"), migrated.number("hooks")), (Some(505), Some(3)), "{}", migrated.text);
        assert_eq!(rig.attached(), rig::once(how));
        assert_moved(&rig, &sessions, how);
        assert_on_pinned_maps(&rig, how);
        assert!(daemon.term().success());
        let mut again = spawn(&rig, mode, None);
        let line = again.wait_ready();
        assert_eq!(line.number("map_writes"), Some(0), "{}", line.text);
        assert!(!again.logs().text().contains("maps migrated"));
    }
}

/// What a version of natgw finds that was killed at `step`, and that it converges.
fn killed_at(step: &str, committed: bool, mode: AttachMode) {
    let how = how(mode);
    let context = format!("killed at `{step}` with {how}");
    let rig = old_gateway(mode);
    let (sessions, ids) = (to_carry(&rig.paths.maps()), rig.map_ids());
    dies(&rig, mode, step);
    assert_eq!(rig.attached(), rig::once(how), "{context}: no gap");
    let status = next(&rig, "status");
    assert_eq!(status.status.code(), Some(if committed { 0 } else { 4 }), "{context}: {}", said(&status));
    let unfinished = Unfinished::find(&rig.paths);
    if committed {
        assert_eq!(unfinished, Some(Unfinished::Committed), "{context}");
        assert!(said(&status).contains("upgrade"), "{context}: {}", said(&status));
        let listed = said(&next(&rig, "sessions")).lines().count();
        assert!(listed > usize::from(SESSIONS), "{context}: {listed} lines");
        let error = rig.load(&rig.lock()).unwrap_err();
        assert!(matches!(error, LoadError::Abi(_)) && error.to_string().contains("newer natgw"), "{context}: {error}");
    } else {
        assert_eq!(unfinished, Some(Unfinished::Preparing), "{context}");
        // The old version may come back as if nothing had been.
        let (mut datapath, report) = rig.load(&rig.lock()).unwrap();
        assert!(report.created.is_empty(), "{context}: {report:?}");
        assert_eq!(rig.map_ids(), ids, "{context}");
        assert_eq!(datapath.maps().config().unwrap().unwrap().hold_until_ns, 0, "{context}");
        assert_eq!(to_carry(&rig.paths.maps()), sessions, "{context}");
        drop(datapath);
        dies(&rig, mode, step);
    }
    assert_eq!(rig.attached(), rig::once(how), "{context}: no gap");
    let daemon = ready(&rig, mode);
    assert_eq!(rig.attached(), rig::once(how), "{context}");
    assert_moved(&rig, &sessions, &context);
    assert_on_pinned_maps(&rig, &context);
    drop(daemon);
    assert_eq!(ready(&rig, mode).wait_message(0, "ready").number("map_writes"), Some(0), "{context}");
}

#[test]
fn a_migration_killed_at_any_step_is_done_anew_or_finished_and_loses_nothing() {
    for (step, committed) in STEPS {
        killed_at(step, committed, AttachMode::Tcx);
    }
}

#[test]
fn so_it_is_with_filters() {
    for (step, committed) in [("held", false), ("committed", true), ("ext_in", true), ("released", true)] {
        killed_at(step, committed, AttachMode::Clsact);
    }
}

#[test]
fn what_old_programs_do_after_a_kill_is_carried_over_too() {
    let rig = old_gateway(AttachMode::Tcx);
    dies(&rig, AttachMode::Tcx, "committed");
    let old = rig.paths.root().join("maps_old");
    let mut tables = Tables::open(&old);
    // Opened, refreshed, closed, replaced under the same tuple, and given another tuple.
    tables.insert(session(1000));
    let (key, seen) = session(1);
    tables.sessions.insert(key, Session { last_seen_ns: now(), ..seen }, 2).unwrap();
    let (key, closed) = session(2);
    let closed = Session { last_seen_ns: now(), state: TcpState::FinPeer as u32, ..closed };
    tables.sessions.insert(key, closed, 2).unwrap();
    let (key, replaced) = session(3);
    tables.flows.remove(&replaced.flow_key(&key)).unwrap();
    tables.insert((key, Session { int_port: [77, 77], created_ns: now(), last_seen_ns: now(), ..replaced }));
    let (key, moved) = session(4);
    tables.sessions.remove(&key).unwrap();
    let key = SessionKey { ext_port: [66, 66], ..key };
    tables.insert((key, Session { tag: key.tag(), created_ns: now(), last_seen_ns: now(), ..moved }));
    let sessions = to_carry(&old);
    assert_eq!(sessions.len(), usize::from(SESSIONS) + 1);
    let _daemon = ready(&rig, AttachMode::Tcx);
    assert_moved(&rig, &sessions, "after the old programs went on");
}

#[test]
fn an_interrupted_migration_can_be_detached() {
    for step in ["carried", "committing", "int_in", "finished"] {
        let rig = old_gateway(AttachMode::Tcx);
        dies(&rig, AttachMode::Tcx, step);
        let output = next(&rig, "detach");
        assert!(output.status.success(), "{step}: {}", said(&output));
        assert!(!rig.paths.exists().unwrap(), "{step}");
        assert_eq!(rig.attached(), rig::nowhere(), "{step}");
    }
}

#[test]
fn a_failure_before_the_commit_leaves_the_old_data_plane_as_it_was() {
    let rig = old_gateway(AttachMode::Tcx);
    let (sessions, ids) = (to_carry(&rig.paths.maps()), rig.map_ids());
    // A file where the old maps are to go.
    let taken = rig.paths.root().join("maps_old");
    MapData::from_pin(rig.paths.map(map::EIPS)).unwrap().pin(&taken).unwrap();
    let mut daemon = spawn(&rig, AttachMode::Tcx, None);
    let status = daemon.wait();
    let text = daemon.logs().closed();
    assert_eq!(status.code(), Some(1), "{text}");
    for part in ["gateway `gw.test`", "from version 1 of the maps to 2", "keeps running as it is"] {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
    assert_eq!(rig.attached(), rig::once("tcx"));
    assert_eq!(Unfinished::find(&rig.paths), None);
    assert_eq!(rig.map_ids(), ids);
    let config = natgw_userspace::datapath::Maps::open(&rig.paths).unwrap().config().unwrap().unwrap();
    assert_eq!(config.hold_until_ns, 0, "sessions are opened again");
    fs::remove_file(taken).unwrap();
    let _daemon = ready(&rig, AttachMode::Tcx);
    assert_moved(&rig, &sessions, "after the obstacle is gone");
}

#[test]
fn the_old_version_is_refused_by_new_maps_and_says_so() {
    let rig = old_gateway(AttachMode::Tcx);
    drop(ready(&rig, AttachMode::Tcx));
    let attached = rig.attached();
    let error = rig.load(&rig.lock()).unwrap_err().to_string();
    for part in ["version is 2, expected 1", "newer natgw", "keeps running", "natgw detach --gateway gw.test"] {
        assert!(error.contains(part), "`{part}` is missing in: {error}");
    }
    assert_eq!(rig.attached(), attached);
}
