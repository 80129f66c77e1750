//! R2 at scale: a thousand EIPs and ten thousand rules after a reboot.
//!
//! The objects are stored while nothing runs, so the first daemon finds empty maps and a new namespace, as after a reboot.

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

use kube::{api::ListParams, core::Request};
use natgw_tests::{
    Cluster, ClusterLab, Topology, clock,
    cluster::shared,
    daemon::PATIENCE,
    maps::MapDump,
    probe::{MILLISECOND, UdpEcho, UdpProbe},
    recovery::Outcome,
    tcp::{self, TcpServer},
    topology::{CLIENT, SERVER},
    traffic::{VPC_CIDR, at},
};
use natgw_userspace::core::objects::Kind;
use serde_json::{Value, json};

const EIPS: u16 = 1000;
const FIPS: u16 = 500;
const DNATS: u16 = 9480;
const SNATS: u16 = 20;
/// Floating IPs whose pod is there; the others lead nowhere.
const LIVING: u16 = 20;
/// From one port mapping of the sample to the next.
const STRIDE: usize = 97;
/// How often the sample is asked: often enough to measure, seldom enough to leave the processors to the gateway.
const LOOK: Duration = Duration::from_millis(20);
/// The fourth byte of the first pod address behind a floating IP.
const FIRST_POD: u8 = 100;

fn eip(n: u16) -> Ipv4Addr {
    let [high, low] = n.to_be_bytes();
    Ipv4Addr::new(198, 18, high, low)
}

/// Number of the EIP of port mapping `n`: one without a floating IP, which would go first.
fn mapped(n: u16) -> u16 {
    FIPS + n % (EIPS - FIPS)
}

fn port(n: u16) -> u16 {
    1000 + n / (EIPS - FIPS)
}

fn pod(n: u16) -> Ipv4Addr {
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
            let (external, internal) = (port(n).to_string(), "5353");
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

/// Asks through a sample of the port mappings until each has answered; how many there are.
fn until_sample_answers(net: &Topology) -> usize {
    let ask = |n: u16| {
        let socket = net.server.run(|| UdpSocket::bind("0.0.0.0:0")).expect("a UDP socket");
        socket.connect(at(eip(mapped(n)), port(n))).expect("there is a route");
        socket.set_nonblocking(true).expect("a socket can be non-blocking");
        socket
    };
    let mut unanswered: Vec<UdpSocket> = (0..DNATS).step_by(STRIDE).map(ask).collect();
    let sample = unanswered.len();
    let deadline = Instant::now() + Duration::from_mins(1);
    while !unanswered.is_empty() {
        assert!(Instant::now() < deadline, "{} of {sample} port mappings never answered", unanswered.len());
        for socket in &unanswered {
            // Refused for a moment: the next one tells.
            let _ = socket.send(b"sample");
        }
        clock::pass(LOOK);
        unanswered.retain(|socket| socket.recv(&mut [0; 16]).ok() != Some(6));
    }
    sample
}

#[test]
fn r2_a_thousand_eips_and_ten_thousand_rules_are_back_within_two_seconds() {
    let mut outcome = Outcome::of("R2 at scale");
    let cluster = shared();
    let mut lab = ClusterLab::stopped(&cluster, Topology::new(), &cluster.admin_kubeconfig(), &[]);
    lab.objects.set(&natgw_tests::Rules::new());
    let gw = lab.gateway.name().to_owned();
    let begun = Instant::now();
    for (kind, objects) in objects(&gw) {
        cluster.store("kubeovn.io", kind.plural(), &objects);
    }
    println!("stored after {:?}", begun.elapsed());
    wait_cached(&cluster, Kind::IptablesDnatRule, usize::from(DNATS));
    println!("known to the API server after {:?}", begun.elapsed());
    lab.net.server.ip(&["route add 198.18.0.0/22 via 203.0.113.1".to_owned()]);
    lab.net.pod2.ip(&(0..LIVING).map(|n| format!("addr add {}/24 dev eth0", pod(n))).collect::<Vec<_>>());
    let outside = UdpEcho::start(&lab.net.server, 7002);
    let _inside = UdpEcho::start(&lab.net.client, 5353);
    let _pod = TcpServer::start(&lab.net.pod2, 8080);

    let since = Instant::now();
    let daemon = lab.gateway.spawn();
    let sample = until_sample_answers(&lab.net);
    let answered = since.elapsed();
    let complete = daemon.wait_complete();
    outcome.took(answered.max(complete.at.saturating_duration_since(since)));
    println!("sample answered after {answered:?}; the log:\n{}", daemon.logs().text());
    let maps = MapDump::rules(&lab.gateway);
    let counts = ["EIPS", "FIP_IN", "DNAT", "SNAT"].map(|map| maps.len(map));
    assert_eq!(counts, [EIPS, FIPS, DNATS, SNATS].map(usize::from));

    for n in 0..LIVING {
        let moved = tcp::connect(&lab.net.server, at(eip(n), 8080)).and_then(|mut it| tcp::upload(&mut it, 10_000));
        assert_eq!(moved.map_err(|error| error.to_string()), Ok(10_000), "floating IP {}", eip(n));
    }
    let probe = UdpProbe::start(&lab.net.client, at(SERVER, 7002), MILLISECOND);
    probe.wait_answers(200);
    let report = probe.stop();
    outcome.probes(report.sent, report.lost());
    let peers: Vec<_> = outside.take_peers().iter().map(std::net::SocketAddr::ip).collect();
    assert_eq!(peers, [eip(EIPS - 1)], "the source NAT of the VPC");
    drop(daemon);
    for kind in [Kind::IptablesDnatRule, Kind::IptablesSnatRule, Kind::IptablesFipRule, Kind::IptablesEip] {
        cluster.unstore("kubeovn.io", kind.plural(), &format!("{gw}-"));
    }
    outcome.note(format!("sample: {sample} port mappings, {LIVING} floating IPs, one source NAT, after all of it"));
    outcome.hand_in();
    report.assert_lossless("SNAT by UDP");
}
