//! Which external port a flow gets.

use std::collections::BTreeSet;

use super::{
    frame::*,
    gateway::{Gateway, Side::*},
};
use crate::{abi::SessionStat, nat::PROBES};

/// Only `count` ports to hand out, from 2000.
fn narrow(count: u16) -> Gateway {
    let mut gateway = Gateway::with_snat();
    gateway.0.config.port_min = 2000;
    gateway.0.config.port_max = 2000 + count - 1;
    gateway
}

#[test]
fn a_free_source_port_is_kept() {
    let gateway = Gateway::with_snat();
    for port in [1, 1024, 32768, 65535] {
        assert_eq!(gateway.vpc(&udp(&format!("10.0.0.5:{port} > 8.8.8.8:53"))).source_port(), port);
    }
}

#[test]
fn one_port_serves_as_many_peers_as_there_are() {
    let gateway = Gateway::with_snat();
    for peer in 1..100 {
        let out = gateway.vpc(&udp(&format!("10.0.0.5:4000 > 8.8.8.{peer}:53")));
        assert_eq!(out.source_port(), 4000);
        let other = gateway.vpc(&udp(&format!("10.0.0.6:4000 > 8.8.8.{peer}:54")));
        assert_eq!(other.source_port(), 4000, "another port of the peer is another tuple");
    }
}

#[test]
fn a_port_in_use_towards_the_same_peer_is_replaced_by_one_of_the_range() {
    let gateway = narrow(1000);
    let mut seen = BTreeSet::new();
    for pod in 1..50 {
        let port = gateway.vpc(&udp(&format!("10.0.0.{pod}:4000 > 8.8.8.8:53"))).source_port();
        assert!(seen.insert(port), "{port} twice");
        assert!(port == 4000 || (2000..3000).contains(&port), "{port}");
    }
}

#[test]
fn tcp_and_udp_have_ports_of_their_own() {
    Gateway::with_snat().table(&[
        (Vpc, udp("10.0.0.5:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.1:4000 > 8.8.8.8:53"),
        (Vpc, tcp("10.0.0.6:4000 > 8.8.8.8:53", SYN), "external snat_out 203.0.113.1:4000 > 8.8.8.8:53"),
    ]);
}

#[test]
fn a_port_reserved_by_a_mapping_is_never_handed_out() {
    let mut gateway = narrow(4);
    for port in [4000, 2000, 2001, 2003] {
        gateway.0.rules.dnat(17, &format!("203.0.113.1:{port} > 10.0.0.8:53"));
    }
    assert_eq!(gateway.vpc(&udp("10.0.0.5:4000 > 8.8.8.8:53")).source_port(), 2002);
    // The same port of another protocol, or of another EIP, is free.
    assert_eq!(gateway.vpc(&tcp("10.0.0.5:4000 > 8.8.8.8:53", SYN)).source_port(), 4000);
    // The only port left is taken.
    assert_eq!(gateway.vpc(&udp("10.0.0.6:4000 > 8.8.8.8:53")), "drop no_port");
}

#[test]
fn exhausted_ports_are_refused_and_counted_and_live_flows_go_on() {
    let gateway = narrow(1);
    gateway.table(&[
        (Vpc, udp("10.0.0.5:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.1:4000 > 8.8.8.8:53"),
        (Vpc, udp("10.0.0.6:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.1:2000 > 8.8.8.8:53"),
        (Vpc, udp("10.0.0.7:4000 > 8.8.8.8:53"), "drop no_port"),
        (Vpc, udp("10.0.0.5:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.1:4000 > 8.8.8.8:53"),
        (Vpc, udp("10.0.0.7:4000 > 8.8.4.4:53"), "external snat_out 203.0.113.1:4000 > 8.8.4.4:53"),
    ]);
    assert_eq!(gateway.stat(SessionStat::RefusedNoPort), 1);
    assert_eq!(gateway.sessions(), 3);
}

#[test]
fn until_the_range_is_half_full_nobody_is_refused() {
    // A refusal takes PROBES - 1 ports in a row that are taken: at half full, one flow in 32768.
    const { assert!(PROBES >= 16) };
    let mut gateway = narrow(1000);
    gateway.0.rules.snat("10.0.0.0/16", &["203.0.113.1"]);
    for pod in 0..500u16 {
        let [high, low] = pod.to_be_bytes();
        let out = gateway.vpc(&udp(&format!("10.0.{high}.{low}:9 > 8.8.8.8:53")));
        assert!(out.said.starts_with("external"), "flow {pod}: {}", out.said);
    }
    assert_eq!(gateway.sessions(), 500);
}

#[test]
fn one_flow_asks_for_randomness_only_when_its_port_is_taken() {
    let (busy, fresh) = (Gateway::with_snat(), Gateway::with_snat());
    for port in 4000..4100 {
        busy.vpc(&udp(&format!("10.0.0.5:{port} > 8.8.8.8:53")));
    }
    fresh.vpc(&udp("10.0.0.5:4000 > 8.8.8.8:53"));
    let next = |gateway: &Gateway| gateway.vpc(&udp("10.0.0.6:4000 > 8.8.8.8:53")).source_port();
    assert_eq!(next(&busy), next(&fresh), "both had thrown no die before");
}
