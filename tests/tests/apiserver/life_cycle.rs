//! Each kind from its creation to its end, with packets.

use natgw_tests::{
    ClusterLab, Proto,
    cluster::shared,
    lab::EIP3,
    tcp::{self, TcpServer},
    topology::{CLIENT, POD2},
    traffic::{Traffic, at, rules},
};
use natgw_userspace::core::objects::Kind;

#[test]
fn objects_in_the_cluster_translate_every_kind_of_traffic_and_say_so() {
    let cluster = shared();
    let lab = ClusterLab::new(&cluster, &rules());
    let traffic = Traffic::start(&lab.net);
    for (kind, name) in [
        (Kind::VpcNatGateway, lab.gateway.name().to_owned()),
        (Kind::IptablesEip, lab.objects.name("eip1")),
        (Kind::IptablesFipRule, lab.objects.name(&format!("fip-eip2-{POD2}"))),
        (Kind::IptablesDnatRule, lab.objects.name("dnat-eip1-tcp-80")),
        (Kind::IptablesSnatRule, lab.objects.name("snat-eip1-10.0.1.0-24")),
    ] {
        let condition = lab.objects.wait_programmed(kind, &name, "True", "Programmed");
        assert_eq!(condition["observedGeneration"], lab.objects.get(kind, &name)["metadata"]["generation"]);
    }
    let ready = lab.objects.wait_condition(Kind::VpcNatGateway, lab.gateway.name(), "Ready", |c| c["status"] == "True");
    let message = ready["message"].as_str().unwrap_or_default();
    assert!(message.contains("2 EIPs, 1 FIPs, 2 DNAT and 1 SNAT entries"), "{message}");
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn a_dnat_rule_is_made_moved_and_deleted_and_only_its_own_connections_end() {
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &rules().eip("eip3", EIP3));
    let (first, second) = (TcpServer::start(&lab.net.client, 9001), TcpServer::start(&lab.net.pod2, 9002));
    let traffic = Traffic::start(&lab.net);
    lab.set(&rules().eip("eip3", EIP3).dnat("eip3", Proto::Tcp, 90, CLIENT, 9001), |maps| maps.len("DNAT") == 3);
    tcp::assert_transfers(&lab.net.server, at(EIP3, 90), 10_000);
    assert!(!first.take_peers().is_empty() && second.take_peers().is_empty());
    lab.set(&rules().eip("eip3", EIP3).dnat("eip3", Proto::Tcp, 90, POD2, 9002), |maps| {
        maps.entries("DNAT").iter().any(|entry| entry.contains("[35,42]"))
    });
    tcp::assert_transfers(&lab.net.server, at(EIP3, 90), 10_000);
    assert!(first.take_peers().is_empty() && !second.take_peers().is_empty());
    lab.set(&rules().eip("eip3", EIP3), |maps| maps.len("DNAT") == 2);
    let refused = tcp::connect(&lab.net.server, at(EIP3, 90)).expect_err("the rule is gone");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    // The refused connection was a reset, of nobody's connection.
    traffic.assert_no_loss(&lab.net);
}
