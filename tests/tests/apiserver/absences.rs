//! What the daemon needs is not there yet, or no longer valid: it says what, touches nothing that is pinned, and goes on
//! by itself when it comes.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use natgw_tests::{
    Cluster, ClusterLab, Gateway, Topology, clock,
    cluster::shared,
    cluster_lab::{Objects, Pins, crds, install_crds},
    daemon::PATIENCE,
    lab::EIP3,
    maps::MapDump,
    scratch,
    traffic::{Traffic, assert_unchanged, rules},
};
use natgw_userspace::core::objects::Kind;
use serde_json::json;

#[test]
fn crds_that_are_not_installed_are_named_and_taken_up_when_they_are() {
    let cluster = Cluster::start();
    let net = Topology::new();
    let name = scratch::unique_name();
    let gateway = Gateway::new(&net.gw).on_cluster(&name, &cluster.admin_kubeconfig());
    let daemon = gateway.spawn();
    let required =
        ["vpc-nat-gateways", "iptables-eips", "iptables-fip-rules", "iptables-dnat-rules", "iptables-snat-rules"];
    for plural in required {
        let text = format!(
            "the CRD `{plural}.kubeovn.io` is not installed; kube-ovn brings it, or: natgw crds | kubectl apply -f -"
        );
        daemon.wait_line(0, &text, |line| line.text.contains(&text));
    }
    // kube-ovn's other kinds may be missing for ever: nothing depends on them.
    let is_required = |document: &&str| required.iter().any(|plural| document.contains(&format!("name: {plural}.")));
    let some: Vec<_> = crds().split("---\n").filter(is_required).map(str::to_owned).collect();
    assert_eq!(some.len(), required.len());
    cluster.apply_yaml(&some.join("---\n"));
    let mut objects = Objects::new(&cluster, &name);
    objects.set(&rules());
    daemon.wait_complete();
    Traffic::start(&net).assert_unharmed(&net);
    // The namespaces go with the gateway's interfaces: nothing may follow them any more.
    drop((daemon, objects, gateway));
}

#[test]
fn without_the_gateway_object_nothing_is_removed_and_it_is_waited_for() {
    let cluster = Cluster::start();
    let mut lab = ClusterLab::new(&cluster, &rules().eip("eip3", EIP3));
    let traffic = Traffic::start(&lab.net);
    let before = MapDump::rules(&lab.gateway);
    let name = lab.gateway.name().to_owned();
    lab.daemon_mut().kill9();
    lab.objects.delete(Kind::VpcNatGateway, &name);
    // What goes meanwhile stays in force too, until it is known that the gateway is still wanted.
    lab.objects.delete(Kind::IptablesEip, &lab.objects.name("eip3"));
    let daemon = lab.gateway.spawn();
    let text =
        format!("there is no VpcNatGateway `{name}` in the cluster; waiting for it, and nothing is removed until then");
    daemon.wait_line(0, &text, |line| line.text.contains(&text));
    lab.replace_daemon(daemon);
    traffic.flow();
    assert_unchanged(&before, &MapDump::rules(&lab.gateway));
    lab.set(&rules(), |maps| maps.len("EIPS") == 2);
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn a_gateway_object_that_goes_under_a_running_daemon_takes_nothing_along() {
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &rules());
    let name = lab.gateway.name().to_owned();
    let route = || lab.net.gw.command("ip", &["route", "show", "10.0.2.0/24"]);
    let routes = json!({"spec": {"routes": [{"cidr": "10.0.2.0/24", "nextHopIP": "10.0.1.254"}]}});
    lab.objects.patch(Kind::VpcNatGateway, &name, &routes);
    clock::eventually("the route is there", PATIENCE, || route().contains("via 10.0.1.254"));
    let traffic = Traffic::start(&lab.net);
    let before = MapDump::rules(&lab.gateway);
    let mark = lab.daemon().logs().mark();
    lab.objects.delete(Kind::VpcNatGateway, &name);
    let text = format!("VpcNatGateway `{name}` is gone from the cluster; its routes stay until it is back");
    let said = lab.daemon().wait_line(mark, &text, |line| line.text.contains(&text));
    lab.daemon().wait_line(mark, "the end of that pass", |it| it.message() == "reconciled" && it.at >= said.at);
    assert!(route().contains("via 10.0.1.254"), "{}", route());
    assert_unchanged(&before, &MapDump::rules(&lab.gateway));
    // What it says when it is back is in force, also that there is no route any more.
    lab.objects.set(&rules());
    clock::eventually("the route is gone", PATIENCE, || route().is_empty());
    lab.daemon().wait_line(mark, "the return", |line| line.text.contains(&format!("resolved: {text}")));
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn a_kubeconfig_that_cannot_be_read_is_named_and_read_when_it_can() {
    let cluster = Cluster::start();
    install_crds(&cluster);
    let account_dir = scratch::Scratch::new();
    let kubeconfig = account_dir.dir().join("kubeconfig");
    fs::copy(cluster.admin_kubeconfig(), &kubeconfig).expect("the directory is writable");
    let mut lab = ClusterLab::on(&cluster, Topology::new(), &rules(), &kubeconfig, &[]);
    let traffic = Traffic::start(&lab.net);
    let before = MapDump::rules(&lab.gateway);
    lab.daemon_mut().kill9();
    for broken in [None, Some("clusters: ["), Some("{}")] {
        let _ = fs::remove_file(&kubeconfig);
        if let Some(text) = broken {
            fs::write(&kubeconfig, text).expect("the directory is writable");
        }
        let mut daemon = lab.gateway.spawn();
        let text = format!("cannot use the kubeconfig `{}`: ", kubeconfig.display());
        daemon.wait_line(0, &text, |line| line.text.contains(&text));
        traffic.flow();
        daemon.kill9();
    }
    let daemon = lab.gateway.spawn();
    daemon.wait_line(0, "the kubeconfig", |line| line.text.contains("cannot use the kubeconfig"));
    fs::copy(cluster.admin_kubeconfig(), &kubeconfig).expect("the directory is writable");
    daemon.wait_complete();
    lab.replace_daemon(daemon);
    assert_unchanged(&before, &MapDump::rules(&lab.gateway));
    traffic.assert_unharmed(&lab.net);
}

/// A file whose readers wait for the first [`Fifo::fill`].
struct Fifo(PathBuf);

impl Fifo {
    fn new(path: PathBuf) -> Self {
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO can be made");
        Self(path)
    }

    /// Gives `text` to whoever waits and to all that come later.
    fn fill(&self, text: &str) {
        let next = self.0.with_extension("next");
        fs::write(&next, text).expect("the directory is writable");
        let mut waiting = OpenOptions::new().write(true).open(&self.0).expect("somebody reads");
        fs::rename(&next, &self.0).expect("the directory is writable");
        waiting.write_all(text.as_bytes()).expect("the reader is there");
    }
}

impl Drop for Fifo {
    /// A reader that still waits gets nothing, and ends.
    fn drop(&mut self) {
        let _ = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&self.0);
    }
}

/// A kubeconfig whose credentials come from a program that waits for `fifo`. (kube runs it twice.)
fn with_plugin(kubeconfig: &Path, fifo: &Path) -> String {
    let text = fs::read_to_string(kubeconfig).expect("the kubeconfig can be read");
    let mut config: serde_json::Value = serde_json::from_str(&text).expect("a kubeconfig of the tests is JSON");
    config["users"][0]["user"] = serde_json::json!({ "exec": {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "cat",
        "args": [fifo],
        "interactiveMode": "Never",
    }});
    config.to_string()
}

#[test]
fn a_credential_plugin_that_hangs_delays_no_packet_of_a_pod_that_was_made_again() {
    let cluster = Cluster::start();
    let rbac = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/base/manifests/rbac.yaml");
    cluster.apply_yaml(&fs::read_to_string(rbac).expect("deploy/base is part of the tree"));
    let account = cluster.service_account("kube-system", "natgw", Duration::from_hours(1));
    let scratch = scratch::Scratch::new();
    let (kubeconfig, fifo) = (scratch.dir().join("kubeconfig"), Fifo::new(scratch.dir().join("fifo")));
    fs::copy(account.kubeconfig(), &kubeconfig).expect("the directory is writable");
    let mut lab = ClusterLab::on(&cluster, Topology::new(), &rules(), &kubeconfig, &[]);
    let before = MapDump::rules(&lab.gateway);
    lab.rebuild_sandbox(Pins::Kept);
    fs::write(&kubeconfig, with_plugin(account.kubeconfig(), &fifo.0)).expect("the directory is writable");

    let daemon = lab.gateway.spawn();
    let text = "the credentials of the kubeconfig are still being waited for";
    daemon.wait_line(0, text, |line| line.text.contains(text));
    lab.replace_daemon(daemon);
    let traffic = Traffic::start(&lab.net);
    traffic.flow();
    assert_unchanged(&before, &MapDump::rules(&lab.gateway));

    let token = fs::read_to_string(account.token_file()).expect("the token can be read");
    let credential = serde_json::json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": { "token": token },
    });
    fifo.fill(&credential.to_string());
    lab.daemon().wait_complete();
    lab.set(&rules().eip("eip3", EIP3), |maps| maps.len("EIPS") == 3);
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn an_expired_token_is_told_and_its_successor_in_the_same_file_is_used() {
    let cluster = Cluster::start();
    let rbac = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/base/manifests/rbac.yaml");
    cluster.apply_yaml(&fs::read_to_string(rbac).expect("deploy/base is part of the tree"));
    let account = cluster.service_account("kube-system", "natgw", Duration::from_hours(1));
    let mut lab = ClusterLab::on(&cluster, Topology::new(), &rules(), account.kubeconfig(), &[]);
    let traffic = Traffic::start(&lab.net);
    let mark = lab.daemon().logs().mark();
    cluster.revoke_tokens(&account);
    // It remembers neither tokens nor watches.
    cluster.kill_apiserver();
    cluster.start_apiserver();
    let text = "the API server does not accept the credentials for `";
    lab.daemon().wait_line(mark, text, |line| line.text.contains(text));
    cluster.renew_token(&account, Duration::from_hours(1));
    lab.objects.set(&rules().eip("eip3", EIP3));
    // The file is read again once a minute; then comes the longest wait between two attempts.
    clock::eventually("the new token is used", Duration::from_secs(75), || {
        MapDump::rules(&lab.gateway).len("EIPS") == 3
    });
    traffic.assert_unharmed(&lab.net);
}
