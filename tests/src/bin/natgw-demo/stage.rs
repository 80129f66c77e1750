//! The network, the gateway in it, and the rules that it took from the manifests.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddrV4},
    path::{Path, PathBuf},
    time::Duration,
};

use natgw_tests::{Cluster, Daemon, Gateway, Topology, cluster_lab::install_crds, rules::GATEWAY, topology};
use serde_json::Value;

use crate::progress;

/// One port mapping of the examples.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mapping {
    /// What is dialled.
    pub(crate) outside: SocketAddrV4,
    /// Who answers.
    pub(crate) inside: SocketAddrV4,
}

/// The rules that the demo shows, as `natgw rules` reads them from the maps.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// The elastic IP of the VPC's source NAT.
    pub(crate) snat: Option<Ipv4Addr>,
    /// A TCP port mapping.
    pub(crate) tcp: Option<Mapping>,
    /// A UDP port mapping.
    pub(crate) udp: Option<Mapping>,
    /// A floating IP and its pod.
    pub(crate) fip: Option<(Ipv4Addr, Ipv4Addr)>,
}

/// Everything that is running.
pub(crate) struct Stage {
    // In the order of their end.
    pub(crate) daemon: Daemon,
    pub(crate) gateway: Gateway,
    pub(crate) net: Topology,
    pub(crate) cluster: Option<Cluster>,
    pub(crate) rules: Rules,
}

impl Stage {
    /// Builds the network and starts natgw with a copy of the manifests of `examples`.
    pub(crate) fn build(examples: &Path) -> Result<Self, String> {
        let net = Topology::new();
        let gateway = Gateway::new(&net.gw);
        copy(examples, &gateway.manifests())?;
        let daemon = gateway.start();
        let rules = Rules::read(&gateway)?;
        Ok(Self { daemon, gateway, net, cluster: None, rules })
    }

    /// The same with etcd, an API server and the objects of `examples` in it. natgw has the rights of `deploy/base`.
    pub(crate) fn on_cluster(examples: &Path) -> Result<Self, String> {
        let objects = manifests(examples)?.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
        let rbac = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/base/manifests/rbac.yaml"))?;
        let cluster = Cluster::start();
        progress(&format!(
            "etcd and an API server run at {}; applying CRDs, rights and objects",
            cluster.apiserver_url()
        ));
        install_crds(&cluster);
        cluster.apply_yaml(&rbac);
        cluster.apply_yaml(&objects.join("\n---\n"));
        let account = cluster.service_account("kube-system", "natgw", Duration::from_hours(1));
        let net = Topology::new();
        // No controller of kube-ovn runs here.
        let gateway = Gateway::new(&net.gw).on_cluster(GATEWAY, account.kubeconfig()).with_args(&["--own-status"]);
        let daemon = gateway.start();
        daemon.wait_complete();
        let rules = Rules::read(&gateway)?;
        Ok(Self { daemon, gateway, net, cluster: Some(cluster), rules })
    }

    /// From exec to `ready`, at the last start.
    pub(crate) fn ready_ms(&self) -> u128 {
        self.daemon.ready_after().as_millis()
    }
}

/// The manifests of a directory.
fn manifests(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(dir).map_err(|error| format!("cannot read {}: {error}", dir.display()))?;
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(is_yaml).collect();
    paths.sort();
    if paths.is_empty() { Err(format!("{} has no manifests (*.yaml)", dir.display())) } else { Ok(paths) }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    for path in manifests(from)? {
        let target = to.join(path.file_name().unwrap_or_default());
        fs::copy(&path, target).map_err(|error| format!("cannot copy {}: {error}", path.display()))?;
    }
    Ok(())
}

impl Rules {
    fn read(gateway: &Gateway) -> Result<Self, String> {
        let output = gateway.natgw(&["rules", "-o", "json"]);
        if !output.status.success() {
            return Err(format!("`natgw rules` failed: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let json: Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("`natgw rules -o json` printed no JSON: {error}"))?;
        let mut rules = Self::default();
        for eip in json["eips"].as_array().into_iter().flatten() {
            rules.take(eip);
        }
        Ok(rules)
    }

    fn take(&mut self, eip: &Value) {
        let Some(address) = text(&eip["address"]) else { return };
        if let Some(pod) = text(&eip["fip"]["pod"]) {
            self.fip.get_or_insert((address, pod));
        }
        for dnat in eip["dnat"].as_array().into_iter().flatten() {
            let port = dnat["port"].as_u64().and_then(|port| u16::try_from(port).ok());
            let (Some(port), Some(inside)) = (port, text(&dnat["target"])) else { continue };
            let mapping = Mapping { outside: SocketAddrV4::new(address, port), inside };
            match dnat["protocol"].as_str() {
                Some("tcp") => _ = self.tcp.get_or_insert(mapping),
                Some("udp") => _ = self.udp.get_or_insert(mapping),
                _ => {}
            }
        }
        if eip["snat"].as_array().is_some_and(|snat| !snat.is_empty()) {
            self.snat.get_or_insert(address);
        }
    }
}

fn text<T: std::str::FromStr>(value: &Value) -> Option<T> {
    value.as_str()?.parse().ok()
}

impl Stage {
    /// The namespace of a pod of the VPC.
    pub(crate) fn pod(&self, address: Ipv4Addr) -> Result<&natgw_tests::Netns, String> {
        match address {
            topology::CLIENT => Ok(&self.net.client),
            topology::POD2 => Ok(&self.net.pod2),
            other => Err(format!("the demo's network has no pod {other}, which a rule names")),
        }
    }
}
