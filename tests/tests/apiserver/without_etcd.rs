//! The API server answers from its memory while its etcd is away, and a gateway that has nothing takes what it gets.

use natgw_common::abi::DropReason;
use natgw_tests::{
    Cluster, ClusterLab, Topology,
    cluster_lab::{Pins, install_crds},
    lab::EIP3,
    maps::MapDump,
    observed::{ANY_PORT, address, get},
    traffic::{Traffic, assert_unchanged, rules},
};
use natgw_userspace::core::objects::Kind;

#[test]
fn a_rebooted_gateway_translates_without_etcd_and_is_complete_once_it_is_back() {
    let cluster = Cluster::start();
    install_crds(&cluster);
    let proxy = cluster.proxy();
    let kubeconfig = cluster.admin_kubeconfig_through(&proxy);
    let mut lab = ClusterLab::on(&cluster, Topology::new(), &rules().eip("eip3", EIP3), &kubeconfig, &ANY_PORT);
    let before = MapDump::rules(&lab.gateway);
    // What is left of connections whose sessions are gone.
    lab.drops.allow(&[DropReason::FlowConflict, DropReason::NoSession]);
    let traffic = Traffic::start(&lab.net);
    lab.rebuild_sandbox(Pins::Lost);
    proxy.refuse();
    proxy.cut();

    let daemon = cluster.without_etcd(|| {
        // The way to the API server is not there at first, and the first daemon does not live to see it.
        let mut killed = lab.gateway.spawn();
        killed.wait_line(0, "the refusal", |line| line.text.contains("cannot read `"));
        killed.kill9();
        let mut daemon = lab.gateway.spawn();
        daemon.wait_line(0, "the refusal", |line| line.text.contains("cannot read `"));
        proxy.forward();
        daemon.wait_ready();
        lab.wait_maps(|maps| before.difference(maps).is_empty());
        traffic.wait_back();
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
