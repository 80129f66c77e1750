//! R2 at scale: a thousand EIPs and ten thousand rules after a reboot.
//!
//! The objects are stored while nothing runs, so the first daemon finds empty maps and a new namespace, as after a reboot.

use std::{
    fs,
    net::UdpSocket,
    time::{Duration, Instant},
};

use natgw_tests::{
    ClusterLab, Daemon, Rules, Topology, clock,
    cluster::shared,
    maps::MapDump,
    probe::{MILLISECOND, UdpEcho, UdpProbe},
    recovery::Outcome,
    tcp::{self, TcpServer},
    topology::SERVER,
    traffic::at,
};

use crate::scale::{self, DNATS, EIPS, FIPS, LIVING, SNATS, eip, mapped, pod, port};

/// From one port mapping of the sample to the next.
const STRIDE: usize = 97;
/// How often the sample is asked: often enough to measure, seldom enough to leave the processors to the gateway.
const LOOK: Duration = Duration::from_millis(20);

/// Until then the newest list of every kind has confirmed what was in the API server's memory.
const COMPLETE: Duration = Duration::from_secs(5);

/// What the process may need besides the maps: docs/deploy.md has two sets of those (432 MiB) and this below its limit.
const MEMORY_MIB: u64 = 256;

/// The most that a process had in memory until now, in MiB (`VmHWM` of proc(5)).
fn peak_memory(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    peak.and_then(|kib| kib.trim().parse::<u64>().ok()).expect("a number of kB") / 1024
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
    lab.objects.set(&Rules::new());
    let _stored = scale::Stored::of(&lab);
    lab.net.server.ip(&[scale::ROUTE.to_owned()]);
    lab.net.pod2.ip(&(0..LIVING).map(|n| format!("addr add {}/24 dev eth0", pod(n))).collect::<Vec<_>>());
    let outside = UdpEcho::start(&lab.net.server, 7002);
    let _inside = UdpEcho::start(&lab.net.client, scale::SERVICE);
    let _pod = TcpServer::start(&lab.net.pod2, 8080);

    let since = Instant::now();
    let daemon = lab.gateway.spawn();
    let sample = until_sample_answers(&lab.net);
    let answered = since.elapsed();
    let all = format!("\"eips\":{EIPS},\"fips\":{FIPS},\"dnat\":{DNATS},\"snat\":{SNATS},");
    let written = daemon.wait_line(0, "all rules written", |line| {
        line.message() == "reconciled" && line.text.contains(&all) && line.text.contains("\"errors\":0")
    });
    outcome.took(answered.max(written.at.saturating_duration_since(since)));
    let complete = daemon.wait_complete().at.saturating_duration_since(since);
    assert!(complete < COMPLETE, "{complete:?}");
    println!("sample answered after {answered:?}; the log:\n{}", daemon.logs().text());
    let peak = peak_memory(&daemon);
    assert!(peak <= MEMORY_MIB, "natgw needed {peak} MiB at its peak");
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
    outcome.note(format!(
        "sample: {sample} port mappings, {LIVING} floating IPs, one source NAT, after all of it; confirmed by the newest \
         list of every kind after {} ms; at most {peak} MiB of memory besides the maps",
        complete.as_millis()
    ));
    report.assert_lossless("SNAT by UDP");
    outcome.hand_in();
}
