//! R13: traffic that began before its rule existed.

use std::time::Instant;

use natgw_tests::{
    ClusterLab, Rules, Topology, clock,
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
    let transfer = Transfer::start(&lab.net.server, at(EIP2, 8080));
    transfer.wait_bytes(500_000);
    probe.wait_answers(100);
    assert!(echo.take_peers().iter().all(|peer| peer.ip() == CLIENT), "un-translated at first");

    rules = rules.snat("eip1", VPC_CIDR);
    let asked = Instant::now();
    lab.objects.set(&rules);
    clock::eventually("a translated packet", PATIENCE, || echo.take_peers().iter().any(|peer| peer.ip() == EIP1));
    outcome.took(asked.elapsed());
    // One look may have seen packets of before and of after.
    drop(echo.take_peers());
    probe.wait_answers(100);
    let seen = echo.take_peers();
    assert!(seen.iter().all(|peer| peer.ip() == EIP1), "{seen:?}");
    let report = probe.stop();
    outcome.probes(report.sent, report.lost());
    outcome.note("not one packet leaves un-translated after the first translated one");
    outcome.hand_in();
    report.assert_lossless("SNAT by UDP");
    assert_eq!(transfer.stop().failure, None, "a connection by a rule that was there all the time");
}
