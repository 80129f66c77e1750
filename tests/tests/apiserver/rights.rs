//! natgw with the rights of `deploy/base`, and what it does with other rights.

use std::{fs, path::Path, time::Duration};

use natgw_tests::{
    Cluster, ClusterLab, Topology,
    lab::EIP3,
    traffic::{Traffic, rules},
};
use natgw_userspace::core::objects::Kind;

pub(crate) fn rbac() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/base/manifests/rbac.yaml");
    fs::read_to_string(path).expect("deploy/base is part of the tree")
}

#[test]
fn the_rights_of_the_base_are_enough_and_none_is_missed() {
    let cluster = Cluster::start();
    cluster.apply_yaml(&rbac());
    let account = cluster.service_account("kube-system", "natgw", Duration::from_hours(1));
    let mut lab = ClusterLab::on(&cluster, Topology::new(), &rules(), account.kubeconfig(), &["--own-status"]);
    let traffic = Traffic::start(&lab.net);
    let name = lab.objects.name("eip3");
    lab.set(&rules().eip("eip3", EIP3), |maps| maps.len("EIPS") == 3);
    let _ = lab.objects.wait_programmed(Kind::IptablesEip, &name, "True", "Programmed");
    assert!(lab.objects.wait_event(Kind::IptablesEip, &name, "Programmed").starts_with("Normal "));
    let object = lab.objects.get(Kind::IptablesEip, &lab.objects.name("eip1"));
    assert_eq!(
        (&object["status"]["ready"], &object["status"]["nat"]),
        (&true.into(), &"dnat,snat".into()),
        "{object:#}"
    );
    traffic.assert_unharmed(&lab.net);
    assert_eq!(cluster.forbidden(&account.user()), Vec::<String>::new());
}

#[test]
fn rights_that_are_withdrawn_and_given_back_cost_no_packet() {
    let cluster = Cluster::start();
    cluster.apply_yaml(&rbac());
    let account = cluster.service_account("kube-system", "natgw", Duration::from_hours(1));
    let mut lab = ClusterLab::on(&cluster, Topology::new(), &rules(), account.kubeconfig(), &[]);
    let traffic = Traffic::start(&lab.net);
    let mark = lab.daemon().logs().mark();
    let none = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: natgw}\nrules: []\n";
    cluster.apply_yaml(none);
    // A watch that is open stays open; the server's restart makes it ask again.
    cluster.kill_apiserver();
    cluster.start_apiserver();
    lab.daemon().wait_line(mark, "the refusal", |line| line.text.contains("is forbidden; the ServiceAccount needs"));
    traffic.flow();
    cluster.apply_yaml(&rbac());
    lab.set(&rules().eip("eip3", EIP3), |maps| maps.len("EIPS") == 3);
    traffic.assert_unharmed(&lab.net);
}
