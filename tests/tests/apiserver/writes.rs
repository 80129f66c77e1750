//! Requests that are made, and those that are not: a gateway at rest is silent, one that is refused or cut off asks ever more
//! rarely, and whether statuses can be written concerns no packet.

use std::{collections::BTreeMap, time::Duration};

use natgw_tests::{
    Cluster, ClusterLab, Topology, clock,
    cluster::{Account, Request},
    lab::EIP3,
    traffic::{Traffic, rules},
};
use natgw_userspace::core::objects::Kind;

use crate::rights::rbac;

/// For how long requests are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// What `deploy/base` allows but for writing.
const READ_ONLY: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: natgw}\nrules:\n\
    - {apiGroups: [kubeovn.io], resources: ['*'], verbs: [get, list, watch]}\n";

const REFUSAL: &str = "cannot write conditions: patching `iptables-eips/status` is forbidden; the ServiceAccount needs patch on it \
    (deploy/base/manifests/rbac.yaml); the data plane is not concerned";

fn account(cluster: &Cluster) -> Account {
    cluster.apply_yaml(&rbac());
    cluster.service_account("kube-system", "natgw", Duration::from_hours(1))
}

/// What was asked for within [`WINDOW`].
fn within_the_window(cluster: &Cluster, account: &Account) -> Vec<Request> {
    let before = cluster.requests(&account.user()).len();
    clock::pass(WINDOW);
    cluster.requests(&account.user()).split_off(before)
}

#[test]
fn a_gateway_at_rest_asks_for_nothing_and_writes_nothing() {
    let cluster = Cluster::start();
    let account = account(&cluster);
    // At every one of these all statuses are compared with what they should be.
    let config = cluster.dir().join("often.toml");
    std::fs::write(&config, "resync = \"1s\"\n").unwrap();
    let config = config.display().to_string();
    let lab = ClusterLab::on(
        &cluster,
        Topology::new(),
        &rules(),
        account.kubeconfig(),
        &["--own-status", "--config", &config],
    );
    let traffic = Traffic::start(&lab.net);
    for (kind, name) in [
        (Kind::VpcNatGateway, lab.gateway.name().to_owned()),
        (Kind::IptablesEip, lab.objects.name("eip1")),
        (Kind::IptablesEip, lab.objects.name("eip2")),
    ] {
        let _ = lab.objects.wait_programmed(kind, &name, "True", "Programmed");
    }
    let seen = cluster.requests(&account.user());
    for verb in ["list", "patch"] {
        assert!(seen.iter().any(|request| request.verb == verb), "nothing would be seen: {seen:?}");
    }
    // What its own writes bring about.
    clock::eventually("it comes to rest", Duration::from_mins(1), || {
        within_the_window(&cluster, &account).iter().all(|request| request.verb == "watch")
    });
    let asked = within_the_window(&cluster, &account);
    // A watch is begun anew once a minute.
    assert!(asked.iter().all(|request| request.verb == "watch") && asked.len() <= Kind::ALL.len(), "{asked:?}");
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn who_may_read_but_not_write_translates_all_the_same_and_tries_ever_more_rarely() {
    let cluster = Cluster::start();
    let account = account(&cluster);
    cluster.apply_yaml(READ_ONLY);
    let mut lab = ClusterLab::on(&cluster, Topology::new(), &rules(), account.kubeconfig(), &[]);
    let traffic = Traffic::start(&lab.net);
    lab.daemon().wait_line(0, "the refusal", |line| line.text.contains(REFUSAL));
    lab.set(&rules().eip("eip3", EIP3), |maps| maps.len("EIPS") == 3);
    let asked = within_the_window(&cluster, &account);
    let mut tries: BTreeMap<_, u32> = BTreeMap::new();
    for request in asked.iter().filter(|request| request.verb == "patch") {
        assert_eq!(request.code, 403, "{request}");
        *tries.entry(request.uri.clone()).or_default() += 1;
    }
    // After 2, 4 and 8 seconds.
    assert!(!tries.is_empty() && tries.values().all(|tries| *tries <= 4), "{tries:?}");
    cluster.apply_yaml(&rbac());
    let _ = lab.objects.wait_programmed(Kind::IptablesEip, &lab.objects.name("eip3"), "True", "Programmed");
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn an_api_server_behind_cut_connections_is_tried_ever_more_rarely() {
    let cluster = Cluster::start();
    natgw_tests::cluster_lab::install_crds(&cluster);
    let proxy = cluster.proxy();
    let kubeconfig = cluster.admin_kubeconfig_through(&proxy);
    let mut lab = ClusterLab::on(&cluster, Topology::new(), &rules(), &kubeconfig, &[]);
    let traffic = Traffic::start(&lab.net);
    let mark = lab.daemon().logs().mark();
    let before = proxy.accepted();
    // Every connection is taken and cut at once: each is a try.
    proxy.black_hole();
    for _ in 0..WINDOW.as_millis() / 50 {
        proxy.cut();
        clock::pass(Duration::from_millis(50));
    }
    lab.daemon().wait_line(mark, "the loss", |line| line.text.contains("cannot read `"));
    let tries = proxy.accepted() - before;
    // Seven watches, each after 250 ms, 500 ms, 1 s and so on.
    assert!((Kind::ALL.len()..=Kind::ALL.len() * 8).contains(&tries), "{tries} connections within {WINDOW:?}");
    proxy.forward();
    lab.set(&rules().eip("eip3", EIP3), |maps| maps.len("EIPS") == 3);
    traffic.assert_unharmed(&lab.net);
}
