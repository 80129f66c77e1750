//! While sessions move to other maps none is opened, and everything that needs none goes on.

use super::{
    frame::*,
    gateway::{Gateway, Side::*},
};

/// An SNAT flow, a port mapping and a floating IP, held for ten seconds.
fn held() -> Gateway {
    let mut gateway = Gateway::with_snat();
    gateway.0.rules.dnat(6, "203.0.113.1:80 > 10.0.0.8:8080");
    gateway.0.rules.fip("203.0.113.9", "10.0.0.9");
    gateway.table(&[(Vpc, udp("10.0.0.5:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.1:4000 > 8.8.8.8:53")]);
    gateway.0.config.hold_until_ns = 1010 * super::world::SECOND;
    gateway
}

#[test]
fn no_session_is_opened_in_either_direction() {
    let gateway = held();
    gateway.table(&[
        (Vpc, udp("10.0.0.6:4000 > 8.8.8.8:53"), "drop migrating"),
        (Vpc, tcp("10.0.0.6:4000 > 203.0.113.1:80", SYN), "drop migrating"),
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.1:80", SYN), "drop migrating"),
    ]);
    assert_eq!(gateway.sessions(), 1);
}

#[test]
fn known_sessions_and_what_needs_none_go_on() {
    held().table(&[
        (Vpc, udp("10.0.0.5:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.1:4000 > 8.8.8.8:53"),
        (Outside, udp("8.8.8.8:53 > 203.0.113.1:4000"), "internal snat_in 8.8.8.8:53 > 10.0.0.5:4000"),
        (Vpc, udp("10.0.0.9:4000 > 8.8.8.8:53"), "external fip_out 203.0.113.9:4000 > 8.8.8.8:53"),
        (Outside, udp("8.8.8.8:53 > 203.0.113.9:9"), "internal fip_in 8.8.8.8:53 > 10.0.0.9:9"),
        (Outside, udp("8.8.8.8:53 > 203.0.113.1:9"), "pass pass_external"),
    ]);
}

#[test]
fn a_hold_ends_by_itself() {
    let gateway = held();
    gateway.seconds(10);
    gateway.table(&[(Vpc, udp("10.0.0.6:4001 > 8.8.8.8:53"), "external snat_out 203.0.113.1:4001 > 8.8.8.8:53")]);
}
