//! R11: killed at random points of start and reconcile, again and again, while the manifests change.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::Duration,
};

use natgw_tests::{
    Gateway, Lab, Rules, Topology,
    capture::Capture,
    clock,
    lab::{EIP1, EIP2},
    maps::MapDump,
    probe::{IcmpProbe, MILLISECOND, StopOnDrop, UdpEcho, UdpProbe},
    random::Random,
    recovery::{
        asking::ask,
        changing::{addresses, assert_known_sources, expected_addresses, random_rules, stable},
    },
    topology::{SERVER, SERVER2},
    traffic::{assert_unchanged, at},
};

/// After each round the maps are compared.
const ROUNDS: usize = 3;
const KILLS_A_ROUND: usize = 20;

/// Kills one daemon, in the middle of its start or of a reconcile. Returns what it should have done.
fn kill_one(kill: usize, ready: Duration, random: &mut Random, gateway: &Gateway) -> Rules {
    let mut rules = random_rules(random);
    gateway.write(&rules);
    let mut daemon = gateway.spawn();
    if kill.is_multiple_of(2) {
        daemon.wait_ready();
        rules = random_rules(random);
        gateway.write(&rules);
        // It waits a moment for the directory to be quiet, then needs a few milliseconds.
        clock::pass(Duration::from_millis(9) + random.up_to(Duration::from_millis(20)));
    } else {
        clock::pass(random.up_to(ready * 5 / 4));
    }
    daemon.kill9();
    rules
}

/// Asserts that a start, however many were killed before it, makes the maps and addresses of `rules`.
fn assert_converges(net: &Topology, gateway: &Gateway, rules: &Rules) {
    // Addresses come and go before it is ready.
    let mut daemon = gateway.start();
    assert_unchanged(&undisturbed(rules), &MapDump::rules(gateway));
    assert_eq!(addresses(net), expected_addresses(rules), "addresses of net1");
    daemon.kill9();
}

/// What a gateway that was never killed has in its maps for `rules`.
fn undisturbed(rules: &Rules) -> MapDump {
    let net = Topology::new();
    let gateway = Gateway::new(&net.gw);
    gateway.write(rules);
    let daemon = gateway.start();
    let dump = MapDump::rules(&gateway);
    assert!(!dump.is_empty(), "the reference has rules");
    drop(daemon);
    dump
}

#[test]
fn r11_sixty_kills_at_random_points_always_converge_and_never_translate_wrongly() {
    let mut random = Random::new();
    let mut lab = Lab::new(&stable());
    let ready = lab.daemon().ready_after();
    lab.daemon_mut().kill9();
    let (net, gateway) = (&lab.net, &lab.gateway);
    let _outside = UdpEcho::start(&net.server, 7002);
    let inside = [UdpEcho::start(&net.client, 5353), UdpEcho::start(&net.pod2, 5353)];
    let capture = Capture::start(&net.gw);
    let probes = [
        UdpProbe::start(&net.pod2, at(SERVER, 7002), MILLISECOND),
        UdpProbe::start(&net.server2, at(EIP1, 53), MILLISECOND),
    ];
    let ping = IcmpProbe::start(&net.server, EIP2, 31, MILLISECOND);

    let stop = Arc::new(AtomicBool::new(false));
    let asked = thread::scope(|scope| {
        let asker = scope.spawn(|| ask(net, &stop));
        // Also when the kills panic: the scope waits for the asker.
        let guard = StopOnDrop(Arc::clone(&stop));
        for _ in 0..ROUNDS {
            let mut last = stable();
            for kill in 0..KILLS_A_ROUND {
                assert!(!asker.is_finished(), "the asker gave up");
                last = kill_one(kill, ready, &mut random, gateway);
            }
            assert_converges(net, gateway, &last);
        }
        drop(guard);
        asker.join().expect("every flow was answered")
    });

    assert_known_sources(&capture.stop());
    assert!(asked > 100, "only {asked} flows were tried");
    for report in probes.into_iter().map(UdpProbe::stop).chain([ping.stop()]) {
        report.assert_lossless("a stable rule");
    }
    let from_outside = BTreeSet::from([SERVER.into(), SERVER2.into()]);
    for echo in inside {
        let asked_by: BTreeSet<_> = echo.take_peers().iter().map(SocketAddr::ip).collect();
        assert!(asked_by.is_subset(&from_outside), "a pod was asked by {asked_by:?}");
    }
}
