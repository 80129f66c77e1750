//! A namespace with the gateway's interfaces, and the programs and maps of one load of the object.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, LpmTrie, MapData, PerCpuArray, lpm_trie::Key},
    programs::SchedClassifier,
};
use natgw_common::abi::{
    Config, ConfigFlags, Counter, DnatKey, DnatTarget, DropReason, EipEntry, Fip, FlowKey, Session, SessionKey,
    SessionStat, SnatPool, SweepOp, Timeouts, Traffic, map, program,
};
use nix::{
    net::if_::if_nametoindex,
    time::{ClockId, clock_gettime},
};

use super::{
    attr::{self, Input, Output, TestRunError},
    places::{EXT_ADDR, EXT_MAC, EXT_MTU, INT_ADDR, INT_MAC, INT_MTU, PEER_MAC, ROUTER},
    ruleset::RuleSet,
    session::Flow,
    snapshot::Snapshot,
};
use crate::Netns;

/// A program of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// `natgw_int_in`
    IntIn,
    /// `natgw_ext_in`
    ExtIn,
    /// `natgw_ext_out`
    ExtOut,
    /// `natgw_sweep`
    Sweep,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::IntIn, Self::ExtIn, Self::ExtOut, Self::Sweep];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::IntIn => program::INT_IN,
            Self::ExtIn => program::EXT_IN,
            Self::ExtOut => program::EXT_OUT,
            Self::Sweep => program::SWEEP,
        }
    }
}

/// Where `cargo xtask build-ebpf` puts the object.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn object() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bpf/natgw.o");
    assert!(path.exists(), "there is no eBPF object at {}: run `cargo xtask build-ebpf`", path.display());
    path
}

/// Idle times short enough for any uptime, each another.
const TIMEOUTS: Timeouts = Timeouts {
    tcp_established_ns: 30_000_000_000,
    tcp_opening_ns: 8_000_000_000,
    tcp_closing_ns: 6_000_000_000,
    tcp_transitory_ns: 5_000_000_000,
    udp_ns: 10_000_000_000,
    icmp_ns: 4_000_000_000,
    other_ns: 7_000_000_000,
};

type Rules<K, V> = HashMap<MapData, K, V>;

/// The programs, their maps and the namespace they look up routes in.
pub struct Rig {
    netns: Netns,
    /// Keeps the programs and the maps nobody takes out alive.
    ebpf: Ebpf,
    programs: [OwnedFd; 4],
    ifindexes: (u32, u32),
    config: Array<MapData, Config>,
    eips: Rules<[u8; 4], EipEntry>,
    fip_in: Rules<[u8; 4], Fip>,
    fip_out: Rules<[u8; 4], Fip>,
    dnat: Rules<DnatKey, DnatTarget>,
    snat: LpmTrie<MapData, [u8; 4], SnatPool>,
    sessions: Rules<SessionKey, Session>,
    flows: Rules<FlowKey, SessionKey>,
    counters: PerCpuArray<MapData, Traffic>,
    drops: PerCpuArray<MapData, Traffic>,
    stats: PerCpuArray<MapData, u64>,
}

impl std::fmt::Debug for Rig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rig").field("netns", &self.netns).field("ifindexes", &self.ifindexes).finish_non_exhaustive()
    }
}

/// Takes a map out of the object.
macro_rules! take {
    ($ebpf:expr, $name:expr) => {
        $ebpf
            .take_map($name)
            .and_then(|map| map.try_into().ok())
            .unwrap_or_else(|| panic!("the object has no map {} of the expected shape", $name))
    };
}

impl Rig {
    /// Session tables of this size are small enough to be filled by a row.
    pub const SMALL: u32 = 64;

    /// A namespace and a load of the object whose session tables hold `sessions`.
    ///
    /// # Panics
    /// When there is no object, or the kernel refuses it.
    #[must_use]
    pub fn new(sessions: u32) -> Self {
        let netns = Netns::new("rig");
        let ifindexes = interfaces(&netns);
        let mut loader = EbpfLoader::new();
        for (name, entries) in [(map::SESSIONS, sessions), (map::FLOWS, sessions), (map::DNAT, 4096), (map::SNAT, 4096)]
        {
            loader.map_max_entries(name, entries);
        }
        let mut ebpf =
            loader.load_file(object()).unwrap_or_else(|error| panic!("cannot load the object (root?): {error:?}"));
        let programs = Program::ALL.map(|program| {
            let name = program.name();
            let classifier: &mut SchedClassifier = ebpf
                .program_mut(name)
                .and_then(|program| program.try_into().ok())
                .unwrap_or_else(|| panic!("the object has no classifier {name}"));
            classifier.load().unwrap_or_else(|error| panic!("the kernel refuses {name}: {error}"));
            let fd = classifier.fd().expect("it is loaded").as_fd().try_clone_to_owned();
            fd.expect("a descriptor can be duplicated")
        });
        Self {
            netns,
            programs,
            ifindexes,
            config: take!(ebpf, map::CONFIG),
            eips: take!(ebpf, map::EIPS),
            fip_in: take!(ebpf, map::FIP_IN),
            fip_out: take!(ebpf, map::FIP_OUT),
            dnat: take!(ebpf, map::DNAT),
            snat: take!(ebpf, map::SNAT),
            sessions: take!(ebpf, map::SESSIONS),
            flows: take!(ebpf, map::FLOWS),
            counters: take!(ebpf, map::COUNTERS),
            drops: take!(ebpf, map::DROPS),
            stats: take!(ebpf, map::SESSION_STATS),
            ebpf,
        }
    }

    /// The configuration the rows start from.
    #[must_use]
    pub fn config() -> Config {
        Config {
            flags: ConfigFlags::Redirect as u32,
            int_ifindex: 0,
            ext_ifindex: 0,
            port_min: 1024,
            port_max: 65535,
            port_secret: 0x6e61_7467_7731_3337,
            timeouts: TIMEOUTS,
            hold_until_ns: 0,
        }
    }

    /// Indexes of the internal and the external interface.
    #[must_use]
    pub fn ifindexes(&self) -> (u32, u32) {
        self.ifindexes
    }

    /// Its namespace. Programs must be run on a thread inside ([`Netns::run`]).
    #[must_use]
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The loaded object.
    pub fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// Runs a program; the calling thread must be inside the namespace.
    ///
    /// # Errors
    /// See [`TestRunError`].
    pub fn run(&self, program: Program, input: &Input<'_>) -> Result<Output, TestRunError> {
        let fd = self.programs[program as usize].as_fd();
        attr::test_run(fd, input)
    }

    /// Proposes sessions to `natgw_sweep`, by key and creation time; says how many it removed.
    ///
    /// # Errors
    /// See [`TestRunError`].
    ///
    /// # Panics
    /// Never: a chunk is small.
    pub fn sweep(&self, op: SweepOp, items: &[(SessionKey, u64)]) -> Result<i32, TestRunError> {
        items.chunks(64).try_fold(0, |removed, chunk| {
            let announced = u32::try_from(chunk.len()).expect("at most 64");
            let frame = attr::sweep_input(op as u32, chunk, announced);
            Ok(removed + self.run(Program::Sweep, &Input::new(&frame, 0))?.verdict)
        })
    }

    /// The sessions at hand; entries that change meanwhile may be missing or there twice.
    #[must_use]
    pub fn sessions(&self) -> Vec<(SessionKey, Session)> {
        self.sessions.iter().filter_map(Result::ok).collect()
    }

    /// Nanoseconds of `CLOCK_MONOTONIC_COARSE`, which is what the programs read.
    ///
    /// # Panics
    /// Never: the clock exists.
    #[must_use]
    pub fn now() -> u64 {
        let time = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).expect("the clock exists");
        u64::try_from(Duration::from(time).as_nanos()).expect("584 years")
    }

    /// Writes `config` with the indexes of the rig's interfaces.
    ///
    /// # Panics
    /// When the map cannot be written.
    pub fn set_config(&mut self, config: &Config) {
        let (int_ifindex, ext_ifindex) = self.ifindexes;
        self.config.set(0, Config { int_ifindex, ext_ifindex, ..*config }, 0).expect("CONFIG can be written");
    }

    /// Writes `config` as it is.
    ///
    /// # Panics
    /// When the map cannot be written.
    pub fn set_raw_config(&mut self, config: &Config) {
        self.config.set(0, config, 0).expect("CONFIG can be written");
    }

    /// Replaces all rules.
    ///
    /// # Panics
    /// When a map cannot be written.
    pub fn set_rules(&mut self, rules: &RuleSet) {
        replace(&mut self.eips, &rules.eips);
        replace(&mut self.fip_in, &rules.fip_in);
        replace(&mut self.fip_out, &rules.fip_out);
        replace(&mut self.dnat, &rules.dnat);
        let old: Vec<_> = self.snat.keys().map(|key| key.expect("SNAT can be read")).collect();
        for key in old {
            self.snat.remove(&key).expect("the key was just read");
        }
        for (key, pool) in &rules.snat {
            self.snat.insert(&Key::new(key.prefix_len, key.addr), pool, 0).expect("SNAT has room");
        }
    }

    /// Replaces all sessions, as of the moment `now`.
    ///
    /// # Panics
    /// When a map cannot be written.
    pub fn set_sessions(&mut self, flows: &[Flow], now: u64) {
        let sessions = flows.iter().filter(|flow| flow.session).map(|flow| (flow.key(), flow.value(now))).collect();
        replace(&mut self.sessions, &sessions);
        let index = flows.iter().filter(|flow| flow.index).map(|flow| (flow.flow_key(), flow.key())).collect();
        replace(&mut self.flows, &index);
    }

    /// Reads everything that the programs may change.
    ///
    /// # Panics
    /// When a map cannot be read.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            sessions: self.sessions.iter().map(|entry| entry.expect("SESSIONS can be read")).collect(),
            flows: self.flows.iter().map(|entry| entry.expect("FLOWS can be read")).collect(),
            counters: traffic(&self.counters, Counter::COUNT),
            drops: traffic(&self.drops, DropReason::COUNT),
            stats: (0..SessionStat::COUNT)
                .map(|n| self.stats.get(&n, 0).expect("SESSION_STATS can be read").iter().sum())
                .collect(),
        }
    }
}

fn traffic(map: &PerCpuArray<MapData, Traffic>, count: u32) -> Vec<Traffic> {
    (0..count)
        .map(|n| {
            let values = map.get(&n, 0).expect("a counter can be read");
            values.iter().fold(Traffic::default(), |sum, cpu| Traffic {
                packets: sum.packets + cpu.packets,
                bytes: sum.bytes + cpu.bytes,
            })
        })
        .collect()
}

fn replace<K: aya::Pod + Ord, V: aya::Pod>(
    map: &mut HashMap<MapData, K, V>,
    entries: &std::collections::BTreeMap<K, V>,
) {
    let old: Vec<_> = map.keys().map(|key| key.expect("a map can be read")).collect();
    for key in old {
        map.remove(&key).expect("the key was just read");
    }
    for (key, value) in entries {
        map.insert(key, value, 0).expect("the map has room");
    }
}

/// Two links with the gateway's addresses, a third one, and routes. Returns the indexes of the first two.
fn interfaces(netns: &Netns) -> (u32, u32) {
    let mac = |mac: [u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":");
    let addr = |addr: [u8; 4]| addr.map(|byte| byte.to_string()).join(".");
    netns.sysctl("net/ipv4/ip_forward", "1");
    netns.ip(&[
        format!("link add int0 address {} mtu {INT_MTU} type veth peer name int1", mac(INT_MAC)),
        format!("link add ext0 address {} mtu {EXT_MTU} type veth peer name ext1", mac(EXT_MAC)),
        "link add oth0 type veth peer name oth1".into(),
        "link set int1 up".into(),
        "link set ext1 up".into(),
        "link set oth1 up".into(),
        "link set int0 up".into(),
        "link set ext0 up".into(),
        "link set oth0 up".into(),
        format!("address add {}/16 dev int0", addr(INT_ADDR)),
        format!("address add {}/24 dev ext0", addr(EXT_ADDR)),
        "address add 192.0.2.1/24 dev oth0".into(),
        "route add 10.1.0.0/16 dev int0".into(),
        "route add unreachable 198.18.99.0/24".into(),
        format!("route add default via {} dev ext0", addr(ROUTER)),
        format!("neighbour add {} lladdr {} dev ext0 nud permanent", addr(ROUTER), mac(PEER_MAC)),
        format!("neighbour add 10.0.0.10 lladdr {} dev int0 nud permanent", mac(PEER_MAC)),
        format!("neighbour add 10.0.0.20 lladdr {} dev int0 nud permanent", mac(PEER_MAC)),
    ]);
    netns.wait_links();
    netns.run(|| {
        let index = |name: &str| if_nametoindex(name).map_err(io::Error::from).expect("the link was just made");
        (index("int0"), index("ext0"))
    })
}
