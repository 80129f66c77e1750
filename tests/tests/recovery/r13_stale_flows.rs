//! R13: traffic that began before its rule existed.

use std::time::Instant;

use natgw_tests::{
    ClusterLab, Rules, Topology,
    capture::{Capture, Way, passed},
    clock,
    cluster::shared,
    daemon::PATIENCE,
    lab::{EIP1, EIP2},
    probe::{MILLISECOND, UdpEcho, UdpProbe},
    recovery::Outcome,
    tcp::{TcpServer, Transfer},
    topology::{CLIENT, POD2, SERVER},
    traffic::{VPC_CIDR, at},
};

#[test]
fn r13_flows_that_began_before_their_rules_are_translated_from_the_next_packet_on() {
    let mut outcome = Outcome::of("R13");
    let cluster = shared();
    let mut rules = Rules::new().eip("eip1", EIP1).eip("eip2", EIP2).fip("eip2", POD2);
    let mut lab = ClusterLab::on(&cluster, Topology::new(), &rules, &cluster.admin_kubeconfig(), &[]);
    let echo = UdpEcho::start(&lab.net.server, 7002);
    let _pod = TcpServer::start(&lab.net.pod2, 8080);
    let probe = UdpProbe::start(&lab.net.client, at(SERVER, 7002), MILLISECOND);
    let transfer = Transfer::paced(&lab.net.server, at(EIP2, 8080), MILLISECOND * 10);
    transfer.wait_bytes(500_000);
    probe.wait_answers(100);
    assert!(echo.take_peers().iter().all(|peer| peer.ip() == CLIENT), "un-translated at first");

    let capture = Capture::start(&lab.net.gw);
    rules = rules.snat("eip1", VPC_CIDR);
    let asked = Instant::now();
    lab.objects.set(&rules);
    clock::eventually("a translated packet", PATIENCE, || echo.take_peers().iter().any(|peer| peer.ip() == EIP1));
    outcome.took(asked.elapsed());
    probe.wait_answers(100);
    let sources: Vec<_> = passed(&capture.stop(), "net1", Way::Out)
        .iter()
        .filter(|packet| packet.destination == SERVER && packet.ports().1 == 7002)
        .map(|packet| packet.source)
        .collect();
    let (before, after) = sources.split_at(sources.iter().take_while(|source| **source == CLIENT).count());
    assert!(!before.is_empty() && after.len() >= 100, "{} before and {} after", before.len(), after.len());
    assert!(after.iter().all(|source| *source == EIP1), "after the first translated packet: {after:?}");
    let report = probe.stop();
    outcome.probes(report.sent, report.lost());
    outcome.note("not one packet leaves un-translated after the first translated one");
    report.assert_lossless("SNAT by UDP");
    let failure = transfer.stop().failure;
    outcome.resets(u64::from(failure.is_some()));
    assert_eq!(failure, None, "a connection by a rule that was there all the time");
    outcome.hand_in();
}
