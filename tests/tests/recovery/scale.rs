//! A thousand EIPs and ten thousand rules in a cluster, stored past its API server: that takes seconds, not minutes.

use std::{net::Ipv4Addr, time::Instant};

use kube::{api::ListParams, core::Request};
use natgw_tests::{Cluster, ClusterLab, clock, daemon::PATIENCE, topology::CLIENT, traffic::VPC_CIDR};
use natgw_userspace::core::objects::Kind;
use serde_json::{Value, json};

pub(crate) const EIPS: u16 = 1000;
pub(crate) const FIPS: u16 = 500;
pub(crate) const DNATS: u16 = 9480;
pub(crate) const SNATS: u16 = 20;
/// All rules.
pub(crate) const RULES: u16 = FIPS + DNATS + SNATS;
/// Floating IPs whose pod is there; the others lead nowhere.
pub(crate) const LIVING: u16 = 20;
/// How the outside reaches all EIPs.
pub(crate) const ROUTE: &str = "route add 198.18.0.0/22 via 203.0.113.1";
/// Where the pods of the port mappings listen.
pub(crate) const SERVICE: u16 = 5353;
/// The fourth byte of the first pod address behind a floating IP.
const FIRST_POD: u8 = 100;

/// The address of EIP `n`.
pub(crate) fn eip(n: u16) -> Ipv4Addr {
    let [high, low] = n.to_be_bytes();
    Ipv4Addr::new(198, 18, high, low)
}

/// Number of the EIP of port mapping `n`: one without a floating IP, which would go first.
pub(crate) fn mapped(n: u16) -> u16 {
    FIPS + n % (EIPS - FIPS)
}

/// Its port.
pub(crate) fn port(n: u16) -> u16 {
    1000 + n / (EIPS - FIPS)
}

/// The pod of floating IP `n`.
pub(crate) fn pod(n: u16) -> Ipv4Addr {
    let [high, low] = n.to_be_bytes();
    if n < LIVING { Ipv4Addr::new(10, 0, 1, FIRST_POD + low) } else { Ipv4Addr::new(10, 9, high, low) }
}

/// All objects, by kind, as the API server would store them.
fn objects(gw: &str) -> [(Kind, Vec<Value>); 4] {
    let make = |kind: Kind, n: u16, spec: Value| {
        let (hour, minute, second) = (n / 3600, n / 60 % 60, n % 60);
        json!({
            "apiVersion": "kubeovn.io/v1",
            "kind": kind.name(),
            "metadata": {
                "name": format!("{gw}-{n}"),
                "uid": format!("{gw}-{kind}-{n}"),
                "creationTimestamp": format!("2026-01-01T{hour:02}:{minute:02}:{second:02}Z"),
                "generation": 1,
            },
            "spec": spec,
        })
    };
    let of = |n: u16| format!("{gw}-{n}");
    let all = |kind: Kind, count: u16, spec: &dyn Fn(u16) -> Value| {
        (kind, (0..count).map(|n| make(kind, n, spec(n))).collect::<Vec<_>>())
    };
    [
        all(Kind::IptablesEip, EIPS, &|n| json!({ "v4ip": eip(n), "natGwDp": gw })),
        all(Kind::IptablesFipRule, FIPS, &|n| json!({ "eip": of(n), "internalIp": pod(n) })),
        all(Kind::IptablesDnatRule, DNATS, &|n| {
            let (external, internal) = (port(n).to_string(), SERVICE.to_string());
            json!({ "eip": of(mapped(n)), "externalPort": external, "protocol": "udp", "internalIp": CLIENT, "internalPort": internal })
        }),
        all(Kind::IptablesSnatRule, SNATS, &|n| {
            let cidr = if n == 0 { VPC_CIDR.to_owned() } else { format!("10.{}.0.0/16", 100 + n) };
            json!({ "eip": of(EIPS - 1 - n), "internalCIDR": cidr })
        }),
    ]
}

/// Waits until the API server has heard from etcd of the objects that were stored past it.
fn wait_cached(cluster: &Cluster, kind: Kind, count: usize) {
    let client = cluster.admin();
    let path = format!("/apis/kubeovn.io/v1/{}", kind.plural());
    let known = || {
        let request = Request::new(path.as_str()).list(&ListParams::default().match_any()).expect("a request");
        let list = cluster.block_on(client.request::<Value>(request)).expect("the API server lists");
        list["items"].as_array().map_or(0, Vec::len) >= count
    };
    clock::eventually("the API server knows every object", PATIENCE, known);
}

/// The objects of one gateway in its cluster, until this is dropped.
pub(crate) struct Stored<'a> {
    cluster: &'a Cluster,
    prefix: String,
}

impl<'a> Stored<'a> {
    /// Stores them and waits until the API server has them.
    pub(crate) fn of(lab: &ClusterLab<'a>) -> Self {
        let begun = Instant::now();
        let stored = Self { cluster: lab.cluster, prefix: format!("{}-", lab.gateway.name()) };
        for (kind, objects) in objects(lab.gateway.name()) {
            stored.cluster.store("kubeovn.io", kind.plural(), &objects);
        }
        println!("stored after {:?}", begun.elapsed());
        wait_cached(stored.cluster, Kind::IptablesDnatRule, usize::from(DNATS));
        println!("known to the API server after {:?}", begun.elapsed());
        stored
    }
}

impl Drop for Stored<'_> {
    fn drop(&mut self) {
        for kind in [Kind::IptablesDnatRule, Kind::IptablesSnatRule, Kind::IptablesFipRule, Kind::IptablesEip] {
            self.cluster.unstore("kubeovn.io", kind.plural(), &self.prefix);
        }
    }
}
