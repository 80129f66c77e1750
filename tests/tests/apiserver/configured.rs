//! The ways to a cluster and what is watched there: a pod's own account, a context of a kubeconfig, labels.

use std::{fs, time::Duration};

use natgw_tests::{
    ClusterLab, Gateway, Rules, Topology,
    cluster::shared,
    lab::{EIP1, EIP2},
    tcp::{self, TcpServer},
    topology::CLIENT,
    traffic::{Traffic, at, rules},
};
use natgw_userspace::{cluster::source::GATEWAY_LABEL, core::objects::Kind};
use serde_json::{Value, json};

use crate::rights::rbac;

/// Gives natgw the files of a pod, in a mount namespace of its own; the network namespaces stay where they are.
const POD: &str = "mkdir -p \"$1/netns\" && mount --rbind /run/netns \"$1/netns\" && mount -t tmpfs tmpfs /run \
    && mkdir -p /run/netns /run/secrets/kubernetes.io/serviceaccount && mount --move \"$1/netns\" /run/netns \
    && cp \"$2\" /run/secrets/kubernetes.io/serviceaccount/token && cp \"$3\" /run/secrets/kubernetes.io/serviceaccount/ca.crt \
    && echo -n kube-system > /run/secrets/kubernetes.io/serviceaccount/namespace && shift 3 && exec \"$@\"";

/// One of them. A machine that is itself a pod has its own.
const FILES: &str = "/run/secrets/kubernetes.io/serviceaccount/token";

#[test]
fn a_pod_finds_its_cluster_by_itself() {
    let cluster = shared();
    cluster.apply_yaml(&rbac());
    let account = cluster.service_account("kube-system", "natgw", Duration::from_hours(1));
    let mut lab = ClusterLab::stopped(&cluster, Topology::new(), account.kubeconfig(), &[]);
    lab.objects.set(&rules());
    lab.gateway = Gateway::new(&lab.net.gw).in_cluster(lab.gateway.name());
    let before = fs::read_to_string(FILES).ok();
    let server = cluster.apiserver_address();
    let [dir, token] = [lab.gateway.dir(), account.token_file()].map(|path| path.display().to_string());
    let ca = cluster.dir().join("ca.crt").display().to_string();
    let pod =
        [format!("KUBERNETES_SERVICE_HOST={}", server.ip()), format!("KUBERNETES_SERVICE_PORT={}", server.port())];
    let launcher = ["unshare", "--mount", "sh", "-c", POD, "sh", &dir, &token, &ca].map(str::to_owned);
    let mut daemon = lab.gateway.spawn_with(&[&pod[..], &launcher].concat());
    daemon.wait_ready();
    daemon.wait_complete();
    lab.replace_daemon(daemon);
    let traffic = Traffic::start(&lab.net);
    let _ = lab.objects.wait_programmed(Kind::IptablesEip, &lab.objects.name("eip1"), "True", "Programmed");
    assert_eq!(fs::read_to_string(FILES).ok(), before, "only the pod has the files");
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn a_context_of_the_kubeconfig_can_be_named_and_one_that_is_not_there_is_told() {
    let cluster = shared();
    let mut lab = ClusterLab::stopped(&cluster, Topology::new(), &cluster.admin_kubeconfig(), &[]);
    lab.objects.set(&rules());
    let mut config: Value = serde_json::from_str(&fs::read_to_string(cluster.admin_kubeconfig()).unwrap()).unwrap();
    let nowhere = json!({ "name": "nowhere", "cluster": { "server": "https://127.0.0.1:1" } });
    config["clusters"].as_array_mut().unwrap().push(nowhere);
    let context = json!({ "name": "nowhere", "context": { "cluster": "nowhere", "user": "test" } });
    config["contexts"].as_array_mut().unwrap().push(context);
    config["current-context"] = "nowhere".into();
    let file = cluster.dir().join(format!("{}.kubeconfig", lab.gateway.name()));
    fs::write(&file, config.to_string()).unwrap();

    let gateway = |context| {
        let gateway = Gateway::new(&lab.net.gw).on_cluster(lab.gateway.name(), &file);
        gateway.with_args(&["--context", context])
    };
    let wrong = gateway("elsewhere");
    let mut daemon = wrong.spawn();
    daemon.wait_line(0, "the unknown context", |line| line.text.contains("elsewhere"));
    daemon.kill9();
    drop((daemon, wrong));

    lab.gateway = gateway("test");
    lab.start();
    let traffic = Traffic::start(&lab.net);
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn with_labels_only_what_carries_the_gateways_is_watched() {
    let cluster = shared();
    let mut lab = ClusterLab::stopped(&cluster, Topology::new(), &cluster.admin_kubeconfig(), &["--watch", "labelled"]);
    let _server = TcpServer::start(&lab.net.client, 8080);
    let gw = lab.gateway.name().to_owned();
    let label = format!("labels: {{{GATEWAY_LABEL}: {gw}}}");
    let object = |kind: &str, name: &str, label: &str, spec: &str| {
        format!("apiVersion: kubeovn.io/v1\nkind: {kind}\nmetadata: {{name: {gw}-{name}, {label}}}\nspec: {{{spec}}}")
    };
    let eip =
        |name: &str, label: &str, addr| object("IptablesEIP", name, label, &format!("v4ip: {addr}, natGwDp: {gw}"));
    let fip = |label: &str| object("IptablesFIPRule", "fip", label, &format!("eip: {gw}-seen, internalIp: {CLIENT}"));
    lab.objects
        .set(&Rules::new().raw(&eip("seen", &label, EIP1)).raw(&eip("unseen", "labels: {}", EIP2)).raw(&fip(&label)));
    lab.start();
    tcp::assert_transfers(&lab.net.server, at(EIP1, 8080), 10_000);
    lab.wait_maps(|maps| maps.len("EIPS") == 1 && maps.len("FIP_IN") == 1);

    // The label comes, as kube-ovn's controller writes it a while after the object, and goes.
    let labels = |value: Value| json!({ "metadata": { "labels": { (GATEWAY_LABEL): value } } });
    lab.objects.patch(Kind::IptablesEip, &lab.objects.name("unseen"), &labels(json!(gw)));
    lab.wait_maps(|maps| maps.len("EIPS") == 2);
    tcp::assert_transfers(&lab.net.server, at(EIP1, 8080), 10_000);
    lab.objects.patch(Kind::IptablesFipRule, &lab.objects.name("fip"), &labels(Value::Null));
    lab.wait_maps(|maps| maps.len("EIPS") == 2 && maps.len("FIP_IN") == 0);
    assert!(tcp::connect(&lab.net.server, at(EIP1, 8080)).is_err(), "the rule is out of sight");
}
