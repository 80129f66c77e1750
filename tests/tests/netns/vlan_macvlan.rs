//! Other kinds of `net1`: what multus gives a gateway pod in practice.

use std::collections::BTreeSet;

use natgw_tests::{
    External, Lab, Proto, Rules, Topology,
    capture::{Capture, assert_no_private_address_leaves},
    craft, kernel,
    lab::{EIP1, EIP2},
    packet::Packet,
    probe::UdpEcho,
    tcp::{self, TcpServer},
    topology::{CLIENT, POD2, SERVER, SERVER2},
};

use crate::support::{
    VPC_CIDR, addresses, assert_all_clean, assert_pings, assert_udp_echoes, at, received, udp_addresses,
};

#[test]
fn every_rule_works_when_net1_is_a_macvlan() {
    everything_works(External::Macvlan);
}

#[test]
fn every_rule_works_when_net1_is_a_vlan_of_the_nodes_nic() {
    if !kernel::has_link_type("vlan") {
        return;
    }
    everything_works(External::Vlan);
}

#[test]
fn every_rule_works_when_net1_is_a_vlan_inside_the_gateway() {
    if !kernel::has_link_type("vlan") {
        return;
    }
    everything_works(External::VlanInside);
}

/// A datagram from the server to the gateway's DNAT port, in a frame with an 802.1Q tag, and what the pod gets of it.
fn tagged(vid: u8) -> Vec<Packet> {
    let lab = Lab::new(&Rules::new().eip("eip1", EIP1).dnat("eip1", Proto::Udp, 53, CLIENT, 5353));
    let net = &lab.net;
    let _echo = UdpEcho::start(&net.client, 5353);
    let capture = Capture::start(&net.client);
    let datagram = craft::udp(at(SERVER, 6000), at(EIP1, 53), b"tagged");
    craft::send_tagged(&net.server, &net.gw.mac("net1"), vid, &datagram);
    // Whatever becomes of it has become of it when later datagrams have come back.
    assert_udp_echoes(&net.server, at(EIP1, 53));
    received(&capture.stop()).into_iter().filter(|packet| packet.payload == b"tagged").collect()
}

#[test]
fn a_priority_tag_is_no_obstacle() {
    let arrived = tagged(0);
    let [packet] = &arrived[..] else { panic!("one datagram must arrive: {arrived:?}") };
    assert_eq!((packet.source, packet.destination, packet.ports()), (SERVER, CLIENT, (6000, 5353)));
}

#[test]
fn a_frame_of_another_vlan_is_not_for_the_gateway() {
    assert_eq!(tagged(100), []);
}

fn everything_works(external: External) {
    let rules = Rules::new()
        .eip("eip1", EIP1)
        .snat("eip1", VPC_CIDR)
        .dnat("eip1", Proto::Tcp, 80, CLIENT, 8080)
        .dnat("eip1", Proto::Udp, 53, CLIENT, 5353)
        .eip("eip2", EIP2)
        .fip("eip2", POD2);
    let lab = Lab::on(Topology::builder().external(external).build(), &rules, &[]);
    check(&lab);
}

/// SNAT, DNAT, FIP, hairpin and pings of the rules above.
pub(crate) fn check(lab: &Lab) {
    let net = &lab.net;
    let outside = (TcpServer::start(&net.server, 7001), UdpEcho::start(&net.server2, 7002));
    let inside = (TcpServer::start(&net.client, 8080), UdpEcho::start(&net.client, 5353));
    let floating = TcpServer::start(&net.pod2, 8080);
    let capture = Capture::start(&net.gw);

    tcp::assert_transfers(&net.client, at(SERVER, 7001), 4 << 20);
    assert_eq!(addresses(&outside.0.take_peers()), BTreeSet::from([EIP1]), "SNAT");
    assert_udp_echoes(&net.client, at(SERVER2, 7002));
    assert_eq!(udp_addresses(&outside.1), BTreeSet::from([EIP1]), "SNAT");
    assert_pings(&net.client, SERVER2, 60);

    tcp::assert_transfers(&net.server2, at(EIP1, 80), 4 << 20);
    assert_eq!(addresses(&inside.0.take_peers()), BTreeSet::from([SERVER2]), "DNAT");
    assert_udp_echoes(&net.server, at(EIP1, 53));
    assert_eq!(udp_addresses(&inside.1), BTreeSet::from([SERVER]), "DNAT");

    tcp::assert_transfers(&net.server, at(EIP2, 8080), 4 << 20);
    assert_eq!(addresses(&floating.take_peers()), BTreeSet::from([SERVER]), "FIP inwards");
    tcp::assert_transfers(&net.pod2, at(SERVER, 7001), 4 << 20);
    assert_eq!(addresses(&outside.0.take_peers()), BTreeSet::from([EIP2]), "FIP outwards");
    assert_pings(&net.server, EIP2, 61);
    assert_pings(&net.server, EIP1, 62);

    tcp::assert_transfers(&net.client, at(EIP2, 8080), 1 << 20);
    assert_eq!(addresses(&floating.take_peers()), BTreeSet::from([EIP2]), "hairpin to the FIP");
    tcp::assert_transfers(&net.pod2, at(EIP1, 80), 1 << 20);
    assert_eq!(addresses(&inside.0.take_peers()), BTreeSet::from([EIP2]), "hairpin of a pod with a FIP");

    assert_no_private_address_leaves(&capture.stop());
    assert_all_clean(net);
}
