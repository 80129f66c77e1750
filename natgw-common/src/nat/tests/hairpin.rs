//! VPC clients that dial an EIP of their own gateway.

use super::{
    frame::*,
    gateway::{Gateway, Side::*},
};

/// Pods 8 and 9 with floating IPs, a mapping to pod 7, and SNAT for the rest on an EIP of its own.
fn gateway() -> Gateway {
    let mut gateway = Gateway::with_snat();
    gateway.0.rules.fip("203.0.113.8", "10.0.0.8");
    gateway.0.rules.fip("203.0.113.9", "10.0.0.9");
    gateway.0.rules.dnat(6, "203.0.113.7:80 > 10.0.0.7:8080");
    gateway
}

#[test]
fn two_floating_ips_talk_without_state_in_every_protocol() {
    let gateway = gateway();
    gateway.table(&[
        (Vpc, tcp("10.0.0.8:4000 > 203.0.113.9:22", SYN), "internal hairpin_out 203.0.113.8:4000 > 10.0.0.9:22"),
        (Vpc, tcp("10.0.0.9:22 > 203.0.113.8:4000", ACK), "internal hairpin_out 203.0.113.9:22 > 10.0.0.8:4000"),
        (Vpc, tcp("10.0.0.9:22 > 203.0.113.8:4000", RST), "internal hairpin_out 203.0.113.9:22 > 10.0.0.8:4000"),
        (Vpc, echo("10.0.0.8 > 203.0.113.9", 7), "internal hairpin_out 203.0.113.8 > 10.0.0.9 id 7"),
        (Vpc, echo_reply("10.0.0.9 > 203.0.113.8", 7), "internal hairpin_out 203.0.113.9 > 10.0.0.8 id 7"),
        (Vpc, raw(GRE, "10.0.0.8 > 203.0.113.9"), "internal hairpin_out 203.0.113.8 > 10.0.0.9"),
    ]);
    assert_eq!(gateway.sessions(), 0);
}

#[test]
fn a_client_without_a_floating_ip_appears_as_the_eip_it_dialled() {
    let gateway = gateway();
    gateway.table(&[
        (Vpc, tcp("10.0.0.5:4000 > 203.0.113.9:22", SYN), "internal hairpin_out 203.0.113.9:4000 > 10.0.0.9:22"),
        (Vpc, tcp("10.0.0.9:22 > 203.0.113.9:4000", ACK), "internal hairpin_in 203.0.113.9:22 > 10.0.0.5:4000"),
        (Vpc, tcp("10.0.0.5:4000 > 203.0.113.7:80", SYN), "internal hairpin_out 203.0.113.7:4000 > 10.0.0.7:8080"),
        (Vpc, tcp("10.0.0.7:8080 > 203.0.113.7:4000", ACK), "internal hairpin_in 203.0.113.7:80 > 10.0.0.5:4000"),
        (Vpc, tcp("10.0.0.5:4000 > 203.0.113.7:80", ACK), "internal hairpin_out 203.0.113.7:4000 > 10.0.0.7:8080"),
        (Vpc, echo("10.0.0.5 > 203.0.113.9", 0), "internal hairpin_out 203.0.113.9 > 10.0.0.9 id 0"),
        (Vpc, echo_reply("10.0.0.9 > 203.0.113.9", 0), "internal hairpin_in 203.0.113.9 > 10.0.0.5 id 0"),
    ]);
    assert_eq!(gateway.sessions(), 3);
}

#[test]
fn a_client_with_a_floating_ip_appears_as_that_to_a_mapped_pod() {
    let gateway = gateway();
    gateway.table(&[
        (Vpc, tcp("10.0.0.8:4000 > 203.0.113.7:80", SYN), "internal hairpin_out 203.0.113.8:4000 > 10.0.0.7:8080"),
        (Vpc, tcp("10.0.0.7:8080 > 203.0.113.8:4000", ACK), "internal hairpin_in 203.0.113.7:80 > 10.0.0.8:4000"),
        (Vpc, tcp("10.0.0.8:4000 > 203.0.113.7:80", FIN), "internal hairpin_out 203.0.113.8:4000 > 10.0.0.7:8080"),
        (Vpc, tcp("10.0.0.7:8080 > 203.0.113.8:4000", FIN), "internal hairpin_in 203.0.113.7:80 > 10.0.0.8:4000"),
    ]);
    assert_eq!(gateway.sessions(), 1);
}

#[test]
fn two_clients_with_one_port_are_kept_apart() {
    let gateway = gateway();
    gateway.table(&[(
        Vpc,
        tcp("10.0.0.5:4000 > 203.0.113.7:80", SYN),
        "internal hairpin_out 203.0.113.7:4000 > 10.0.0.7:8080",
    )]);
    let port = gateway.vpc(&tcp("10.0.0.6:4000 > 203.0.113.7:80", SYN)).source_port();
    assert_ne!(port, 4000);
    assert_eq!(
        gateway.vpc(&tcp(&format!("10.0.0.7:8080 > 203.0.113.7:{port}"), ACK)),
        "internal hairpin_in 203.0.113.7:80 > 10.0.0.6:4000"
    );
}

#[test]
fn a_pod_may_dial_itself() {
    gateway().table(&[
        (Vpc, tcp("10.0.0.9:4000 > 203.0.113.9:22", SYN), "internal hairpin_out 203.0.113.9:4000 > 10.0.0.9:22"),
        (Vpc, tcp("10.0.0.9:22 > 203.0.113.9:4000", ACK), "internal hairpin_out 203.0.113.9:22 > 10.0.0.9:4000"),
        (Vpc, tcp("10.0.0.7:4000 > 203.0.113.7:80", SYN), "internal hairpin_out 203.0.113.7:4000 > 10.0.0.7:8080"),
        (Vpc, tcp("10.0.0.7:8080 > 203.0.113.7:4000", ACK), "internal hairpin_in 203.0.113.7:80 > 10.0.0.7:4000"),
    ]);
}

#[test]
fn the_second_eip_of_a_pod_answers_a_client_as_itself() {
    let mut gateway = gateway();
    gateway.0.rules.fip("203.0.113.10", "10.0.0.9");
    gateway.table(&[
        (Vpc, tcp("10.0.0.8:4000 > 203.0.113.10:22", SYN), "internal hairpin_out 203.0.113.8:4000 > 10.0.0.9:22"),
        (Vpc, tcp("10.0.0.9:22 > 203.0.113.8:4000", ACK), "internal hairpin_in 203.0.113.10:22 > 10.0.0.8:4000"),
    ]);
}

#[test]
fn a_hairpinned_tuple_forged_outside_matches_nothing() {
    let gateway = gateway();
    gateway.table(&[
        (Vpc, tcp("10.0.0.5:4000 > 203.0.113.7:80", SYN), "internal hairpin_out 203.0.113.7:4000 > 10.0.0.7:8080"),
        (Outside, tcp("10.0.0.7:8080 > 203.0.113.7:4000", ACK), "pass pass_external"),
        (Outside, tcp("10.0.0.7:8080 > 203.0.113.7:4000", RST), "pass pass_external"),
    ]);
    let session = gateway.0.dump()[0].1;
    assert_eq!(session.state, crate::tcp_state::TcpState::OpeningInternal as u32);
}

#[test]
fn a_session_of_the_outside_is_not_open_to_a_pod_that_forges_its_peer() {
    let gateway = gateway();
    gateway.table(&[
        (Vpc, udp("10.0.0.5:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.1:4000 > 8.8.8.8:53"),
        (Vpc, udp("8.8.8.8:53 > 203.0.113.1:4000"), "pass pass_internal"),
    ]);
}

#[test]
fn the_gateway_itself_answers_on_an_eip_that_maps_nothing_there() {
    let gateway = gateway();
    gateway.table(&[
        (Vpc, echo("10.0.0.5 > 203.0.113.7", 7), "pass pass_internal"),
        (Vpc, tcp("10.0.0.5:4000 > 203.0.113.7:81", SYN), "pass pass_internal"),
        (Vpc, udp("10.0.0.5:4000 > 203.0.113.1:53"), "pass pass_internal"),
    ]);
    assert_eq!(gateway.sessions(), 0);
}

#[test]
fn leftovers_of_dead_flows_are_dropped() {
    let gateway = gateway();
    gateway.table(&[
        (Vpc, tcp("10.0.0.5:4000 > 203.0.113.7:80", FIN), "drop no_session"),
        (Vpc, tcp("10.0.0.5:4000 > 203.0.113.9:80", RST), "drop no_session"),
        (Vpc, echo_reply("10.0.0.5 > 203.0.113.9", 7), "drop no_session"),
    ]);
    assert_eq!(gateway.sessions(), 0);
}

#[test]
fn a_hairpin_never_takes_a_mapped_port() {
    let mut gateway = gateway();
    gateway.0.rules.dnat(6, "203.0.113.7:4000 > 10.0.0.6:1");
    let out = gateway.vpc(&tcp("10.0.0.5:4000 > 203.0.113.7:80", SYN));
    assert_ne!(out.source_port(), 4000);
}

#[test]
fn between_two_floating_ips_what_cannot_begin_a_session_is_translated_by_address() {
    let mut gateway = gateway();
    gateway.0.rules.snat("10.1.0.0/24", &["203.0.113.9"]);
    gateway.table(&[
        (Vpc, tcp("10.0.0.8:4000 > 203.0.113.9:22", FIN), "internal hairpin_out 203.0.113.8:4000 > 10.0.0.9:22"),
        (Vpc, tcp("10.0.0.9:22 > 203.0.113.8:4000", RST), "internal hairpin_out 203.0.113.9:22 > 10.0.0.8:4000"),
        (Vpc, echo_reply("10.0.0.9 > 203.0.113.8", 7), "internal hairpin_out 203.0.113.9 > 10.0.0.8 id 7"),
        (Vpc, tcp("10.0.0.8:4000 > 203.0.113.9:22", FIN).ttl(1), "drop hairpin_ttl"),
    ]);
    assert_eq!(gateway.sessions(), 0);
}
