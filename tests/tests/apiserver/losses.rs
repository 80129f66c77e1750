//! The API server is killed, forgets, refuses, is slow or out of reach: what is programmed goes on, and what changed
//! meanwhile is picked up.

use std::time::{Duration, Instant};

use natgw_tests::{
    Cluster, ClusterLab, Topology,
    lab::EIP3,
    maps::MapDump,
    traffic::{Traffic, rules},
};
use natgw_userspace::core::objects::Kind;

/// A wait of the daemon, and what the server needs to be watched again.
const ONE_STEP: Duration = Duration::from_secs(15);

fn with_a_third_eip() -> natgw_tests::Rules {
    rules().eip("eip3", EIP3)
}

#[test]
fn a_killed_api_server_costs_no_packet_and_its_successor_is_followed() {
    let cluster = Cluster::start();
    let mut lab = ClusterLab::new(&cluster, &rules());
    let traffic = Traffic::start(&lab.net);
    let before = MapDump::rules(&lab.gateway);
    let mark = lab.daemon().logs().mark();
    cluster.kill_apiserver();
    lab.daemon().wait_line(mark, "the loss", |line| line.text.contains("cannot read `"));
    traffic.flow();
    assert_eq!(before.difference(&MapDump::rules(&lab.gateway)), Vec::<String>::new());
    cluster.start_apiserver();
    let back = Instant::now();
    lab.set(&with_a_third_eip(), |maps| maps.len("EIPS") == 3);
    assert!(back.elapsed() < ONE_STEP, "{:?}", back.elapsed());
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn deletions_that_nobody_watched_are_found_when_the_watch_has_expired() {
    let cluster = Cluster::start();
    let lab = ClusterLab::new(&cluster, &with_a_third_eip());
    let proxy = cluster.proxy();
    drop(lab);
    let kubeconfig = cluster.admin_kubeconfig_through(&proxy);
    let lab = ClusterLab::on(&cluster, Topology::new(), &with_a_third_eip(), &kubeconfig, &[]);
    let traffic = Traffic::start(&lab.net);
    let mark = lab.daemon().logs().mark();
    // Out of reach while the object goes and every old revision is forgotten.
    proxy.refuse();
    proxy.cut();
    lab.objects.delete(Kind::IptablesEip, &lab.objects.name("eip3"));
    cluster.compact();
    cluster.kill_apiserver();
    cluster.start_apiserver();
    assert_eq!(MapDump::rules(&lab.gateway).len("EIPS"), 3, "nobody has told the daemon");
    proxy.forward();
    lab.wait_maps(|maps| maps.len("EIPS") == 2);
    let expired = "the watch of `iptables-eips.kubeovn.io` is too old for the server; listing again";
    lab.daemon().wait_line(mark, "the answer 410", |line| line.message() == expired);
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn a_slow_server_and_one_that_cuts_connections_are_followed_all_the_same() {
    let cluster = Cluster::start();
    natgw_tests::cluster_lab::install_crds(&cluster);
    let proxy = cluster.proxy();
    let kubeconfig = cluster.admin_kubeconfig_through(&proxy);
    let mut lab = ClusterLab::on(&cluster, Topology::new(), &rules(), &kubeconfig, &[]);
    let traffic = Traffic::start(&lab.net);
    proxy.delay(Duration::from_millis(300));
    lab.set(&with_a_third_eip(), |maps| maps.len("EIPS") == 3);
    for _ in 0..5 {
        proxy.cut();
        traffic.flow();
    }
    proxy.forward();
    lab.set(&rules(), |maps| maps.len("EIPS") == 2);
    let _ = lab.objects.wait_condition(Kind::VpcNatGateway, lab.gateway.name(), "Ready", |c| c["status"] == "True");
    traffic.assert_unharmed(&lab.net);
}
