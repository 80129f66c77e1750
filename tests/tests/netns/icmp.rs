//! ICMP through the gateway: traceroute, errors in both directions, and the gateway's own answers.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, UdpSocket},
};

use etherparse::{Icmpv4Type, icmpv4::DestUnreachableHeader};
use natgw_tests::{
    Lab, Netns, Proto, Rules, Topology,
    capture::{Capture, Captured, Way, assert_no_private_address_leaves, passed},
    craft,
    lab::{EIP1, EIP2},
    packet::{Packet, Transport},
    probe::UdpEcho,
    tcp::{self, TcpServer, Transfer},
    topology::{CLIENT, FAR, GW_INTERNAL, Offload, POD2, ROUTER, SERVER, SERVER2},
    trace::{self, Via, trace},
};

use crate::support::{VPC_CIDR, assert_all_clean, assert_pings, at, exchange, udp_socket};

/// Without offload: only then does a packet that is quoted in an error have a complete checksum, which the gateway must
/// keep right.
fn lab(rules: &Rules) -> Lab {
    Lab::on(Topology::builder().offload(Offload::Off).build(), rules, &[])
}

/// What a host received, the packets inside ICMP errors verified too.
fn received(captured: &[Captured]) -> Vec<Packet> {
    let packets = crate::support::received(captured);
    let wrong: Vec<_> = packets.iter().filter(|packet| packet.is_wrong_inside()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    packets
}

fn snat() -> Rules {
    Rules::new().eip("eip1", EIP1).snat("eip1", VPC_CIDR)
}

const BEHIND_ROUTER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const FAR_ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 1);

#[test]
fn traceroute_from_the_vpc_shows_the_gateways_internal_address_and_everything_behind() {
    let lab = lab(&snat());
    for via in [Via::Udp, Via::Icmp] {
        let hops = trace(&lab.net.client, SERVER2, via);
        assert_eq!(trace::addresses(&hops), [GW_INTERNAL, ROUTER, SERVER2], "{via:?}");
        for hop in hops.iter().filter(|hop| !hop.is_last()) {
            let inner = hop.inner();
            assert_eq!((inner.source, inner.destination), (CLIENT, SERVER2), "{via:?}: what {} answers to", hop.from);
        }
    }
}

#[test]
fn traceroute_from_outside_to_a_floating_ip_shows_the_eip_as_gateway_and_as_pod() {
    let lab = lab(&Rules::new().eip("eip1", EIP1).fip("eip1", CLIENT));
    outside_trace(&lab, &[Via::Udp, Via::Icmp]);
}

#[test]
fn traceroute_from_outside_through_port_mappings_shows_the_eip_as_gateway_and_as_pod() {
    let rules = (33_430..33_445)
        .fold(Rules::new().eip("eip1", EIP1), |rules, port| rules.dnat("eip1", Proto::Udp, port, CLIENT, port));
    outside_trace(&lab(&rules), &[Via::Udp]);
}

#[test]
fn traceroute_from_outside_to_an_eip_that_shares_floating_ip_and_snat_shows_the_eip() {
    let lab = lab(&snat().fip("eip1", CLIENT));
    outside_trace(&lab, &[Via::Udp, Via::Icmp]);
}

fn outside_trace(lab: &Lab, ways: &[Via]) {
    let capture = Capture::start(&lab.net.gw);
    for via in ways {
        let hops = trace(&lab.net.server2, EIP1, *via);
        assert_eq!(trace::addresses(&hops), [BEHIND_ROUTER, EIP1, EIP1], "{via:?}");
        for hop in hops.iter().filter(|hop| hop.answer.icmp_error(11, 0).is_some() || *via == Via::Udp) {
            let inner = hop.inner();
            assert_eq!((inner.source, inner.destination), (SERVER2, EIP1), "{via:?}: what {} answers to", hop.from);
        }
    }
    assert_no_private_address_leaves(&capture.stop());
}

#[test]
fn traceroute_between_vpc_subnets_is_untranslated() {
    let lab = lab(&snat().eip("eip2", EIP2).fip("eip2", POD2).route("10.0.2.0/24", "10.0.1.254"));
    for via in [Via::Udp, Via::Icmp] {
        let hops = trace(&lab.net.far, CLIENT, via);
        assert_eq!(trace::addresses(&hops), [FAR_ROUTER, GW_INTERNAL, CLIENT], "{via:?} from the far subnet");
        let hops = trace(&lab.net.client, FAR, via);
        assert_eq!(trace::addresses(&hops)[0], GW_INTERNAL, "{via:?} to the far subnet");
        assert_eq!(hops.last().map(|hop| hop.from), Some(FAR));
    }
}

/// The ICMP error that a datagram to `target` provokes, as the sender's socket and wire see it.
fn refusal(sender: &Netns, target: std::net::SocketAddrV4) -> Packet {
    let socket = udp_socket(sender, 0);
    socket.connect(target).expect("there is a route");
    let capture = Capture::start(sender);
    let error = exchange(&socket, 64).expect_err("nobody listens");
    assert!(error.contains("refused"), "{target} to {}: {error}", sender.name());
    let port = socket.local_addr().expect("a bound socket").port();
    let errors: Vec<_> = received(&capture.stop()).into_iter().filter(|p| p.icmp_error(3, 3).is_some()).collect();
    let [error] = &errors[..] else { panic!("one port-unreachable must arrive: {errors:?}") };
    assert_eq!(error.icmp_error(3, 3).map(Packet::ports), Some((port, target.port())), "it is about this datagram");
    error.clone()
}

#[test]
fn port_unreachable_comes_back_to_the_vpc_client() {
    let lab = lab(&snat());
    for server in [SERVER, SERVER2] {
        let error = refusal(&lab.net.client, at(server, 9));
        assert_eq!((error.source, error.destination), (server, CLIENT));
        assert_eq!(error.icmp_error(3, 3).map(|inner| (inner.source, inner.destination)), Some((CLIENT, server)));
    }
    assert_all_clean(&lab.net);
}

#[test]
fn port_unreachable_of_a_pod_goes_out_with_the_eip_in_every_place() {
    let rules =
        Rules::new().eip("eip1", EIP1).dnat("eip1", Proto::Udp, 53, POD2, 5353).eip("eip2", EIP2).fip("eip2", CLIENT);
    let lab = lab(&rules);
    let capture = Capture::start(&lab.net.gw);
    for (target, outsider, address) in [
        (at(EIP1, 53), &lab.net.server, SERVER),
        (at(EIP1, 53), &lab.net.server2, SERVER2),
        (at(EIP2, 9), &lab.net.server, SERVER),
    ] {
        let error = refusal(outsider, target);
        assert_eq!((error.source, error.destination), (*target.ip(), address));
        assert_eq!(
            error.icmp_error(3, 3).map(|inner| (inner.source, inner.destination)),
            Some((address, *target.ip()))
        );
    }
    assert_no_private_address_leaves(&capture.stop());
    assert_all_clean(&lab.net);
}

/// A UDP flow from the client through the gateway, and its first datagram as the server's wire saw it.
fn flow(lab: &Lab) -> (UdpSocket, Captured) {
    let capture = Capture::start(&lab.net.server);
    let socket = udp_socket(&lab.net.client, 0);
    socket.connect(at(SERVER, 7002)).expect("there is a route");
    assert_eq!(exchange(&socket, 64), Ok(()));
    let captured = capture.stop();
    let datagram = captured
        .into_iter()
        .find(|one| one.way == Way::In && one.packet.as_ref().is_ok_and(|packet| packet.protocol == 17))
        .expect("the server has got a datagram");
    (socket, datagram)
}

/// What ICMP the client receives while `send` does its work, up to a ping that surely comes after it.
fn icmp_at_client(lab: &Lab, send: impl FnOnce()) -> Vec<Packet> {
    let capture = Capture::start(&lab.net.client);
    send();
    assert_pings(&lab.net.client, SERVER, 95);
    received(&capture.stop())
        .into_iter()
        .filter(|packet| matches!(packet.transport, Transport::IcmpError { .. }))
        .collect()
}

const HOST_UNREACHABLE: Icmpv4Type = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Host);

#[test]
fn an_error_that_quotes_eight_bytes_only_is_translated() {
    let lab = lab(&snat());
    let _echo = UdpEcho::start(&lab.net.server, 7002);
    let (socket, datagram) = flow(&lab);
    let port = socket.local_addr().expect("a bound socket").port();
    let error = craft::icmp_error(ROUTER, EIP1, HOST_UNREACHABLE, &datagram.bytes[..28]);
    let seen = icmp_at_client(&lab, || craft::send(&lab.net.router, &error));
    let [error] = &seen[..] else { panic!("one error must arrive: {seen:?}") };
    assert_eq!((error.source, error.destination), (ROUTER, CLIENT), "the router stays the one who says it");
    let inner = error.icmp_error(3, 1).expect("host unreachable");
    assert_eq!((inner.source, inner.destination, inner.ports()), (CLIENT, SERVER, (port, 7002)));
    assert_eq!(exchange(&socket, 64), Ok(()), "an error ends no mapping (RFC 4787 REQ-12)");
}

#[test]
fn an_error_whose_inner_packet_has_ip_options_is_translated() {
    let lab = lab(&snat());
    let _echo = UdpEcho::start(&lab.net.server, 7002);
    let (socket, datagram) = flow(&lab);
    let port = socket.local_addr().expect("a bound socket").port();
    let mut inner = datagram.bytes.clone();
    inner[0] = 0x46;
    inner.splice(20..20, [1, 1, 1, 0]);
    let len = u16::try_from(inner.len()).expect("a small packet");
    inner[2..4].copy_from_slice(&len.to_be_bytes());
    inner[10..12].fill(0);
    let checksum = natgw_tests::packet::checksum(&[&inner[..24]]);
    inner[10..12].copy_from_slice(&checksum.to_be_bytes());
    let error = craft::icmp_error(ROUTER, EIP1, HOST_UNREACHABLE, &inner);
    let seen = icmp_at_client(&lab, || craft::send(&lab.net.router, &error));
    let [error] = &seen[..] else { panic!("one error must arrive: {seen:?}") };
    let inner = error.icmp_error(3, 1).expect("host unreachable");
    assert_eq!((inner.source, inner.destination, inner.ports()), (CLIENT, SERVER, (port, 7002)));
}

#[test]
fn an_error_about_an_unknown_flow_reaches_nobody() {
    let lab = lab(&snat());
    let _echo = UdpEcho::start(&lab.net.server, 7002);
    let (_socket, datagram) = flow(&lab);
    let mut inner = craft::udp(at(EIP1, 1), at(SERVER, 2), b"never sent");
    let unknown = craft::icmp_error(ROUTER, EIP1, HOST_UNREACHABLE, &inner);
    inner = datagram.bytes;
    let truncated = craft::icmp_error(ROUTER, EIP1, HOST_UNREACHABLE, &inner[..18]);
    let seen = icmp_at_client(&lab, || {
        craft::send(&lab.net.router, &unknown);
        craft::send(&lab.net.router, &truncated);
    });
    assert!(seen.is_empty(), "{seen:?}");
}

#[test]
fn an_error_about_a_tcp_connection_does_not_end_it() {
    let lab = lab(&snat());
    let server = TcpServer::start(&lab.net.server, 7001);
    let transfer = Transfer::start(&lab.net.client, at(SERVER, 7001));
    transfer.wait_bytes(100_000);
    let peer = server.take_peers()[0];
    let inner = craft::tcp(peer, at(SERVER, 7001), "A", 1);
    for kind in [HOST_UNREACHABLE, Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port)] {
        craft::send(&lab.net.server, &craft::icmp_error(SERVER, EIP1, kind, &inner));
    }
    transfer.wait_bytes(100_000);
    assert_eq!(transfer.stop().failure, None);
}

#[test]
fn an_eip_that_nothing_maps_answers_pings_and_refuses_ports_itself() {
    let lab = lab(&snat().dnat("eip1", Proto::Tcp, 80, CLIENT, 8080));
    let net = &lab.net;
    let capture = Capture::start(&net.client);
    for asker in [&net.server, &net.server2] {
        assert_pings(asker, EIP1, 96);
        let error = tcp::connect(asker, at(EIP1, 81)).expect_err("nothing maps port 81");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        assert_eq!(refusal(asker, at(EIP1, 82)).source, EIP1);
    }
    assert_eq!(received(&capture.stop()), [], "the pod hears nothing of it");
    // From inside as well.
    assert_pings(&net.client, EIP1, 97);
    let error = tcp::connect(&net.client, at(EIP1, 81)).expect_err("nothing maps port 81");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_pings(&net.client, GW_INTERNAL, 98);
}

#[test]
fn pings_of_two_pods_with_the_same_identifier_are_told_apart() {
    let lab = lab(&snat());
    let probes = [&lab.net.client, &lab.net.pod2]
        .map(|pod| natgw_tests::probe::IcmpProbe::start(pod, SERVER, 4711, natgw_tests::probe::MILLISECOND));
    let capture = Capture::start(&lab.net.server);
    for probe in &probes {
        probe.wait_answers(100);
    }
    let ids: BTreeSet<_> = passed(&capture.stop(), "eth0", Way::In).iter().map(Packet::ports).collect();
    for probe in probes {
        probe.stop().assert_lossless("two pings with one identifier");
    }
    assert_eq!(ids.len(), 2, "two identifiers outside: {ids:?}");
}
