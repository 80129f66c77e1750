//! R13: traffic that began before its rule existed is translated from the next packet on.

use std::{collections::BTreeSet, net::UdpSocket, time::Duration};

use natgw_tests::{
    Lab, Netns, Proto, Rules,
    capture::{Capture, Way, assert_no_private_address_leaves, passed},
    lab::{EIP1, EIP2},
    packet::Packet,
    probe::{MILLISECOND, UdpEcho, UdpProbe},
    tcp::{TcpServer, Transfer},
    topology::{CLIENT, POD2, SERVER},
};

use natgw_tests::traffic::{VPC_CIDR, at};

fn eips() -> Rules {
    Rules::new().eip("eip1", EIP1).eip("eip2", EIP2)
}

fn socket(ns: &Netns) -> UdpSocket {
    let socket = ns.run(|| UdpSocket::bind("0.0.0.0:0")).expect("a UDP socket");
    socket.set_read_timeout(Some(Duration::from_secs(2))).expect("it has a timeout");
    socket
}

fn sources(packets: &[Packet]) -> BTreeSet<std::net::Ipv4Addr> {
    packets.iter().filter(|packet| packet.protocol == 17).map(|packet| packet.source).collect()
}

#[test]
fn r13_a_running_flow_gets_its_snat_and_its_fip_with_the_next_packet_and_loses_none() {
    let lab = Lab::new(&eips());
    let net = &lab.net;
    let _echo = UdpEcho::start(&net.server, 7002);
    let probes = [&net.client, &net.pod2].map(|pod| UdpProbe::start(pod, at(SERVER, 7002), MILLISECOND));
    for probe in &probes {
        probe.wait_answers(100);
    }
    let capture = Capture::start(&net.gw);
    probes[0].wait_answers(50);
    assert_eq!(sources(&passed(&capture.stop(), "net1", Way::Out)), BTreeSet::from([CLIENT, POD2]), "parity before");
    lab.apply(&eips().snat("eip1", VPC_CIDR).fip("eip2", POD2));
    let capture = Capture::start(&net.gw);
    for probe in &probes {
        probe.wait_answers(100);
    }
    let captured = capture.stop();
    assert_no_private_address_leaves(&captured);
    assert_eq!(sources(&passed(&captured, "net1", Way::Out)), BTreeSet::from([EIP1, EIP2]));
    for (probe, what) in probes.into_iter().zip(["SNAT", "FIP"]) {
        probe.stop().assert_lossless(what);
    }
}

#[test]
fn r13_an_outside_client_that_asked_too_early_is_served_as_soon_as_the_rule_exists() {
    let lab = Lab::new(&eips());
    let net = &lab.net;
    let echo = UdpEcho::start(&net.client, 5353);
    let asker = socket(&net.server);
    asker.connect(at(EIP1, 53)).expect("there is a route");
    asker.send(b"early").expect("there is a route");
    let error = asker.recv(&mut [0; 16]).expect_err("nothing maps the port yet");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    lab.apply(&eips().dnat("eip1", Proto::Udp, 53, CLIENT, 5353));
    asker.send(b"again").expect("the socket lives");
    assert_eq!(asker.recv(&mut [0; 16]).ok(), Some(5), "the same socket is served now");
    let peers: BTreeSet<_> = echo.take_peers().iter().map(std::net::SocketAddr::ip).collect();
    assert_eq!(peers, BTreeSet::from([SERVER.into()]));
}

#[test]
fn r13_a_tcp_connection_that_began_untranslated_never_leaves_untranslated_again() {
    let lab = Lab::new(&eips());
    let net = &lab.net;
    let _server = TcpServer::start(&net.server, 7001);
    let transfer = Transfer::start(&net.client, at(SERVER, 7001));
    transfer.wait_bytes(500_000);
    lab.apply(&eips().snat("eip1", VPC_CIDR));
    let capture = Capture::start(&net.gw);
    // New connections work beside it; the old one has lost its address and ends.
    let other = Transfer::start(&net.pod2, at(SERVER, 7001));
    other.wait_bytes(500_000);
    assert_eq!(other.stop().failure, None);
    assert_no_private_address_leaves(&capture.stop());
    drop(transfer);
}

#[test]
fn r13_a_rule_that_appears_while_no_daemon_runs_counts_from_the_start_on() {
    let mut lab = Lab::new(&eips());
    let _echo = UdpEcho::start(&lab.net.server, 7002);
    let probe = UdpProbe::start(&lab.net.client, at(SERVER, 7002), MILLISECOND);
    probe.wait_answers(100);
    lab.daemon_mut().kill9();
    lab.gateway.write(&eips().snat("eip1", VPC_CIDR));
    let daemon = lab.gateway.start();
    lab.replace_daemon(daemon);
    let capture = Capture::start(&lab.net.gw);
    probe.wait_answers(100);
    let captured = capture.stop();
    assert_no_private_address_leaves(&captured);
    assert_eq!(sources(&passed(&captured, "net1", Way::Out)), BTreeSet::from([EIP1]));
    probe.stop().assert_lossless("SNAT");
}
