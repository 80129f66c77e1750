//! Hairpin: a VPC client dials an elastic IP of its own gateway.

use std::collections::BTreeSet;

use natgw_common::abi::Counter;
use natgw_tests::{
    Lab, Proto, Rules,
    capture::Capture,
    lab::{EIP1, EIP2},
    packet::{Packet, Transport},
    probe::UdpEcho,
    tcp::{self, TcpServer},
    topology::{CLIENT, POD2},
};

use crate::support::{
    Counted, VPC_CIDR, addresses, assert_all_clean, assert_pings, assert_udp_echoes, assert_udp_flows, at, received,
    udp_addresses,
};

/// The kind of a packet between the client and the pod that it reaches by an EIP.
fn hairpin(_interface: &str, packet: &Packet) -> Counter {
    if packet.source == CLIENT { Counter::HairpinOut } else { Counter::HairpinIn }
}

#[test]
fn a_client_reaches_a_dnat_port_and_the_server_sees_the_eip_it_dialled() {
    let lab = Lab::new(
        &Rules::new()
            .eip("eip1", EIP1)
            .eip("eip2", EIP2)
            .dnat("eip1", Proto::Tcp, 80, POD2, 8080)
            .dnat("eip1", Proto::Udp, 53, POD2, 5353)
            // The client's SNAT address is another one and must not be used: the packet does not leave by net1.
            .snat("eip2", VPC_CIDR),
    );
    let net = &lab.net;
    let (tcp, udp) = (TcpServer::start(&net.pod2, 8080), UdpEcho::start(&net.pod2, 5353));
    let counted = Counted::start(&lab);
    tcp::assert_transfers(&net.client, at(EIP1, 80), 2 << 20);
    assert_eq!(addresses(&tcp.take_peers()), BTreeSet::from([EIP1]));
    assert_udp_echoes(&net.client, at(EIP1, 53));
    assert_udp_flows(&net.client, at(EIP1, 53), 200);
    assert_eq!(udp_addresses(&udp), BTreeSet::from([EIP1]));
    counted.assert(hairpin);
    assert_all_clean(net);
}

#[test]
fn a_client_reaches_a_floating_ip_and_the_server_sees_the_eip_it_dialled() {
    let lab = Lab::new(&Rules::new().eip("eip1", EIP1).fip("eip1", POD2));
    let net = &lab.net;
    let (tcp, udp) = (TcpServer::start(&net.pod2, 8080), UdpEcho::start(&net.pod2, 5353));
    let counted = Counted::start(&lab);
    tcp::assert_transfers(&net.client, at(EIP1, 8080), 2 << 20);
    assert_eq!(addresses(&tcp.take_peers()), BTreeSet::from([EIP1]));
    assert_udp_echoes(&net.client, at(EIP1, 5353));
    assert_eq!(udp_addresses(&udp), BTreeSet::from([EIP1]));
    let capture = Capture::start(&net.pod2);
    assert_pings(&net.client, EIP1, 90);
    let asked_by: BTreeSet<_> = received(&capture.stop())
        .iter()
        .filter(|packet| matches!(packet.transport, Transport::IcmpEcho { kind: 8, .. }))
        .map(|packet| packet.source)
        .collect();
    assert_eq!(asked_by, BTreeSet::from([EIP1]), "the pod itself was pinged");
    counted.assert(hairpin);
    assert_all_clean(net);
}

#[test]
fn a_client_with_a_floating_ip_is_seen_with_it() {
    let lab = Lab::new(
        &Rules::new()
            .eip("eip1", EIP1)
            .eip("eip2", EIP2)
            .fip("eip2", CLIENT)
            .dnat("eip1", Proto::Tcp, 80, POD2, 8080)
            .dnat("eip1", Proto::Udp, 53, POD2, 5353),
    );
    let net = &lab.net;
    let (tcp, udp) = (TcpServer::start(&net.pod2, 8080), UdpEcho::start(&net.pod2, 5353));
    tcp::assert_transfers(&net.client, at(EIP1, 80), 1 << 20);
    assert_eq!(addresses(&tcp.take_peers()), BTreeSet::from([EIP2]), "its own floating IP, not the one it dialled");
    assert_udp_echoes(&net.client, at(EIP1, 53));
    assert_eq!(udp_addresses(&udp), BTreeSet::from([EIP2]));
}

#[test]
fn two_pods_with_floating_ips_talk_to_each_other_by_them() {
    let lab = Lab::new(&Rules::new().eip("eip1", EIP1).eip("eip2", EIP2).fip("eip1", CLIENT).fip("eip2", POD2));
    let net = &lab.net;
    let servers = [TcpServer::start(&net.client, 8080), TcpServer::start(&net.pod2, 8080)];
    tcp::assert_transfers(&net.client, at(EIP2, 8080), 1 << 20);
    tcp::assert_transfers(&net.pod2, at(EIP1, 8080), 1 << 20);
    assert_eq!(addresses(&servers[1].take_peers()), BTreeSet::from([EIP1]));
    assert_eq!(addresses(&servers[0].take_peers()), BTreeSet::from([EIP2]));
    assert_pings(&net.client, EIP2, 91);
    assert_pings(&net.pod2, EIP1, 92);
}

#[test]
fn a_pod_reaches_itself_by_its_own_eip() {
    let lab = Lab::new(&Rules::new().eip("eip1", EIP1).fip("eip1", CLIENT).eip("eip2", EIP2).dnat(
        "eip2",
        Proto::Tcp,
        80,
        POD2,
        8080,
    ));
    let net = &lab.net;
    let servers = [TcpServer::start(&net.client, 8080), TcpServer::start(&net.pod2, 8080)];
    tcp::assert_transfers(&net.client, at(EIP1, 8080), 100_000);
    assert_eq!(addresses(&servers[0].take_peers()), BTreeSet::from([EIP1]), "by its floating IP");
    tcp::assert_transfers(&net.pod2, at(EIP2, 80), 100_000);
    assert_eq!(addresses(&servers[1].take_peers()), BTreeSet::from([EIP2]), "by its port mapping");
}

#[test]
fn a_client_of_another_vpc_subnet_is_hairpinned_too() {
    let lab = Lab::new(
        &Rules::new().eip("eip1", EIP1).dnat("eip1", Proto::Tcp, 80, POD2, 8080).route("10.0.2.0/24", "10.0.1.254"),
    );
    let server = TcpServer::start(&lab.net.pod2, 8080);
    tcp::assert_transfers(&lab.net.far, at(EIP1, 80), 100_000);
    assert_eq!(addresses(&server.take_peers()), BTreeSet::from([EIP1]));
}

#[test]
fn two_clients_with_the_same_source_port_are_told_apart() {
    let lab = Lab::new(
        &Rules::new().eip("eip1", EIP1).dnat("eip1", Proto::Tcp, 80, POD2, 8080).route("10.0.2.0/24", "10.0.1.254"),
    );
    let server = TcpServer::start(&lab.net.pod2, 8080);
    let mut one = tcp::connect_from(&lab.net.client, at(CLIENT, 5000), at(EIP1, 80)).expect("the first connects");
    let mut two =
        tcp::connect_from(&lab.net.far, at(natgw_tests::topology::FAR, 5000), at(EIP1, 80)).expect("and the second");
    assert_eq!(tcp::upload(&mut one, 50_000).ok(), Some(50_000));
    assert_eq!(tcp::upload(&mut two, 50_000).ok(), Some(50_000));
    let peers: BTreeSet<_> = server.take_peers().into_iter().collect();
    assert_eq!((peers.len(), addresses(&peers)), (2, BTreeSet::from([EIP1])), "{peers:?}");
}

#[test]
fn a_hairpinned_port_that_nobody_serves_is_refused() {
    let lab = Lab::new(&Rules::new().eip("eip1", EIP1).dnat("eip1", Proto::Tcp, 80, POD2, 8080));
    let error = tcp::connect(&lab.net.client, at(EIP1, 80)).expect_err("nobody listens");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "the pod's RST comes back translated");
    let udp = natgw_tests::Rules::new().eip("eip1", EIP1).dnat("eip1", Proto::Udp, 53, POD2, 5353);
    lab.apply(&udp);
    let socket = crate::support::udp_socket(&lab.net.client, 0);
    socket.connect(at(EIP1, 53)).expect("there is a route");
    let error = crate::support::exchange(&socket, 10).expect_err("nobody listens");
    assert!(error.contains("refused"), "the pod's port-unreachable comes back translated (RFC 5508 REQ-7): {error}");
}
