//! How lists are read: what the server has in memory first while a gateway has nothing, and always the newest, in pages.

use std::{fs, path::Path, time::Duration};

use natgw_tests::{
    Cluster, ClusterLab, Topology,
    cluster_lab::install_crds,
    lab::EIP3,
    traffic::{Traffic, rules},
};
use natgw_userspace::core::objects::Kind;

/// The paths and queries with which `user` has listed EIPs.
fn lists(cluster: &Cluster, user: &str) -> Vec<String> {
    let lists = cluster.requests(user).into_iter().filter(|it| it.verb == "list" && it.uri.contains("/iptables-eips"));
    lists.map(|request| request.uri).collect()
}

fn is_newest(uri: &str) -> bool {
    !uri.contains("resourceVersion=")
}

fn is_paged(uri: &str) -> bool {
    uri.contains("limit=")
}

#[test]
fn a_gateway_that_has_nothing_first_takes_what_the_server_has_in_memory_and_every_other_list_is_the_newest() {
    let cluster = Cluster::start();
    install_crds(&cluster);
    let rbac = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/base/manifests/rbac.yaml");
    cluster.apply_yaml(&fs::read_to_string(rbac).expect("deploy/base is part of the tree"));
    let account = cluster.service_account("kube-system", "natgw", Duration::from_hours(1));
    let proxy = cluster.proxy();
    let kubeconfig = cluster.kubeconfig_through(&proxy, &account);
    let mut lab = ClusterLab::on(&cluster, Topology::new(), &rules().eip("eip3", EIP3), &kubeconfig, &[]);
    let first = lists(&cluster, &account.user());
    let [at_hand, newest] = first.as_slice() else { panic!("{first:?}") };
    assert!(at_hand.contains("resourceVersion=0") && !is_paged(at_hand), "{first:?}");
    assert!(is_newest(newest) && is_paged(newest), "{first:?}");
    let traffic = Traffic::start(&lab.net);

    // The watch expires.
    proxy.refuse();
    proxy.cut();
    lab.objects.delete(Kind::IptablesEip, &lab.objects.name("eip3"));
    cluster.compact();
    cluster.kill_apiserver();
    cluster.start_apiserver();
    proxy.forward();
    lab.wait_maps(|maps| maps.len("EIPS") == 2);
    let expired = lists(&cluster, &account.user()).split_off(first.len());
    assert!(!expired.is_empty() && expired.iter().all(|uri| is_newest(uri) && is_paged(uri)), "{expired:?}");

    // A successor finds rules.
    lab.daemon_mut().kill9();
    lab.start();
    let adopted = lists(&cluster, &account.user()).split_off(first.len() + expired.len());
    assert!(!adopted.is_empty() && adopted.iter().all(|uri| is_newest(uri) && is_paged(uri)), "{adopted:?}");
    traffic.assert_unharmed(&lab.net);
}
