//! Which rule a packet meets first.

use super::{
    frame::*,
    gateway::{Gateway, Side::*},
};

/// One EIP with everything on it, and a pod for each rule.
fn everything_on_one_eip() -> Gateway {
    let mut gateway = Gateway::with_snat();
    gateway.0.rules.fip("203.0.113.1", "10.0.0.9");
    gateway.0.rules.dnat(6, "203.0.113.1:80 > 10.0.0.8:8080");
    gateway
}

#[test]
fn inbound_a_known_session_goes_before_the_floating_ip() {
    everything_on_one_eip().table(&[
        (Vpc, udp("10.0.0.5:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.1:4000 > 8.8.8.8:53"),
        (Outside, udp("8.8.8.8:53 > 203.0.113.1:4000"), "internal snat_in 8.8.8.8:53 > 10.0.0.5:4000"),
        (Outside, udp("8.8.4.4:53 > 203.0.113.1:4000"), "internal fip_in 8.8.4.4:53 > 10.0.0.9:4000"),
    ]);
}

#[test]
fn inbound_the_floating_ip_goes_before_the_port_mapping() {
    everything_on_one_eip().table(&[(
        Outside,
        tcp("8.8.8.8:5000 > 203.0.113.1:80", SYN),
        "internal fip_in 8.8.8.8:5000 > 10.0.0.9:80",
    )]);
}

#[test]
fn a_port_mapping_session_outlives_the_floating_ip_that_now_shadows_its_rule() {
    let mut gateway = Gateway::with_snat();
    gateway.0.rules.dnat(6, "203.0.113.1:80 > 10.0.0.8:8080");
    gateway.table(&[(
        Outside,
        tcp("8.8.8.8:5000 > 203.0.113.1:80", SYN),
        "internal dnat_in 8.8.8.8:5000 > 10.0.0.8:8080",
    )]);
    gateway.0.rules.fip("203.0.113.1", "10.0.0.9");
    gateway.table(&[
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.1:80", ACK), "internal dnat_in 8.8.8.8:5000 > 10.0.0.8:8080"),
        (Vpc, tcp("10.0.0.8:8080 > 8.8.8.8:5000", ACK), "external dnat_out 203.0.113.1:80 > 8.8.8.8:5000"),
        (Outside, tcp("8.8.8.8:5001 > 203.0.113.1:80", SYN), "internal fip_in 8.8.8.8:5001 > 10.0.0.9:80"),
    ]);
}

#[test]
fn outbound_a_known_session_goes_before_a_floating_ip_added_later() {
    let mut gateway = Gateway::with_snat();
    gateway.table(&[(Vpc, tcp("10.0.0.5:4000 > 8.8.8.8:80", SYN), "external snat_out 203.0.113.1:4000 > 8.8.8.8:80")]);
    gateway.0.rules.fip("203.0.113.9", "10.0.0.5");
    gateway.table(&[
        (Vpc, tcp("10.0.0.5:4000 > 8.8.8.8:80", ACK), "external snat_out 203.0.113.1:4000 > 8.8.8.8:80"),
        (Vpc, tcp("10.0.0.5:4001 > 8.8.8.8:80", SYN), "external fip_out 203.0.113.9:4001 > 8.8.8.8:80"),
    ]);
}

#[test]
fn outbound_the_floating_ip_goes_before_snat() {
    let mut gateway = Gateway::with_snat();
    gateway.0.rules.fip("203.0.113.9", "10.0.0.5");
    gateway.table(&[
        (Vpc, udp("10.0.0.5:4000 > 8.8.8.8:53"), "external fip_out 203.0.113.9:4000 > 8.8.8.8:53"),
        (Vpc, udp("10.0.0.6:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.1:4000 > 8.8.8.8:53"),
    ]);
    assert_eq!(gateway.sessions(), 1, "the floating IP is stateless");
}

#[test]
fn snat_takes_the_longest_source_prefix() {
    let mut gateway = Gateway::new();
    gateway.0.rules.snat("0.0.0.0/0", &["203.0.113.4"]);
    gateway.0.rules.snat("10.0.0.0/8", &["203.0.113.1"]);
    gateway.0.rules.snat("10.0.0.0/24", &["203.0.113.2"]);
    gateway.0.rules.snat("10.0.0.7/32", &["203.0.113.3"]);
    gateway.table(&[
        (Vpc, udp("10.9.0.5:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.1:4000 > 8.8.8.8:53"),
        (Vpc, udp("10.0.0.5:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.2:4000 > 8.8.8.8:53"),
        (Vpc, udp("10.0.0.7:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.3:4000 > 8.8.8.8:53"),
        (Vpc, udp("192.168.0.7:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.4:4000 > 8.8.8.8:53"),
    ]);
}

#[test]
fn snat_only_applies_to_packets_that_leave_by_the_external_interface() {
    let gateway = Gateway::with_snat();
    gateway.table(&[
        (Vpc, udp("10.0.0.5:4000 > 10.1.0.5:53"), "pass pass_internal"),
        (Vpc, echo("10.0.0.5 > 10.1.0.5", 7), "pass pass_internal"),
        (Vpc, raw(GRE, "10.0.0.5 > 10.1.0.5"), "pass pass_internal"),
        (Vpc, udp("10.0.0.5:4000 > 203.0.113.1:53"), "pass pass_internal"),
    ]);
    assert_eq!(gateway.sessions(), 0);
}

#[test]
fn a_floating_ip_does_not_touch_traffic_between_vpc_subnets() {
    let mut gateway = Gateway::new();
    gateway.0.rules.fip("203.0.113.9", "10.0.0.9");
    gateway.table(&[(Vpc, udp("10.0.0.9:4000 > 10.1.0.5:53"), "pass pass_internal")]);
}

#[test]
fn what_no_rule_matches_is_forwarded_as_it_is() {
    let gateway = Gateway::with_snat();
    gateway.table(&[
        (Vpc, udp("10.7.0.5:4000 > 8.8.8.8:53"), "pass pass_internal"),
        (Vpc, tcp("10.7.0.5:4000 > 8.8.8.8:53", RST), "pass pass_internal"),
        (Outside, udp("8.8.8.8:53 > 10.7.0.5:4000"), "pass pass_external"),
        (Outside, tcp("8.8.8.8:53 > 203.0.113.1:4000", SYN), "pass pass_external"),
        (Outside, echo("8.8.8.8 > 203.0.113.1", 7), "pass pass_external"),
    ]);
    assert_eq!(gateway.sessions(), 0);
}

#[test]
fn what_no_rule_matches_is_dropped_when_asked_to() {
    let mut gateway = Gateway::with_snat();
    gateway.drop_unmatched();
    gateway.table(&[
        (Vpc, udp("10.7.0.5:4000 > 8.8.8.8:53"), "drop unmatched"),
        (Vpc, udp("10.7.0.5:4000 > 8.8.8.8:53").first_fragment(), "drop unmatched"),
        (Vpc, udp("10.7.0.5:4000 > 8.8.8.8:53").later_fragment(), "drop unmatched"),
        // Not towards the outside:
        (Vpc, udp("10.7.0.5:4000 > 10.0.0.5:53"), "pass pass_internal"),
        (Vpc, udp("10.7.0.5:4000 > 203.0.113.1:53"), "pass pass_internal"),
        (Vpc, udp("10.0.0.5:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.1:4000 > 8.8.8.8:53"),
    ]);
}
