//! Nanoseconds per packet of the programs alone, by `BPF_PROG_TEST_RUN`.
//!
//! A repeated run gets the packet that the last one left behind. So the rules and sessions here translate an address
//! to itself: the work is the same, and the next run finds the same packet, one hop older. Where every packet must
//! begin a session, a chain of rules leads each translated packet to the next rule.

use std::collections::BTreeMap;

use natgw_common::abi::{Counter, SessionStat};
use serde::Serialize;

use super::{
    attr::Input,
    frame::Pkt,
    places::{EIP, EXT_MAC, INT_MAC, PEER, POD},
    rig::{Program, Rig},
    ruleset::RuleSet,
    session::Flow,
};

/// Runs of one system call: a packet has 255 hops to live, and each run takes one.
const REPEAT: u32 = 200;
/// Room for the sessions of one round.
const SESSIONS: u32 = 131_072;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Which packets a scenario sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packets {
    /// The same one, `REPEAT` times per system call.
    Repeated,
    /// A packet of another flow in each system call, whose translation begins a session again, `REPEAT` times.
    Chained,
    /// A packet of another flow in each system call, run once; the cost of an empty run is taken off.
    Single,
}

/// One line of the table.
struct Scenario {
    name: &'static str,
    goal: Option<u32>,
    program: Program,
    rules: RuleSet,
    sessions: Vec<Flow>,
    packet: Pkt,
    packets: Packets,
    /// What each run must be counted as; nothing for a frame that is not looked at.
    counter: Option<Counter>,
}

/// Figures of one scenario, nanoseconds per packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// What was measured.
    pub name: &'static str,
    /// The goal (P6), if there is one.
    pub goal_ns: Option<u32>,
    /// Median of all system calls.
    pub median_ns: u32,
    /// The fastest system call.
    pub min_ns: u32,
    /// Nine in ten were no slower.
    pub p90_ns: u32,
    /// Packets measured.
    pub packets: u64,
}

impl Cost {
    /// Whether the goal is met; `true` without one.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.goal_ns.is_none_or(|goal| self.median_ns <= goal)
    }
}

const WEB: ([u8; 4], u16) = (PEER, 443);
const SELF: ([u8; 4], u16) = (POD, 40000);
const MAPPED: ([u8; 4], u16) = (EIP, 80);
const TARGET: ([u8; 4], u16) = (EIP, 8080);

/// Link `n` of a chain of addresses.
fn link(n: u32) -> [u8; 4] {
    let [_, _, high, low] = n.to_be_bytes();
    [10, 9, high, low]
}

fn scenarios() -> Vec<Scenario> {
    let plain = |name, goal, program, packet: Pkt, counter| Scenario {
        name,
        goal,
        program,
        rules: RuleSet::none(),
        sessions: Vec::new(),
        packet: packet.ttl(255),
        packets: Packets::Repeated,
        counter: Some(counter),
    };
    let tcp_out = || Pkt::tcp("A", SELF, WEB);
    let tcp_in = || Pkt::tcp("A", WEB, SELF).external();
    let udp_out = || Pkt::udp(SELF, WEB);
    let udp_in = || Pkt::udp(WEB, SELF).external();
    let floating = || RuleSet::none().fip(POD, POD);
    let snat = || RuleSet::none().snat([10, 0, 0, 0], 8, &[POD]);
    // Two sessions that change one port into the other and back.
    let mapped = [Flow::dnat(TCP, MAPPED, TARGET, WEB), Flow::dnat(TCP, TARGET, MAPPED, WEB)];
    let snat_chain = (0..REPEAT).fold(RuleSet::none(), |rules, n| rules.snat(link(n), 32, &[link(n + 1)]));
    let syn = Pkt::tcp("S", (link(0), 1024), WEB);
    let dnat_chain = (0..REPEAT).fold(RuleSet::none(), |rules, n| rules.dnat(TCP, (link(n), 80), (link(n + 1), 80)));
    vec![
        Scenario {
            counter: None,
            ..plain("a frame that is not IPv4", None, Program::IntIn, arp(), Counter::PassInternal)
        },
        plain("un-translated, from the VPC", None, Program::IntIn, tcp_out(), Counter::PassInternal),
        plain("un-translated, from outside", None, Program::ExtIn, tcp_in(), Counter::PassExternal),
        Scenario { rules: floating(), ..plain("FIP out", Some(80), Program::IntIn, tcp_out(), Counter::FipOut) },
        Scenario { rules: floating(), ..plain("FIP in", Some(80), Program::ExtIn, tcp_in(), Counter::FipIn) },
        Scenario {
            rules: snat(),
            sessions: vec![Flow::snat(TCP, SELF, SELF, WEB)],
            ..plain("established SNAT TCP out", Some(120), Program::IntIn, tcp_out(), Counter::SnatOut)
        },
        Scenario {
            rules: snat(),
            sessions: vec![Flow::snat(TCP, SELF, SELF, WEB)],
            ..plain("established SNAT TCP in", Some(120), Program::ExtIn, tcp_in(), Counter::SnatIn)
        },
        Scenario {
            rules: snat(),
            sessions: vec![Flow::snat(UDP, SELF, SELF, WEB)],
            ..plain("established SNAT UDP out", Some(120), Program::IntIn, udp_out(), Counter::SnatOut)
        },
        Scenario {
            rules: snat(),
            sessions: vec![Flow::snat(UDP, SELF, SELF, WEB)],
            ..plain("established SNAT UDP in", Some(120), Program::ExtIn, udp_in(), Counter::SnatIn)
        },
        Scenario {
            sessions: mapped.to_vec(),
            ..plain(
                "established DNAT TCP in, port changed",
                Some(120),
                Program::ExtIn,
                Pkt::tcp("A", WEB, MAPPED).external(),
                Counter::DnatIn,
            )
        },
        Scenario {
            sessions: mapped.to_vec(),
            ..plain(
                "established DNAT TCP out, port changed",
                Some(120),
                Program::IntIn,
                Pkt::tcp("A", MAPPED, WEB),
                Counter::DnatOut,
            )
        },
        Scenario {
            rules: snat_chain,
            packets: Packets::Chained,
            ..plain("new SNAT session", Some(400), Program::IntIn, syn, Counter::SnatOut)
        },
        Scenario {
            rules: dnat_chain,
            packets: Packets::Chained,
            ..plain(
                "new DNAT session",
                Some(400),
                Program::ExtIn,
                Pkt::tcp("S", (PEER, 1024), (link(0), 80)).external(),
                Counter::DnatIn,
            )
        },
        Scenario {
            rules: RuleSet::none().snat([10, 0, 0, 0], 8, &[EIP]),
            packets: Packets::Single,
            ..plain("new SNAT session, one run each", Some(400), Program::IntIn, tcp_out(), Counter::SnatOut)
        },
    ]
}

/// A frame whose type is changed to ARP later on.
fn arp() -> Pkt {
    Pkt::udp(SELF, WEB)
}

/// Measures every scenario whose name contains `only`, `rounds` times, one after the other, and takes the medians.
///
/// # Panics
/// When a program does something else than the scenario says.
#[must_use]
pub fn measure(rounds: u32, calls: u32, only: &str) -> Vec<Cost> {
    let mut rig = Rig::new(SESSIONS);
    let scenarios: Vec<_> = scenarios().into_iter().filter(|scenario| scenario.name.contains(only)).collect();
    let mut samples: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for _ in 0..rounds {
        for (n, scenario) in scenarios.iter().enumerate() {
            samples.entry(n).or_default().extend(round(&mut rig, scenario, calls));
        }
    }
    scenarios.iter().zip(samples.into_values()).map(|(scenario, samples)| cost(scenario, samples)).collect()
}

fn cost(scenario: &Scenario, mut samples: Vec<u32>) -> Cost {
    samples.sort_unstable();
    let per_call = if scenario.packets == Packets::Single { 1 } else { REPEAT };
    Cost {
        name: scenario.name,
        goal_ns: scenario.goal,
        median_ns: samples[samples.len() / 2],
        min_ns: samples[0],
        p90_ns: samples[samples.len() * 9 / 10],
        packets: samples.len() as u64 * u64::from(per_call),
    }
}

fn round(rig: &mut Rig, scenario: &Scenario, calls: u32) -> Vec<u32> {
    rig.set_config(&Rig::config());
    rig.set_rules(&scenario.rules);
    rig.set_sessions(&scenario.sessions, Rig::now());
    let then = rig.snapshot();
    let repeat = if scenario.packets == Packets::Single { 1 } else { REPEAT };
    let shared = &*rig;
    let samples = rig.netns().run(|| {
        // An empty run costs two readings of the clock.
        let empty = if scenario.packets == Packets::Single { empty_run(shared) } else { 0 };
        (0..calls).map(|call| one_call(shared, scenario, call, repeat).saturating_sub(empty)).collect()
    });
    let now = rig.snapshot();
    let runs = u64::from(calls) * u64::from(repeat);
    let counted: BTreeMap<_, _> =
        now.counters_since(&then).into_iter().map(|(counter, traffic)| (counter, traffic.packets)).collect();
    let expected: BTreeMap<_, _> = scenario.counter.map(|counter| (counter, runs)).into_iter().collect();
    assert_eq!(counted, expected, "`{}` did something else", scenario.name);
    let created = now.stats_since(&then).get(&SessionStat::Created).copied().unwrap_or(0);
    assert_eq!(created, if scenario.packets == Packets::Repeated { 0 } else { runs }, "`{}`", scenario.name);
    samples
}

fn one_call(rig: &Rig, scenario: &Scenario, call: u32, repeat: u32) -> u32 {
    let mut packet = scenario.packet.clone();
    if scenario.packets != Packets::Repeated {
        // The port of the end that begins the flow.
        packet.sport = 1024 + u16::try_from(call).expect("fewer calls than ports");
    }
    let mut frame = packet.frame();
    if scenario.counter.is_none() {
        frame[12..14].copy_from_slice(&[8, 6]);
    }
    run(rig, scenario.program, &frame, repeat)
}

fn empty_run(rig: &Rig) -> u32 {
    let mut frame = arp().frame();
    frame[12..14].copy_from_slice(&[8, 6]);
    let mut samples: Vec<_> = (0..1001).map(|_| run(rig, Program::IntIn, &frame, 1)).collect();
    samples.sort_unstable();
    samples[samples.len() / 2]
}

fn run(rig: &Rig, program: Program, frame: &[u8], repeat: u32) -> u32 {
    debug_assert!(frame[..6] == INT_MAC || frame[..6] == EXT_MAC);
    let (int, ext) = rig.ifindexes();
    let ifindex = if program == Program::IntIn { int } else { ext };
    let output = rig.run(program, &Input { repeat, ..Input::new(frame, ifindex) });
    output.unwrap_or_else(|error| panic!("cannot run {}: {error}", program.name())).nanoseconds
}
