//! P9: how long it takes from an object in the API to the first packet that it translates, beside ten thousand rules.

use std::{
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    sync::mpsc::{SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use kube::api::{DynamicObject, PostParams};
use natgw_tests::{
    ClusterLab, Netns, Rules, Topology, clock,
    cluster::shared,
    cluster_lab::api,
    observed::{self, ANY_PORT},
    probe::UdpEcho,
    topology::CLIENT,
    traffic::at,
};
use natgw_userspace::core::objects::Kind;
use serde_json::json;

use crate::scale;

/// Enough for a 99th percentile that two outliers do not make.
const SAMPLES: u16 = 300;
/// What half of them may take at most, and 99 in 100. P9 asks for 50 ms of those, which docs/performance.md shows of one
/// machine; slower ones have to pass too, and that one not if every object is judged for a change.
const MEDIAN: Duration = Duration::from_millis(20);
const P99: Duration = Duration::from_millis(70);
/// Between two packets that ask whether the rule is there yet: the resolution.
const ASK: Duration = Duration::from_micros(500);
/// Ports that no stored rule has.
const FIRST_PORT: u16 = 40_000;
/// Ports that ask, one for each rule: all lead to one port of the pod, which could not tell two flows of one port apart.
const FIRST_ASKER: u16 = 20_000;
/// Statuses that natgw has written, by its own count.
const WRITTEN: &str = "natgw_status_writes_total{outcome=\"written\"}";
/// How often that is asked for.
const LOOK: Duration = Duration::from_millis(200);

/// Asks `target` from `port` until it answers; says when. Tells `unanswered` when the first packet was not.
fn first_answer(from: &Netns, port: u16, target: SocketAddrV4, unanswered: &SyncSender<()>) -> Instant {
    let socket = from.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))).expect("a UDP socket");
    socket.connect(target).expect("there is a route");
    socket.set_nonblocking(true).expect("a socket can be non-blocking");
    let begun = Instant::now();
    loop {
        // Refused while nothing maps the port: the next one tells.
        let _ = socket.send(b"is it there?");
        clock::pass(ASK);
        if socket.recv(&mut [0; 16]).is_ok() {
            return Instant::now();
        }
        // Only the first time somebody listens.
        let _ = unanswered.try_send(());
        assert!(begun.elapsed() < Duration::from_secs(20), "{target} was never translated");
    }
}

/// The smallest of `sorted` that `percent` of them do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100) - 1]
}

/// Prints what they came to; returns the median and the 99th percentile.
fn in_words(name: &str, mut waits: Vec<Duration>) -> [Duration; 2] {
    waits.sort();
    let [p50, p99] = [50, 99].map(|percent| percentile(&waits, percent));
    println!("{name}: median {p50:.1?}, p99 {p99:.1?}, worst of {SAMPLES} {:.1?}", percentile(&waits, 100));
    [p50, p99]
}

#[test]
fn p9_an_object_created_beside_ten_thousand_rules_translates_soon() {
    let cluster = shared();
    let mut lab = ClusterLab::stopped(&cluster, Topology::new(), &cluster.admin_kubeconfig(), &ANY_PORT);
    lab.objects.set(&Rules::new());
    let _stored = scale::Stored::of(&lab);
    lab.net.server.ip(&[scale::ROUTE.to_owned()]);
    let _service = UdpEcho::start(&lab.net.client, scale::SERVICE);
    lab.start();
    let address = observed::address(lab.daemon());
    let begun = Instant::now();
    let all = f64::from(scale::EIPS + scale::RULES);
    clock::eventually("every object has a condition", Duration::from_mins(5), || {
        clock::pass(LOOK);
        observed::scrape(address)[WRITTEN] >= all
    });
    println!("{all} conditions written within {:?}", begun.elapsed());

    let gw = lab.gateway.name().to_owned();
    let rules = api(&cluster, Kind::IptablesDnatRule);
    let eip = scale::mapped(0);
    let target = |n: u16| at(scale::eip(eip), FIRST_PORT + n);
    let (mut from_request, mut from_answer) = (Vec::new(), Vec::new());
    for n in 0..SAMPLES {
        let rule: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "kubeovn.io/v1",
            "kind": Kind::IptablesDnatRule.name(),
            "metadata": { "name": format!("{gw}-latency-{n}") },
            "spec": {
                "eip": format!("{gw}-{eip}"),
                "externalPort": (FIRST_PORT + n).to_string(),
                "protocol": "udp",
                "internalIp": CLIENT,
                "internalPort": scale::SERVICE.to_string(),
            },
        }))
        .expect("an object");
        let (answered, created, asked) = thread::scope(|scope| {
            let (unanswered, is_unanswered) = sync_channel(1);
            let (server, target) = (&lab.net.server, target(n));
            let asking = scope.spawn(move || first_answer(server, FIRST_ASKER + n, target, &unanswered));
            is_unanswered.recv().expect("the port is closed at first");
            let asked = Instant::now();
            cluster.block_on(rules.create(&PostParams::default(), &rule)).expect("the API server takes it");
            let created = Instant::now();
            (asking.join().expect("an answer"), created, asked)
        });
        from_request.push(answered.duration_since(asked));
        from_answer.push(answered.saturating_duration_since(created));
    }
    in_words("from the request", from_request);
    let [median, p99] = in_words("from the API server's answer", from_answer);
    assert!(median < MEDIAN && p99 < P99, "{median:?} {p99:?}");
}
