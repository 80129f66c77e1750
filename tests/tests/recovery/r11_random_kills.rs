//! R11: killed at random points of start and reconcile, again and again, while the rules change.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::Duration,
};

use natgw_tests::{
    ClusterLab, Gateway, Topology,
    capture::Capture,
    clock,
    cluster::shared,
    cluster_lab::Objects,
    lab::{EIP1, EIP2, EIP3},
    maps::MapDump,
    probe::{IcmpProbe, MILLISECOND, StopOnDrop, UdpEcho, UdpProbe},
    random::Random,
    recovery::{
        Outcome,
        asking::ask,
        changing::{addresses, assert_known_sources, expected_addresses, random_rules, stable},
    },
    tcp::{TcpServer, Transfer},
    topology::{SERVER, SERVER2},
    traffic::{assert_unchanged, at},
};

/// After each round the maps are compared.
const ROUNDS: usize = 10;
const KILLS_A_ROUND: usize = 20;

/// Kills one daemon, in the middle of its start or of a reconcile.
fn kill_one(kill: usize, ready: Duration, random: &mut Random, gateway: &Gateway, objects: &mut Objects<'_>) {
    let rules = random_rules(random);
    if kill.is_multiple_of(2) {
        objects.change(&rules);
        let mut daemon = gateway.spawn();
        clock::pass(random.up_to(ready * 5 / 4));
        daemon.kill9();
    } else {
        let mut daemon = gateway.spawn();
        daemon.wait_ready();
        // The objects change one by one under the ready daemon; the kill comes somewhere between them, or just after.
        let moment = random.up_to(Duration::from_millis(60));
        thread::scope(|scope| {
            scope.spawn(|| objects.change(&rules));
            clock::pass(moment);
            daemon.kill9();
        });
    }
}

/// A gateway of the same name elsewhere, which is never killed in the middle of anything.
struct Reference {
    gateway: Gateway,
    _net: Topology,
}

impl Reference {
    fn new(lab: &ClusterLab<'_>) -> Self {
        let net = Topology::new();
        let kubeconfig = lab.cluster.admin_kubeconfig();
        Self { gateway: Gateway::new(&net.gw).on_cluster(lab.gateway.name(), &kubeconfig), _net: net }
    }

    /// Lets both read the objects, and asserts that they have the same in their maps.
    fn assert_same(&self, killed: &Gateway) {
        let daemons = [self.gateway.spawn(), killed.spawn()];
        for daemon in &daemons {
            daemon.wait_complete();
        }
        assert_unchanged(&MapDump::rules(&self.gateway), &MapDump::rules(killed));
    }
}

#[test]
fn r11_two_hundred_kills_at_random_points_always_converge_and_never_translate_wrongly() {
    let mut outcome = Outcome::of("R11");
    let mut random = Random::new();
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &stable());
    let ready = lab.daemon().ready_after();
    lab.daemon_mut().kill9();
    let reference = Reference::new(&lab);
    let ClusterLab { gateway, objects, net, .. } = &mut lab;
    let outside = UdpEcho::start(&net.server, 7002);
    let inside = [UdpEcho::start(&net.client, 5353), UdpEcho::start(&net.pod2, 5353)];
    let _pod = TcpServer::start(&net.pod2, 8080);
    let probes = [
        UdpProbe::start(&net.pod2, at(SERVER, 7002), MILLISECOND),
        UdpProbe::start(&net.server2, at(EIP1, 53), MILLISECOND),
    ];
    let ping = IcmpProbe::start(&net.server, EIP2, 31, MILLISECOND);
    let transfer = Transfer::paced(&net.server2, at(EIP2, 8080), Duration::from_millis(50));

    let stop = Arc::new(AtomicBool::new(false));
    let asked = thread::scope(|scope| {
        let asker = scope.spawn(|| ask(net, &stop));
        // Also when the kills panic: the scope waits for the asker.
        let guard = StopOnDrop(Arc::clone(&stop));
        for _ in 0..ROUNDS {
            let capture = Capture::start(&net.gw);
            for kill in 0..KILLS_A_ROUND {
                assert!(!asker.is_finished(), "the asker gave up");
                kill_one(kill, ready, &mut random, gateway, objects);
            }
            reference.assert_same(gateway);
            assert_eq!(addresses(net), expected_addresses(objects.rules()), "addresses of net1");
            assert_known_sources(&capture.stop());
        }
        drop(guard);
        asker.join().expect("every flow was answered")
    });
    assert!(asked > 100, "only {asked} flows were tried");
    let failure = transfer.stop().failure;
    outcome.resets(u64::from(failure.is_some()));
    assert_eq!(failure, None, "TCP by a stable floating IP");
    let reports = probes.into_iter().map(UdpProbe::stop).chain([ping.stop()]).collect::<Vec<_>>();
    for report in &reports {
        outcome.probes(report.sent, report.lost());
    }
    outcome.note(format!(
        "{} kills, the maps compared after every {KILLS_A_ROUND}; {asked} further flows were begun meanwhile, and every \
         packet that left was looked at",
        ROUNDS * KILLS_A_ROUND
    ));
    for report in reports {
        report.assert_lossless("a stable rule");
    }
    let from_outside = BTreeSet::from([SERVER.into(), SERVER2.into()]);
    for echo in inside {
        let asked_by: BTreeSet<_> = echo.take_peers().iter().map(SocketAddr::ip).collect();
        assert!(asked_by.is_subset(&from_outside), "a pod was asked by {asked_by:?}");
    }
    let eips = BTreeSet::from([EIP1, EIP2, EIP3].map(Into::into));
    let asked_by: BTreeSet<_> = outside.take_peers().iter().map(SocketAddr::ip).collect();
    assert!(asked_by.is_subset(&eips), "the server was asked by {asked_by:?}");
    outcome.hand_in();
}
