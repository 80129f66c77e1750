//! All CPUs at once: one external tuple never belongs to two flows, and no session is lost or counted twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use natgw_common::abi::{DropReason, SessionStat, SweepOp};
use natgw_tests::prog_run::{EIP, Input, PEER, Pkt, Program, Rig, RuleSet, Snapshot};
use nix::{
    sched::{CloneFlags, CpuSet, sched_setaffinity, setns},
    unistd::Pid,
};

/// More threads than CPUs, so that a program is also interrupted in its middle by another.
const THREADS: usize = 6;

/// Runs `work` with its number on every thread, inside the rig's namespace, spread over all CPUs.
fn on_all_cpus<R: Send>(rig: &Rig, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let cpus = thread::available_parallelism().unwrap().get();
    let netns = std::fs::File::open(rig.netns().path()).unwrap();
    let (work, netns) = (&work, &netns);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|n| {
                scope.spawn(move || {
                    let mut cpu = CpuSet::new();
                    cpu.set(n % cpus).unwrap();
                    sched_setaffinity(Pid::from_raw(0), &cpu).unwrap();
                    setns(netns, CloneFlags::CLONE_NEWNET).unwrap();
                    work(n)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn pod(n: u32) -> [u8; 4] {
    let [_, _, high, low] = n.to_be_bytes();
    [10, 0, 2 + high, low]
}

/// Sends the first packet of flow `n`; the port it got, `None` when it was refused.
fn send(rig: &Rig, n: u32) -> Option<u16> {
    let frame = Pkt::udp((pod(n), 40000), (PEER, 53)).frame();
    let output = rig.run(Program::IntIn, &Input::new(&frame, rig.ifindexes().0)).unwrap();
    match output.verdict {
        7 => {
            assert_eq!(output.frame[26..30], EIP);
            Some(u16::from_be_bytes([output.frame[34], output.frame[35]]))
        }
        2 => None,
        other => panic!("verdict {other}"),
    }
}

/// A rig with one EIP and `ports` ports.
fn rig(sessions: u32, ports: u16, udp_timeout: Duration) -> Rig {
    let mut rig = Rig::new(sessions);
    let mut config = Rig::config();
    (config.port_min, config.port_max) = (50000, 50000 + ports - 1);
    config.timeouts.udp_ns = u64::try_from(udp_timeout.as_nanos()).unwrap();
    rig.set_config(&config);
    rig.set_rules(&RuleSet::none().snat([10, 0, 0, 0], 8, &[EIP]));
    rig
}

/// Index entries that lead nowhere, and sessions that no index entry leads to.
fn inconsistencies(now: &Snapshot) -> (usize, usize) {
    let stray = now
        .flows
        .iter()
        .filter(|(flow, key)| now.sessions.get(*key).is_none_or(|session| session.flow_key(key) != **flow));
    let lost = now.sessions.iter().filter(|(key, session)| now.flows.get(&session.flow_key(key)) != Some(*key));
    (stray.count(), lost.count())
}

fn stat(now: &Snapshot, stat: SessionStat) -> u64 {
    now.stats[stat as usize]
}

#[test]
fn one_external_tuple_never_belongs_to_two_flows() {
    const FLOWS: u32 = 600;
    // Fewer ports than flows: most of them collide, some are refused.
    let rig = rig(4096, 400, Duration::from_mins(5));
    let start = Barrier::new(THREADS);
    let outcomes = on_all_cpus(&rig, |_| {
        // Every thread begins every flow, at about the same time.
        (0..FLOWS)
            .map(|n| {
                if n % 16 == 0 {
                    start.wait();
                }
                send(&rig, n)
            })
            .collect::<Vec<_>>()
    });
    let mut owners: BTreeMap<u16, u32> = BTreeMap::new();
    let mut served = BTreeSet::new();
    for outcome in &outcomes {
        for (n, port) in (0..FLOWS).zip(outcome) {
            let Some(port) = *port else { continue };
            served.insert(n);
            let owner = *owners.entry(port).or_insert(n);
            assert_eq!(owner, n, "port {port} left the gateway for the flows {owner} and {n}");
        }
    }
    let now = rig.snapshot();
    assert_eq!(inconsistencies(&now), (0, 0));
    assert_eq!(now.sessions.len(), served.len());
    assert_eq!(now.flows.len(), served.len());
    assert_eq!(owners.len(), served.len(), "a flow has one port, whichever CPU its packets come by");
    assert_eq!(stat(&now, SessionStat::Created), served.len() as u64);
    assert_eq!(stat(&now, SessionStat::Reclaimed), 0);
    assert_eq!(now.drops[DropReason::NoPort as usize].packets, stat(&now, SessionStat::RefusedNoPort));
    assert!(served.len() > 380, "only {} of 400 ports were found", served.len());
}

#[test]
fn sessions_that_expire_under_load_are_reclaimed_once() {
    let rig = rig(4096, 64, Duration::from_millis(20));
    let until = Instant::now() + Duration::from_millis(1500);
    on_all_cpus(&rig, |thread| {
        let mut n = u32::try_from(thread).unwrap() * 37;
        while Instant::now() < until {
            n = (n + 1) % 500;
            send(&rig, n);
        }
    });
    let now = rig.snapshot();
    let (created, reclaimed) = (stat(&now, SessionStat::Created), stat(&now, SessionStat::Reclaimed));
    assert!(reclaimed > 1000, "{reclaimed} sessions were reclaimed");
    assert_eq!(created - reclaimed, now.sessions.len() as u64, "created {created}, reclaimed {reclaimed}");
    assert_eq!(inconsistencies(&now), (0, 0));
}

#[test]
fn sessions_ended_under_load_are_ended_once() {
    const FLOWS: u32 = 300;
    let rig = rig(4096, 2000, Duration::from_mins(5));
    let until = Instant::now() + Duration::from_millis(1500);
    let done = AtomicBool::new(false);
    let ended: i32 = on_all_cpus(&rig, |thread| {
        if thread == 0 {
            let mut ended = 0;
            while Instant::now() < until {
                let items: Vec<_> = rig.sessions().iter().map(|(key, session)| (*key, session.created_ns)).collect();
                ended += rig.sweep(SweepOp::Ended, &items).unwrap();
            }
            done.store(true, Ordering::Relaxed);
            return ended;
        }
        let mut n = u32::try_from(thread).unwrap() * 41;
        while !done.load(Ordering::Relaxed) {
            n = (n + 1) % FLOWS;
            assert!(send(&rig, n).is_some());
        }
        0
    })
    .into_iter()
    .sum();
    // Now every flow is served again, whatever the removals left behind.
    rig.netns().run(|| (0..FLOWS).for_each(|n| assert!(send(&rig, n).is_some())));
    let now = rig.snapshot();
    let counted = stat(&now, SessionStat::Ended);
    assert_eq!(counted, u64::try_from(ended).unwrap());
    assert!(counted > 1000, "{counted} sessions were ended");
    assert_eq!(inconsistencies(&now), (0, 0));
    assert_eq!(now.sessions.len(), FLOWS as usize);
    let gone = counted + stat(&now, SessionStat::Reclaimed);
    assert_eq!(stat(&now, SessionStat::Created) - gone, u64::from(FLOWS), "created minus ended");
}
