//! What is used up is said in the cluster: how many packets were refused, and what helps.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    ops::RangeInclusive,
};

use natgw_common::abi::DropReason;
use natgw_tests::{
    ClusterLab, Netns, Rules, Tally, Topology, clock,
    cluster::shared,
    craft,
    daemon::PATIENCE,
    lab::EIP1,
    topology::{CLIENT, POD2, SERVER},
    traffic::{VPC_CIDR, at},
};
use natgw_userspace::core::objects::Kind;

/// Nobody listens there.
const DISCARD: u16 = 9;
/// Every port that a source NAT hands out.
const ALL_PORTS: RangeInclusive<u16> = 1024..=65535;
/// More flows than there is room for.
const FURTHER: RangeInclusive<u16> = 2000..=2199;

fn rules() -> Rules {
    Rules::new().eip("eip1", EIP1).snat("eip1", VPC_CIDR)
}

/// One datagram from each of `ports`.
fn datagrams(from: &Netns, source: Ipv4Addr, ports: RangeInclusive<u16>) {
    let packets: Vec<_> =
        ports.map(|port| craft::udp(SocketAddrV4::new(source, port), at(SERVER, DISCARD), b"one")).collect();
    craft::send_all(from, &packets);
}

/// Waits until Events have told of as many packets as were dropped, each with this sentence.
fn assert_said(lab: &ClusterLab<'_>, reason: DropReason, sentence: &str) {
    lab.drops.expect(&[reason]);
    let dropped = || Tally::read(&lab.gateway).expect("it runs").drops.get(&reason).copied().unwrap_or(0);
    assert!(dropped() > 0, "nothing was refused");
    let told = || {
        let events = lab.objects.events(Kind::VpcNatGateway, lab.gateway.name());
        let about = events.iter().filter_map(|event| event.strip_prefix("Warning Exhausted "));
        // A pass in the middle makes two of them.
        let packets = about.map(|text| {
            let (packets, said) = text.split_once(" packets: ").expect("a number");
            assert_eq!(said, sentence);
            packets.parse::<u64>().expect("a number")
        });
        packets.sum::<u64>()
    };
    clock::eventually("Events of every refusal", PATIENCE, || told() == dropped());
}

#[test]
fn a_full_session_table_is_said_with_what_helps() {
    let cluster = shared();
    let few = ["--max-sessions", "64"];
    let lab = ClusterLab::on(&cluster, Topology::new(), &rules(), &cluster.admin_kubeconfig(), &few);
    datagrams(&lab.net.client, CLIENT, FURTHER);
    let said = "new flows were refused: the session table is full; raise max_sessions, or shorten timeouts";
    assert_said(&lab, DropReason::TableFull, said);
}

#[test]
fn an_eip_without_a_free_port_is_said_with_what_helps() {
    let cluster = shared();
    let lab = ClusterLab::new(&cluster, &rules());
    datagrams(&lab.net.client, CLIENT, ALL_PORTS);
    datagrams(&lab.net.pod2, POD2, FURTHER);
    let said = "new flows were refused: an EIP has no free port towards a destination; add an EIP to the pool";
    assert_said(&lab, DropReason::NoPort, said);
}
