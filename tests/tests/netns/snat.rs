//! Source NAT: VPC clients reach the outside with the elastic IP.

use std::{collections::BTreeSet, net::SocketAddrV4};

use natgw_common::abi::{Counter, DropReason};
use natgw_tests::{
    Lab, Rules, Topology,
    capture::{Capture, assert_no_private_address_leaves},
    craft,
    lab::{EIP1, EIP2},
    oracle,
    packet::{Checksum, Transport},
    probe::UdpEcho,
    tcp::{self, TcpServer},
    topology::{CLIENT, FAR, Offload, POD2, SERVER, SERVER2},
};

use crate::support::{
    Counted, VPC_CIDR, addresses, assert_all_clean, assert_pings, assert_udp_echoes, assert_udp_flows, at, exchange,
    received, udp_addresses, udp_socket,
};

fn rules() -> Rules {
    Rules::new().eip("eip1", EIP1).snat("eip1", VPC_CIDR)
}

#[test]
fn tcp_and_udp_payloads_and_pings_survive_snat_and_the_server_sees_the_eip() {
    let lab = Lab::new(&rules());
    snat_works(&lab);
}

#[test]
fn the_same_holds_when_no_hardware_completes_checksums() {
    let lab = Lab::on(Topology::builder().offload(Offload::Off).build(), &rules(), &[]);
    snat_works(&lab);
}

fn snat_works(lab: &Lab) {
    let net = &lab.net;
    let tcp = [TcpServer::start(&net.server, 7001), TcpServer::start(&net.server2, 7001)];
    let udp = [UdpEcho::start(&net.server, 7002), UdpEcho::start(&net.server2, 7002)];
    let counted = Counted::start(lab);
    for (server, tcp, udp) in [(SERVER, &tcp[0], &udp[0]), (SERVER2, &tcp[1], &udp[1])] {
        tcp::assert_transfers(&net.client, at(server, 7001), 2 << 20);
        assert_eq!(addresses(&tcp.take_peers()), BTreeSet::from([EIP1]), "the TCP source that {server} sees");
        assert_udp_echoes(&net.client, at(server, 7002));
        assert_udp_flows(&net.client, at(server, 7002), 200);
        assert_eq!(udp_addresses(udp), BTreeSet::from([EIP1]), "the UDP source that {server} sees");
        assert_pings(&net.client, server, 77);
    }
    let captured = counted.assert(|interface, _| if interface == "eth0" { Counter::SnatOut } else { Counter::SnatIn });
    assert_no_private_address_leaves(&captured);
    assert_all_clean(net);
}

#[test]
fn two_pods_with_the_same_source_port_get_different_external_ports() {
    let lab = Lab::new(&rules());
    let server = TcpServer::start(&lab.net.server, 7001);
    let target = at(SERVER, 7001);
    let mut one = tcp::connect_from(&lab.net.client, at(CLIENT, 5555), target).expect("the first pod connects");
    let mut two = tcp::connect_from(&lab.net.pod2, at(POD2, 5555), target).expect("the second pod connects");
    assert_eq!(tcp::upload(&mut one, 100_000).ok(), Some(100_000), "the first pod's bytes");
    assert_eq!(tcp::upload(&mut two, 100_000).ok(), Some(100_000), "the second pod's bytes");
    let peers: BTreeSet<SocketAddrV4> = server.take_peers().into_iter().collect();
    assert_eq!(peers.len(), 2, "two flows, two external ports: {peers:?}");
    assert_eq!(addresses(&peers), BTreeSet::from([EIP1]));
    assert!(peers.contains(&at(EIP1, 5555)), "the first flow keeps its port: {peers:?}");
}

#[test]
fn a_pod_behind_the_vpc_router_is_translated_too() {
    let lab = Lab::new(&rules().snat("eip1", "10.0.2.0/24").route("10.0.2.0/24", "10.0.1.254"));
    let server = TcpServer::start(&lab.net.server, 7001);
    tcp::assert_transfers(&lab.net.far, at(SERVER, 7001), 200_000);
    assert_eq!(addresses(&server.take_peers()), BTreeSet::from([EIP1]));
    assert_pings(&lab.net.far, SERVER2, 78);
    assert_eq!(lab.net.far.command("ip", &["-br", "addr"]).matches(&FAR.to_string()).count(), 1);
}

#[test]
fn ttl_goes_down_by_one_and_tos_id_and_df_stay() {
    let lab = Lab::new(&rules());
    let _echo = UdpEcho::start(&lab.net.server, 7002);
    let capture = Capture::start(&lab.net.server);
    let mut packet = craft::udp(at(CLIENT, 4000), at(SERVER, 7002), b"marked");
    packet[1] = 0xb9; // EF, ECT(1)
    packet[4..6].copy_from_slice(&[0x12, 0x34]);
    packet[6] = 0x40; // DF
    craft::send(&lab.net.client, &craft::with_ttl(packet, 37));
    assert_udp_flows(&lab.net.client, at(SERVER, 7002), 10);
    let marked: Vec<_> = received(&capture.stop()).into_iter().filter(|packet| packet.payload == b"marked").collect();
    let [packet] = &marked[..] else { panic!("one marked packet must arrive: {marked:?}") };
    assert_eq!(
        (packet.source, packet.ttl, packet.tos, packet.id, packet.dont_fragment),
        (EIP1, 36, 0xb9, 0x1234, true)
    );
}

#[test]
fn a_udp_datagram_without_a_checksum_stays_without_one() {
    let lab = Lab::new(&rules());
    let capture = Capture::start(&lab.net.server);
    let _echo = UdpEcho::start(&lab.net.server, 7002);
    craft::send(&lab.net.client, &craft::udp_without_checksum(at(CLIENT, 4000), at(SERVER, 7002), b"bare"));
    assert_udp_flows(&lab.net.client, at(SERVER, 7002), 10);
    let bare: Vec<_> = received(&capture.stop()).into_iter().filter(|packet| packet.payload == b"bare").collect();
    let [packet] = &bare[..] else { panic!("one bare packet must arrive: {bare:?}") };
    assert_eq!((packet.source, packet.checksum), (EIP1, Checksum::Absent));
}

#[test]
fn a_late_fin_or_rst_of_an_unknown_flow_does_not_leave_with_a_private_source() {
    let lab = Lab::new(&rules());
    lab.expect_drops(&[DropReason::NoSession]);
    let _server = TcpServer::start(&lab.net.server, 7001);
    let capture = Capture::start(&lab.net.gw);
    for (port, flags) in [(4001, "FA"), (4002, "R"), (4003, "RA"), (4004, "A"), (4005, "SA")] {
        craft::send(&lab.net.client, &craft::tcp(at(CLIENT, port), at(SERVER, 7001), flags, 1000));
    }
    tcp::assert_transfers(&lab.net.client, at(SERVER, 7001), 1000);
    assert_no_private_address_leaves(&capture.stop());
    // FIN with ACK, RST, RST with ACK; the other two begin a session, as the kernel's tracking lets them.
    if !oracle::selected() {
        assert_eq!(lab.tally().drops, [(DropReason::NoSession, 3)].into());
    }
}

#[test]
fn a_source_sticks_to_one_eip_of_a_pool() {
    let lab = Lab::new(&rules().eip("eip2", EIP2).snat("eip2", VPC_CIDR));
    let server = TcpServer::start(&lab.net.server, 7001);
    for pod in [&lab.net.client, &lab.net.pod2] {
        for _ in 0..20 {
            // A byte there and back: only then has the server surely noted who connected.
            let mut stream = tcp::connect(pod, at(SERVER, 7001)).expect("the pod connects");
            assert_eq!(tcp::upload(&mut stream, 1).ok(), Some(1));
        }
        let seen = addresses(&server.take_peers());
        assert_eq!(seen.len(), 1, "paired pooling (RFC 4787 REQ-2): {seen:?}");
        assert!(seen.is_subset(&BTreeSet::from([EIP1, EIP2])), "{seen:?}");
    }
}

#[test]
fn a_client_may_use_one_source_port_again_right_after_closing() {
    let lab = Lab::new(&rules());
    let server = TcpServer::start(&lab.net.server, 7001);
    for round in 0..5 {
        // The server's TIME_WAIT is its own affair; the client aborts so that it has none.
        let mut stream = tcp::connect_from(&lab.net.client, at(CLIENT, 5000), at(SERVER, 7001))
            .unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(tcp::upload(&mut stream, 10).ok(), Some(10), "round {round}");
        let socket = socket2::Socket::from(stream);
        socket.set_linger(Some(std::time::Duration::ZERO)).expect("a TCP socket has SO_LINGER");
    }
    assert_eq!(server.take_peers(), vec![at(EIP1, 5000); 5], "the same flow comes back to the same port");
}

#[test]
fn one_udp_socket_talks_to_two_servers_through_one_eip() {
    let lab = Lab::new(&rules());
    let _echoes = [UdpEcho::start(&lab.net.server, 7002), UdpEcho::start(&lab.net.server2, 7002)];
    let socket = udp_socket(&lab.net.client, 6000);
    for server in [SERVER, SERVER2, SERVER, SERVER2] {
        socket.connect(at(server, 7002)).expect("there is a route");
        assert_eq!(exchange(&socket, 300), Ok(()), "with {server}");
    }
}

#[test]
fn removing_the_snat_rule_lets_new_flows_leave_untranslated_and_old_ones_go_on() {
    let lab = Lab::new(&rules());
    let echo = UdpEcho::start(&lab.net.server, 7002);
    let old = udp_socket(&lab.net.client, 6001);
    old.connect(at(SERVER, 7002)).expect("there is a route");
    assert_eq!(exchange(&old, 100), Ok(()));
    assert_eq!(udp_addresses(&echo), BTreeSet::from([EIP1]));
    lab.apply(&Rules::new().eip("eip1", EIP1));
    assert_eq!(exchange(&old, 100), Ok(()), "a known session goes on");
    assert_eq!(udp_addresses(&echo), BTreeSet::from([EIP1]));
    let new = udp_socket(&lab.net.client, 6002);
    new.connect(at(SERVER, 7002)).expect("there is a route");
    assert_eq!(exchange(&new, 100), Ok(()), "parity: forwarded as it is");
    assert_eq!(udp_addresses(&echo), BTreeSet::from([CLIENT]));
}

#[test]
fn a_server_that_answers_from_another_port_does_not_reach_the_client() {
    // Address-and-port-dependent filtering: only the peer that was asked gets through.
    let lab = Lab::new(&rules());
    let echo = UdpEcho::start(&lab.net.server, 7002);
    let socket = udp_socket(&lab.net.client, 6003);
    socket.send_to(b"hello", at(SERVER, 7002)).expect("there is a route");
    let mut buffer = [0; 64];
    socket.recv(&mut buffer).expect("the server that was asked answers");
    let external = echo.take_peers().into_iter().next().expect("the server saw one client");
    let capture = Capture::start(&lab.net.client);
    let stranger = udp_socket(&lab.net.server2, 9999);
    stranger.send_to(b"unasked", external).expect("there is a route");
    // The stranger's datagram has passed the gateway when this exchange is over.
    assert_pings(&lab.net.client, SERVER2, 79);
    let unasked = received(&capture.stop())
        .into_iter()
        .filter(|packet| matches!(packet.transport, Transport::Udp { source: 9999, .. }))
        .count();
    assert_eq!(unasked, 0);
}
