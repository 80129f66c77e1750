//! Does every kind of rule work, and is every source what it should be?

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    time::Duration,
};

use natgw_tests::{
    Netns,
    capture::{Capture, Way},
    clock,
    probe::{IcmpProbe, MILLISECOND, ProbeReport, UdpEcho, UdpProbe},
    tcp::{self, TcpServer},
    topology::{SERVER, SERVER2},
};

use crate::{progress, report::Report, stage::Stage};

/// Bytes of a TCP transfer, each way.
const BYTES: u64 = 4 << 20;
/// How long a probe runs.
const PROBE: Duration = Duration::from_millis(300);
/// Ports that nobody needs for anything else.
pub(crate) const TCP_PORT: u16 = 7001;
pub(crate) const UDP_PORT: u16 = 7002;

/// Runs all of them.
pub(crate) fn run(stage: &Stage, report: &mut Report) {
    let capture = Capture::start(&stage.net.gw);
    progress("source NAT: the client talks to the servers outside");
    report.add("SNAT, TCP", snat_tcp(stage));
    report.add("SNAT, UDP", snat_udp(stage));
    progress("port mappings: the server outside dials the elastic IP");
    report.add("DNAT, TCP", dnat_tcp(stage));
    report.add("DNAT, UDP", dnat_udp(stage));
    progress("floating IP: one pod, one address, both directions");
    report.add("FIP inwards, TCP", fip_inwards(stage));
    report.add("FIP outwards, TCP", fip_outwards(stage));
    progress("hairpin: VPC clients dial elastic IPs of their own gateway");
    report.add("hairpin to the FIP", hairpin_fip(stage));
    report.add("hairpin to the DNAT port", hairpin_dnat(stage));
    progress("ping, through the gateway and to it");
    report.add("ping outwards (SNAT)", ping(&stage.net.client, SERVER2));
    report.add("ping inwards (FIP)", floating(stage).and_then(|(eip, _)| ping(&stage.net.server, eip)));
    report.add("ping the SNAT EIP", snat_eip(stage).and_then(|eip| ping(&stage.net.server, eip)));
    report.add("nothing private leaves net1", private(capture));
}

fn snat_eip(stage: &Stage) -> Result<Ipv4Addr, String> {
    stage.rules.snat.ok_or_else(|| "the manifests have no SNAT rule".to_owned())
}

fn floating(stage: &Stage) -> Result<(Ipv4Addr, Ipv4Addr), String> {
    stage.rules.fip.ok_or_else(|| "the manifests have no floating IP".to_owned())
}

/// Moves bytes in both directions and compares each; says who the server saw.
fn transfer(from: &Netns, target: SocketAddrV4, server: &TcpServer, seen: Ipv4Addr) -> Result<String, String> {
    for (way, result) in [
        ("upload", tcp::connect(from, target).and_then(|mut stream| tcp::upload(&mut stream, BYTES))),
        ("download", tcp::connect(from, target).and_then(|mut stream| tcp::download(&mut stream, BYTES))),
    ] {
        match result {
            Ok(BYTES) => {}
            Ok(right) => return Err(format!("{way}: {right} of {BYTES} bytes are right")),
            Err(error) => return Err(format!("{way} from {target}: {error}")),
        }
    }
    let sources: BTreeSet<Ipv4Addr> = server.take_peers().iter().map(|peer| *peer.ip()).collect();
    said(&sources, seen, &format!("{} MiB each way to {target}", BYTES >> 20))
}

/// A moment of the 1 kHz probe; says who the server saw.
fn probe(from: &Netns, target: SocketAddrV4, echo: &UdpEcho, seen: Ipv4Addr) -> Result<String, String> {
    let probe = UdpProbe::start(from, target, MILLISECOND);
    clock::pass(PROBE);
    let done = lossless(&probe.stop(), &format!("to {target}"))?;
    let sources: BTreeSet<Ipv4Addr> = echo.take_peers().iter().filter_map(ipv4).collect();
    said(&sources, seen, &done)
}

fn ipv4(peer: &SocketAddr) -> Option<Ipv4Addr> {
    match peer {
        SocketAddr::V4(peer) => Some(*peer.ip()),
        SocketAddr::V6(_) => None,
    }
}

fn said(sources: &BTreeSet<Ipv4Addr>, seen: Ipv4Addr, done: &str) -> Result<String, String> {
    if *sources == BTreeSet::from([seen]) {
        Ok(format!("{done}, seen as {seen}"))
    } else {
        Err(format!("{done}, seen as {sources:?} instead of {seen}"))
    }
}

/// `n packets, none lost`, or what happened to them.
pub(crate) fn lossless(report: &ProbeReport, what: &str) -> Result<String, String> {
    let bad = report.lost() + report.duplicated + report.reordered + report.corrupted;
    if bad == 0 && report.send_errors.is_empty() && report.sent > 0 {
        Ok(format!("{} packets {what}, none lost", report.sent))
    } else {
        Err(format!("{what}: {report}"))
    }
}

fn snat_tcp(stage: &Stage) -> Result<String, String> {
    let server = TcpServer::start(&stage.net.server, TCP_PORT);
    transfer(&stage.net.client, SocketAddrV4::new(SERVER, TCP_PORT), &server, snat_eip(stage)?)
}

fn snat_udp(stage: &Stage) -> Result<String, String> {
    let echo = UdpEcho::start(&stage.net.server2, UDP_PORT);
    probe(&stage.net.client, SocketAddrV4::new(SERVER2, UDP_PORT), &echo, snat_eip(stage)?)
}

fn dnat_tcp(stage: &Stage) -> Result<String, String> {
    let rule = stage.rules.tcp.ok_or("the manifests have no TCP port mapping")?;
    let server = TcpServer::start(stage.pod(*rule.inside.ip())?, rule.inside.port());
    transfer(&stage.net.server, rule.outside, &server, SERVER)
}

fn dnat_udp(stage: &Stage) -> Result<String, String> {
    let rule = stage.rules.udp.ok_or("the manifests have no UDP port mapping")?;
    let echo = UdpEcho::start(stage.pod(*rule.inside.ip())?, rule.inside.port());
    probe(&stage.net.server2, rule.outside, &echo, SERVER2)
}

fn fip_inwards(stage: &Stage) -> Result<String, String> {
    let (eip, pod) = floating(stage)?;
    let server = TcpServer::start(stage.pod(pod)?, TCP_PORT);
    transfer(&stage.net.server, SocketAddrV4::new(eip, TCP_PORT), &server, SERVER)
}

fn fip_outwards(stage: &Stage) -> Result<String, String> {
    let (eip, pod) = floating(stage)?;
    let server = TcpServer::start(&stage.net.server, TCP_PORT);
    transfer(stage.pod(pod)?, SocketAddrV4::new(SERVER, TCP_PORT), &server, eip)
}

fn hairpin_fip(stage: &Stage) -> Result<String, String> {
    let (eip, pod) = floating(stage)?;
    let server = TcpServer::start(stage.pod(pod)?, TCP_PORT);
    transfer(&stage.net.client, SocketAddrV4::new(eip, TCP_PORT), &server, eip)
}

fn hairpin_dnat(stage: &Stage) -> Result<String, String> {
    let rule = stage.rules.tcp.ok_or("the manifests have no TCP port mapping")?;
    let (eip, pod) = floating(stage)?;
    let server = TcpServer::start(stage.pod(*rule.inside.ip())?, rule.inside.port());
    // A client with a floating IP of its own is known by that.
    transfer(stage.pod(pod)?, rule.outside, &server, eip)
}

fn ping(from: &Netns, target: Ipv4Addr) -> Result<String, String> {
    let probe = IcmpProbe::start(from, target, 100, MILLISECOND);
    clock::pass(PROBE);
    lossless(&probe.stop(), &format!("to {target}"))
}

fn private(capture: Capture) -> Result<String, String> {
    let captured = capture.stop();
    let mut packets = 0;
    for one in captured.iter().filter(|one| one.interface == "net1" && one.way == Way::Out) {
        match &one.packet {
            Ok(packet) if packet.source.is_private() => return Err(format!("{packet:?}")),
            Ok(_) => packets += 1,
            Err(error) => return Err(error.clone()),
        }
    }
    if packets == 0 {
        Err("nothing was captured".to_owned())
    } else {
        Ok(format!("{packets} packets, every checksum right"))
    }
}
