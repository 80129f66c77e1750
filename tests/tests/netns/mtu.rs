//! Sizes: path MTU discovery in every direction, fragments that routers make, segmentation offload.

use std::{collections::BTreeSet, net::SocketAddrV4, os::fd::AsFd};

use natgw_common::abi::DropReason;
use natgw_tests::{
    Lab, Netns, Proto, Rules, Topology,
    capture::{Capture, Way, assert_no_private_address_leaves, passed},
    lab::EIP1,
    oracle,
    packet::Transport,
    payload,
    probe::UdpEcho,
    snmp::Counters,
    tcp::{self, TcpServer},
    topology::{CLIENT, FAR, GW_INTERNAL, ROUTER, SERVER, SERVER2},
};
use nix::sys::socket::{getsockopt, setsockopt, sockopt};

use crate::support::{
    VPC_CIDR, addresses, assert_all_clean, at, eventually, exchange, received, udp_addresses, udp_socket,
};

fn snat() -> Rules {
    Rules::new().eip("eip1", EIP1).snat("eip1", VPC_CIDR)
}

fn path_mtu(socket: &impl AsFd) -> i32 {
    getsockopt(&socket.as_fd(), sockopt::IpMtu).expect("a connected socket knows its path MTU")
}

/// A too long datagram with DF: the sender learns `mtu` from `teller`, and then gets through.
fn udp_learns(sender: &Netns, target: SocketAddrV4, mtu: u16, teller: std::net::Ipv4Addr) {
    let socket = udp_socket(sender, 0);
    socket.connect(target).expect("there is a route");
    assert_eq!(path_mtu(&socket), 1500);
    let capture = Capture::start(sender);
    socket.send(payload::at(0, 1450)).expect("it fits the first link");
    eventually("the path MTU is learned", || path_mtu(&socket) == i32::from(mtu));
    let errors: Vec<_> =
        received(&capture.stop()).into_iter().filter(|packet| packet.icmp_error(3, 4).is_some()).collect();
    let [error] = &errors[..] else { panic!("one frag-needed must arrive: {errors:?}") };
    let local = socket.local_addr().expect("a bound socket").port();
    assert_eq!(error.source, teller, "who says it");
    assert!(matches!(error.transport, Transport::IcmpError { mtu: said, .. } if said == mtu), "{error:?}");
    let inner = error.icmp_error(3, 4).expect("frag-needed");
    assert_eq!((inner.destination, inner.ports()), (*target.ip(), (local, target.port())), "about the sender's own");
    let _ = socket.take_error();
    assert_eq!(exchange(&socket, usize::from(mtu) - 28), Ok(()), "a datagram of the learned size passes");
}

#[test]
fn a_client_learns_of_a_small_mtu_behind_the_router() {
    let lab = Lab::on(Topology::builder().router_mtu(1300).build(), &snat(), &[]);
    let _udp = UdpEcho::start(&lab.net.server2, 7002);
    udp_learns(&lab.net.client, at(SERVER2, 7002), 1300, ROUTER);
    // TCP of the other pod, which has not learned anything yet, against a server that promises too much.
    let _server = TcpServer::start(&lab.net.server2, 7001);
    lab.net.server2.ip(&["route change default via 198.51.100.1 advmss 1460".into()]);
    tcp::assert_transfers(&lab.net.pod2, at(SERVER2, 7001), 1 << 20);
    no_checksum_errors(&lab.net);
}

fn no_checksum_errors(net: &Topology) {
    for host in net.hosts() {
        let counters = Counters::read(host);
        for name in ["Tcp.InCsumErrors", "Udp.InCsumErrors", "Icmp.InCsumErrors", "Ip.InHdrErrors"] {
            assert_eq!(counters.get(name), 0, "{name} of {}", host.name());
        }
    }
}

#[test]
fn a_client_learns_of_a_small_external_mtu_from_the_gateway() {
    let lab = Lab::on(Topology::builder().external_mtu(1400).build(), &snat(), &[]);
    let _udp = UdpEcho::start(&lab.net.server, 7002);
    udp_learns(&lab.net.client, at(SERVER, 7002), 1400, GW_INTERNAL);
    let _server = TcpServer::start(&lab.net.server, 7001);
    lab.net.server.ip(&["route change 203.0.113.0/24 dev eth0 src 203.0.113.100 advmss 1460".into()]);
    tcp::assert_transfers(&lab.net.pod2, at(SERVER, 7001), 1 << 20);
    no_checksum_errors(&lab.net);
}

#[test]
fn an_outsider_learns_of_a_small_internal_mtu_through_a_floating_ip() {
    let rules = Rules::new().eip("eip1", EIP1).fip("eip1", CLIENT);
    outsider_learns(&rules);
}

#[test]
fn an_outsider_learns_of_a_small_internal_mtu_through_port_mappings() {
    let rules = Rules::new().eip("eip1", EIP1).dnat("eip1", Proto::Udp, 7002, CLIENT, 7002).dnat(
        "eip1",
        Proto::Tcp,
        7001,
        CLIENT,
        7001,
    );
    outsider_learns(&rules);
}

fn outsider_learns(rules: &Rules) {
    let lab = Lab::on(Topology::builder().internal_mtu(1300).build(), rules, &[]);
    let net = &lab.net;
    let _udp = UdpEcho::start(&net.client, 7002);
    let capture = Capture::start(&net.gw);
    udp_learns(&net.server2, at(EIP1, 7002), 1300, EIP1);
    let _server = TcpServer::start(&net.client, 7001);
    net.client.ip(&["route change default via 10.0.1.1 advmss 1460".into()]);
    tcp::assert_transfers(&net.server, at(EIP1, 7001), 1 << 20);
    assert_no_private_address_leaves(&capture.stop());
    no_checksum_errors(net);
}

#[test]
fn a_server_learns_of_a_small_internal_mtu_on_the_way_back_to_an_snat_client() {
    let lab = Lab::on(Topology::builder().internal_mtu(1300).build(), &snat(), &[]);
    let net = &lab.net;
    let _server = TcpServer::start(&net.server, 7001);
    net.client.ip(&["route change default via 10.0.1.1 advmss 1460".into()]);
    let capture = Capture::start(&net.gw);
    tcp::assert_transfers(&net.client, at(SERVER, 7001), 1 << 20);
    let captured = capture.stop();
    let told = passed(&captured, "net1", Way::Out).iter().filter(|packet| packet.icmp_error(3, 4).is_some()).count();
    assert!(told > 0, "the server was told, not just lucky");
    assert_no_private_address_leaves(&captured);
}

#[test]
fn an_outsider_learns_of_a_small_mtu_behind_the_vpc_router_from_the_eip() {
    let rules =
        Rules::new().eip("eip1", EIP1).dnat("eip1", Proto::Udp, 7002, FAR, 7002).route("10.0.2.0/24", "10.0.1.254");
    let lab = Lab::on(Topology::builder().far_mtu(1300).build(), &rules, &[]);
    let _udp = UdpEcho::start(&lab.net.far, 7002);
    let capture = Capture::start(&lab.net.gw);
    udp_learns(&lab.net.server2, at(EIP1, 7002), 1300, EIP1);
    assert_no_private_address_leaves(&capture.stop());
}

#[test]
fn a_datagram_that_may_be_fragmented_is_fragmented_after_translation() {
    let lab = Lab::on(Topology::builder().external_mtu(1400).build(), &snat(), &[]);
    lab.expect_drops(&[DropReason::Fragment]);
    fragmented_on_the_way(&lab);
    // The server's answer: it comes in fragments, of which only the first has a port, and SNAT needs one.
    if !oracle::selected() {
        eventually("the answer is dropped", || lab.tally().drops == [(DropReason::Fragment, 1)].into());
    }
}

#[test]
fn a_datagram_of_a_floating_ip_that_may_be_fragmented_is_fragmented_after_translation() {
    let rules = Rules::new().eip("eip1", EIP1).fip("eip1", CLIENT);
    let lab = Lab::on(Topology::builder().external_mtu(1400).build(), &rules, &[]);
    fragmented_on_the_way(&lab);
}

fn fragmented_on_the_way(lab: &Lab) {
    let net = &lab.net;
    let echo = UdpEcho::start(&net.server, 7002);
    net.client.sysctl("net/ipv4/ip_no_pmtu_disc", "1");
    let capture = Capture::start(&net.gw);
    let socket = udp_socket(&net.client, 0);
    socket.send_to(payload::at(0, 1450), at(SERVER, 7002)).expect("it fits the first link");
    eventually("the server has put the fragments together", || {
        Counters::read(&net.server).get("Ip.ReasmOKs") == 1 && Counters::read(&net.server).get("Udp.InDatagrams") == 1
    });
    assert_eq!(udp_addresses(&echo), BTreeSet::from([EIP1]));
    assert_no_private_address_leaves(&capture.stop());
    no_checksum_errors(net);
}

#[test]
fn segmentation_offload_passes_the_gateway_in_both_directions_without_a_fragment() {
    let rules = snat().dnat("eip1", Proto::Tcp, 7001, CLIENT, 7001);
    let lab = Lab::new(&rules);
    let net = &lab.net;
    let (outside, _inside) = (TcpServer::start(&net.server, 7001), TcpServer::start(&net.client, 7001));
    let capture = Capture::start(&net.gw);
    tcp::assert_transfers(&net.client, at(SERVER, 7001), 24 << 20);
    tcp::assert_transfers(&net.server, at(EIP1, 7001), 24 << 20);
    assert_eq!(addresses(&outside.take_peers()), BTreeSet::from([EIP1]));
    let captured = capture.stop();
    for (interface, way) in [("eth0", Way::In), ("net1", Way::Out), ("net1", Way::In), ("eth0", Way::Out)] {
        let longest = captured
            .iter()
            .filter(|one| one.interface == interface && one.way == way)
            .map(|one| one.len)
            .max()
            .unwrap_or_default();
        // What the kernel redirects straight to a device is not seen on its way out by every capture.
        if longest > 0 {
            assert!(longest > 10_000, "{interface} {way:?}: the longest packet has {longest} bytes");
        }
    }
    assert!(captured.iter().any(|one| one.interface == "eth0" && one.way == Way::In && one.len > 10_000));
    assert!(captured.iter().all(|one| one.packet.as_ref().is_ok_and(|packet| !packet.fragment)));
    assert_all_clean(net);
}

#[test]
fn udp_segmentation_offload_arrives_as_single_datagrams() {
    let lab = Lab::new(&snat());
    let capture = Capture::start(&lab.net.server);
    let _echo = UdpEcho::start(&lab.net.server, 7002);
    let socket = udp_socket(&lab.net.client, 0);
    socket.connect(at(SERVER, 7002)).expect("there is a route");
    setsockopt(&socket, sockopt::UdpGsoSegment, &1000).expect("the kernel has UDP segmentation");
    socket.send(payload::at(0, 10_000)).expect("ten datagrams in one call");
    let mut buffer = [0; 2000];
    for piece in 0..10 {
        let len = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("datagram {piece}: {error}"));
        assert_eq!(&buffer[..len], payload::at(piece * 1000, 1000), "datagram {piece}");
    }
    assert!(received(&capture.stop()).iter().all(|packet| !packet.fragment));
    assert_all_clean(&lab.net);
}

#[test]
fn jumbo_frames_pass() {
    let lab = Lab::on(Topology::builder().internal_mtu(9000).external_mtu(9000).build(), &snat(), &[]);
    let _server = TcpServer::start(&lab.net.server, 7001);
    let _echo = UdpEcho::start(&lab.net.server, 7002);
    tcp::assert_transfers(&lab.net.client, at(SERVER, 7001), 8 << 20);
    let socket = udp_socket(&lab.net.client, 0);
    socket.connect(at(SERVER, 7002)).expect("there is a route");
    assert_eq!(exchange(&socket, 8972), Ok(()));
    assert_all_clean(&lab.net);
}
