//! The API server answers from its memory while its etcd is away, and a gateway that has nothing takes what it gets.

use natgw_common::abi::DropReason;
use natgw_tests::{
    Cluster, ClusterLab, Topology,
    cluster_lab::Pins,
    lab::EIP3,
    maps::MapDump,
    observed::{ANY_PORT, address, get},
    traffic::{Traffic, assert_unchanged, rules},
};
use natgw_userspace::core::objects::Kind;

#[test]
fn a_rebooted_gateway_translates_without_etcd_and_is_complete_once_it_is_back() {
    let cluster = Cluster::start();
    let rules_before = rules().eip("eip3", EIP3);
    let mut lab = ClusterLab::on(&cluster, Topology::new(), &rules_before, &cluster.admin_kubeconfig(), &ANY_PORT);
    let before = MapDump::rules(&lab.gateway);
    // What is left of connections whose sessions are gone.
    lab.drops.allow(&[DropReason::FlowConflict, DropReason::NoSession]);
    let traffic = Traffic::start(&lab.net);
    lab.rebuild_sandbox(Pins::Lost);

    let daemon = cluster.without_etcd(|| {
        let mut daemon = lab.gateway.spawn();
        daemon.wait_ready();
        lab.wait_maps(|maps| before.difference(maps).is_empty());
        traffic.wait_back();
        let reconciled = daemon.wait_message(0, "reconciled");
        assert!(reconciled.text.contains("\"complete\":false"), "{}", reconciled.text);
        let (status, body) = get(address(&daemon), "/readyz");
        assert!(status == 503 && body.contains("in force is what the API server had in memory"), "{status} {body}");
        daemon
    });
    daemon.wait_complete();
    assert_eq!(get(address(&daemon), "/readyz"), (200, "ready\n".to_owned()));
    lab.replace_daemon(daemon);
    assert_unchanged(&before, &MapDump::rules(&lab.gateway));
    let _ = traffic.end_without_sessions(&lab.net);
    Traffic::start(&lab.net).assert_unharmed(&lab.net);

    // What it is told from then on is followed, deletions too.
    lab.objects.delete(Kind::IptablesEip, &lab.objects.name("eip3"));
    lab.wait_maps(|maps| maps.len("EIPS") == 2);
}
