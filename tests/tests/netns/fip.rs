//! Floating IPs: one pod, one elastic IP, every protocol, both directions.

use std::{
    collections::BTreeSet,
    io::Read,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use natgw_common::abi::Counter;
use natgw_tests::{
    Lab, Netns, Rules, Topology,
    capture::{Capture, Way, assert_no_private_address_leaves, passed},
    lab::{EIP1, EIP2},
    oracle,
    packet::Transport,
    probe::UdpEcho,
    snmp::Counters,
    tcp::{self, TcpServer},
    topology::{CLIENT, Offload, SERVER, SERVER2},
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::support::{
    Counted, addresses, assert_all_clean, assert_pings, assert_udp_echoes, assert_udp_flows, at, exchange, received,
    udp_addresses, udp_socket,
};

fn rules() -> Rules {
    Rules::new().eip("eip1", EIP1).fip("eip1", CLIENT)
}

#[test]
fn a_floating_ip_carries_tcp_udp_and_pings_in_both_directions() {
    let lab = Lab::new(&rules());
    fip_works(&lab);
}

#[test]
fn the_same_holds_when_no_hardware_completes_checksums() {
    let lab = Lab::on(Topology::builder().offload(Offload::Off).build(), &rules(), &[]);
    fip_works(&lab);
}

fn fip_works(lab: &Lab) {
    let net = &lab.net;
    let inside = (TcpServer::start(&net.client, 8080), UdpEcho::start(&net.client, 5353));
    let outside = (TcpServer::start(&net.server2, 8080), UdpEcho::start(&net.server2, 5353));
    let counted = Counted::start(lab);

    tcp::assert_transfers(&net.server2, at(EIP1, 8080), 2 << 20);
    assert_eq!(addresses(&inside.0.take_peers()), BTreeSet::from([SERVER2]), "the pod sees who really asks");
    assert_udp_echoes(&net.server2, at(EIP1, 5353));
    assert_udp_flows(&net.server2, at(EIP1, 5353), 200);
    assert_eq!(udp_addresses(&inside.1), BTreeSet::from([SERVER2]));

    tcp::assert_transfers(&net.client, at(SERVER2, 8080), 2 << 20);
    assert_eq!(addresses(&outside.0.take_peers()), BTreeSet::from([EIP1]), "the pod is known by its floating IP");
    assert_udp_echoes(&net.client, at(SERVER2, 5353));
    assert_eq!(udp_addresses(&outside.1), BTreeSet::from([EIP1]));

    let before = Counters::read(&net.client).get("Icmp.InEchos");
    assert_pings(&net.server2, EIP1, 80);
    assert!(Counters::read(&net.client).get("Icmp.InEchos") - before > 100, "the pod answers, not the gateway");
    assert_pings(&net.client, SERVER2, 81);

    let captured = counted.assert(|interface, _| if interface == "net1" { Counter::FipIn } else { Counter::FipOut });
    assert_no_private_address_leaves(&captured);
    assert_all_clean(net);
}

/// A raw socket of an IP protocol that no kernel code handles.
fn raw(ns: &Netns, protocol: i32) -> Socket {
    let socket = ns
        .run(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(protocol))))
        .expect("root may open raw sockets");
    socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a raw socket has a timeout");
    socket
}

fn send_raw(socket: &Socket, to: Ipv4Addr, data: &[u8]) {
    socket.send_to(data, &SockAddr::from(SocketAddrV4::new(to, 0))).expect("there is a route");
}

fn receive_raw(mut socket: &Socket, what: &str) -> (Ipv4Addr, Vec<u8>) {
    let mut buffer = [0; 2048];
    let len = socket.read(&mut buffer).unwrap_or_else(|error| panic!("{what}: {error}"));
    (Ipv4Addr::new(buffer[12], buffer[13], buffer[14], buffer[15]), buffer[20..len].to_vec())
}

#[test]
fn a_floating_ip_carries_protocols_that_have_no_ports() {
    let lab = Lab::new(&rules());
    for protocol in [253, libc::IPPROTO_ESP, libc::IPPROTO_GRE] {
        if protocol == libc::IPPROTO_GRE && oracle::selected() {
            // The kernel's GRE tracking drops it; a stateless translation has no such opinion.
            continue;
        }
        let (pod, outsider) = (raw(&lab.net.client, protocol), raw(&lab.net.server, protocol));
        let inward = [0, 0, 0x08, 0, 1, 2, 3];
        send_raw(&outsider, EIP1, &inward);
        let what = format!("protocol {protocol} inwards");
        assert_eq!(receive_raw(&pod, &what), (SERVER, inward.to_vec()), "{what}");
        let outward = [0, 0, 0x08, 0, 9, 8, 7, 6];
        send_raw(&pod, SERVER, &outward);
        let what = format!("protocol {protocol} outwards");
        assert_eq!(receive_raw(&outsider, &what), (EIP1, outward.to_vec()), "{what}");
    }
}

#[test]
fn fragments_of_a_datagram_pass_a_floating_ip_in_both_directions() {
    let lab = Lab::new(&rules());
    let net = &lab.net;
    let _echoes = [UdpEcho::start(&net.client, 5353), UdpEcho::start(&net.server, 5353)];
    let capture = Capture::start(&net.gw);
    for (from, target) in [(&net.server, at(EIP1, 5353)), (&net.client, at(SERVER, 5353))] {
        let socket = udp_socket(from, 0);
        socket.connect(target).expect("there is a route");
        for len in [1473, 3000, 9000, 40_000] {
            assert_eq!(exchange(&socket, len), Ok(()), "{len} bytes to {target}");
        }
    }
    let captured = capture.stop();
    assert_no_private_address_leaves(&captured);
    assert!(passed(&captured, "net1", Way::Out).iter().any(|packet| packet.fragment), "there were fragments");
    for host in [&net.client, &net.server] {
        let counters = Counters::read(host);
        assert_eq!((counters.get("Ip.ReasmFails"), counters.get("Udp.InCsumErrors")), (0, 0), "{}", host.name());
    }
}

#[test]
fn two_eips_of_one_pod_both_work_inwards_and_the_oldest_is_used_outwards() {
    let lab = Lab::new(&rules().eip("eip2", EIP2).fip("eip2", CLIENT));
    let net = &lab.net;
    let inside = (TcpServer::start(&net.client, 8080), UdpEcho::start(&net.client, 5353));
    let outside = TcpServer::start(&net.server, 8080);
    for eip in [EIP1, EIP2] {
        tcp::assert_transfers(&net.server, at(eip, 8080), 100_000);
        assert_udp_echoes(&net.server, at(eip, 5353));
        assert_pings(&net.server, eip, 82);
    }
    assert_eq!(addresses(&inside.0.take_peers()), BTreeSet::from([SERVER]));
    tcp::assert_transfers(&net.client, at(SERVER, 8080), 100_000);
    assert_eq!(addresses(&outside.take_peers()), BTreeSet::from([EIP1]), "the oldest wins outwards");
}

#[test]
fn removing_a_floating_ip_ends_its_traffic_at_once() {
    let lab = Lab::new(&rules());
    let net = &lab.net;
    let echo = UdpEcho::start(&net.client, 5353);
    let outside = UdpEcho::start(&net.server, 5353);
    let inwards = udp_socket(&net.server, 0);
    inwards.connect(at(EIP1, 5353)).expect("there is a route");
    let outwards = udp_socket(&net.client, 6000);
    outwards.connect(at(SERVER, 5353)).expect("there is a route");
    assert_eq!((exchange(&inwards, 10), exchange(&outwards, 10)), (Ok(()), Ok(())));
    assert_eq!((udp_addresses(&echo).len(), udp_addresses(&outside)), (1, BTreeSet::from([EIP1])));
    lab.apply(&Rules::new().eip("eip1", EIP1));
    assert!(exchange(&inwards, 10).is_err(), "nothing maps the EIP any more");
    assert_eq!(udp_addresses(&echo), BTreeSet::new(), "the pod sees nothing");
    assert_eq!(exchange(&outwards, 10), Ok(()), "parity: forwarded as it is");
    assert_eq!(udp_addresses(&outside), BTreeSet::from([CLIENT]), "the pod has lost its floating IP");
}

#[test]
fn a_floating_ip_that_moves_to_another_pod_reaches_that_pod_only() {
    let lab = Lab::new(&rules());
    let net = &lab.net;
    let (old, new) = (TcpServer::start(&net.client, 8080), TcpServer::start(&net.pod2, 8080));
    tcp::assert_transfers(&net.server, at(EIP1, 8080), 1000);
    lab.apply(&Rules::new().eip("eip1", EIP1).fip("eip1", natgw_tests::topology::POD2));
    assert_eq!((old.take_peers().len(), new.take_peers().len()), (2, 0));
    tcp::assert_transfers(&net.server, at(EIP1, 8080), 1000);
    assert_eq!((old.take_peers().len(), new.take_peers().len()), (0, 2));
}

#[test]
fn a_syn_to_a_port_that_the_pod_does_not_serve_is_refused_by_the_pod() {
    let lab = Lab::new(&rules());
    let capture = Capture::start(&lab.net.client);
    let error = tcp::connect(&lab.net.server, at(EIP1, 8081)).expect_err("nobody listens");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    let syns = received(&capture.stop())
        .iter()
        .filter(|packet| matches!(packet.transport, Transport::Tcp { destination: 8081, .. }))
        .count();
    assert_eq!(syns, 1, "the pod got the SYN and said no");
}
