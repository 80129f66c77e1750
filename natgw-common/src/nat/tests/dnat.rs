//! Port mappings dialled from outside.

use super::{
    frame::*,
    gateway::{Gateway, Side::*},
};
use crate::abi::SessionStat;

fn web() -> Gateway {
    let mut gateway = Gateway::new();
    gateway.0.rules.dnat(6, "203.0.113.1:80 > 10.0.0.8:8080");
    gateway
}

#[test]
fn replies_are_translated_back_without_any_snat_rule() {
    let gateway = web();
    gateway.table(&[
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.1:80", SYN), "internal dnat_in 8.8.8.8:5000 > 10.0.0.8:8080"),
        (Vpc, tcp("10.0.0.8:8080 > 8.8.8.8:5000", SYN | ACK), "external dnat_out 203.0.113.1:80 > 8.8.8.8:5000"),
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.1:80", ACK), "internal dnat_in 8.8.8.8:5000 > 10.0.0.8:8080"),
    ]);
    assert_eq!(gateway.sessions(), 1);
    assert_eq!(gateway.stat(SessionStat::Created), 1);
}

#[test]
fn a_reply_leaves_from_the_eip_that_was_dialled_even_under_another_snat_rule() {
    let mut gateway = web();
    gateway.0.rules.snat("10.0.0.0/24", &["203.0.113.7"]);
    gateway.0.rules.dnat(6, "203.0.113.2:8000 > 10.0.0.8:8080");
    gateway.table(&[
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.1:80", SYN), "internal dnat_in 8.8.8.8:5000 > 10.0.0.8:8080"),
        (Outside, tcp("8.8.8.8:5001 > 203.0.113.2:8000", SYN), "internal dnat_in 8.8.8.8:5001 > 10.0.0.8:8080"),
        (Vpc, tcp("10.0.0.8:8080 > 8.8.8.8:5001", ACK), "external dnat_out 203.0.113.2:8000 > 8.8.8.8:5001"),
        (Vpc, tcp("10.0.0.8:8080 > 8.8.8.8:5000", ACK), "external dnat_out 203.0.113.1:80 > 8.8.8.8:5000"),
        (Vpc, tcp("10.0.0.8:9999 > 8.8.8.8:5000", SYN), "external snat_out 203.0.113.7:9999 > 8.8.8.8:5000"),
    ]);
}

#[test]
fn a_mapping_is_exact_in_port_and_protocol() {
    web().table(&[
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.1:81", SYN), "pass pass_external"),
        (Outside, udp("8.8.8.8:5000 > 203.0.113.1:80"), "pass pass_external"),
        (Outside, raw(GRE, "8.8.8.8 > 203.0.113.1"), "pass pass_external"),
        (Outside, echo("8.8.8.8 > 203.0.113.1", 80), "pass pass_external"),
    ]);
}

#[test]
fn many_mappings_share_one_eip() {
    let mut gateway = web();
    gateway.0.rules.dnat(17, "203.0.113.1:80 > 10.0.0.7:53");
    gateway.0.rules.dnat(6, "203.0.113.1:443 > 10.0.0.6:8443");
    gateway.table(&[
        (Outside, udp("8.8.8.8:5000 > 203.0.113.1:80"), "internal dnat_in 8.8.8.8:5000 > 10.0.0.7:53"),
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.1:80", SYN), "internal dnat_in 8.8.8.8:5000 > 10.0.0.8:8080"),
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.1:443", SYN), "internal dnat_in 8.8.8.8:5000 > 10.0.0.6:8443"),
        (Vpc, udp("10.0.0.7:53 > 8.8.8.8:5000"), "external dnat_out 203.0.113.1:80 > 8.8.8.8:5000"),
        (Vpc, tcp("10.0.0.6:8443 > 8.8.8.8:5000", ACK), "external dnat_out 203.0.113.1:443 > 8.8.8.8:5000"),
    ]);
}

#[test]
fn two_eips_that_would_show_the_pod_one_tuple_do_not_mix() {
    let mut gateway = web();
    gateway.0.rules.dnat(6, "203.0.113.2:80 > 10.0.0.8:8080");
    gateway.table(&[
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.1:80", SYN), "internal dnat_in 8.8.8.8:5000 > 10.0.0.8:8080"),
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.2:80", SYN), "drop flow_conflict"),
        (Vpc, tcp("10.0.0.8:8080 > 8.8.8.8:5000", ACK), "external dnat_out 203.0.113.1:80 > 8.8.8.8:5000"),
    ]);
    assert_eq!(gateway.sessions(), 1);
}

#[test]
fn a_peer_that_closed_towards_one_eip_may_dial_the_other_from_the_same_port() {
    let mut gateway = web();
    gateway.0.rules.dnat(6, "203.0.113.2:80 > 10.0.0.8:8080");
    gateway.table(&[
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.1:80", SYN), "internal dnat_in 8.8.8.8:5000 > 10.0.0.8:8080"),
        (Vpc, tcp("10.0.0.8:8080 > 8.8.8.8:5000", FIN), "external dnat_out 203.0.113.1:80 > 8.8.8.8:5000"),
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.1:80", FIN), "internal dnat_in 8.8.8.8:5000 > 10.0.0.8:8080"),
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.2:80", SYN), "internal dnat_in 8.8.8.8:5000 > 10.0.0.8:8080"),
        (Vpc, tcp("10.0.0.8:8080 > 8.8.8.8:5000", ACK), "external dnat_out 203.0.113.2:80 > 8.8.8.8:5000"),
    ]);
    assert_eq!(gateway.sessions(), 1);
    assert_eq!(gateway.stat(SessionStat::Reclaimed), 1);
}

/// After a reboot the session of a connection is gone. A pod that speaks first begins a flow of its own, which its peer
/// refuses; that flow must not keep the peer out of the mapping.
#[test]
fn a_flow_that_the_peer_refuses_or_ignores_gives_way_to_one_through_the_mapping() {
    for answer in [Some(RST), None] {
        let mut gateway = web();
        gateway.0.rules.snat("10.0.0.0/24", &["203.0.113.1"]);
        gateway.table(&[(
            Vpc,
            tcp("10.0.0.8:8080 > 8.8.8.8:5000", ACK),
            "external snat_out 203.0.113.1:8080 > 8.8.8.8:5000",
        )]);
        if let Some(flags) = answer {
            // The pod has sent more before it hears of it.
            let refusal = tcp("8.8.8.8:5000 > 203.0.113.1:8080", flags);
            gateway.table(&[
                (Outside, refusal, "internal snat_in 8.8.8.8:5000 > 10.0.0.8:8080"),
                (Vpc, tcp("10.0.0.8:8080 > 8.8.8.8:5000", ACK), "external snat_out 203.0.113.1:8080 > 8.8.8.8:5000"),
            ]);
        }
        gateway.table(&[
            (Outside, tcp("8.8.8.8:5000 > 203.0.113.1:80", ACK), "internal dnat_in 8.8.8.8:5000 > 10.0.0.8:8080"),
            (Vpc, tcp("10.0.0.8:8080 > 8.8.8.8:5000", ACK), "external dnat_out 203.0.113.1:80 > 8.8.8.8:5000"),
        ]);
        assert_eq!((gateway.sessions(), gateway.stat(SessionStat::Reclaimed)), (1, 1));
    }
}

#[test]
fn a_flow_that_the_peer_has_answered_stays_although_the_peer_dials_its_pod_too() {
    let mut gateway = web();
    gateway.0.rules.snat("10.0.0.0/24", &["203.0.113.1"]);
    gateway.table(&[
        (Vpc, tcp("10.0.0.8:8080 > 8.8.8.8:5000", SYN), "external snat_out 203.0.113.1:8080 > 8.8.8.8:5000"),
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.1:8080", SYN | ACK), "internal snat_in 8.8.8.8:5000 > 10.0.0.8:8080"),
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.1:80", SYN), "drop flow_conflict"),
        (Vpc, tcp("10.0.0.8:8080 > 8.8.8.8:5000", ACK), "external snat_out 203.0.113.1:8080 > 8.8.8.8:5000"),
    ]);
}

/// The RST may be forged (RFC 5961), and the packet to the mapping too.
#[test]
fn an_accepted_flow_that_an_rst_was_seen_on_does_not_give_way() {
    let mut gateway = web();
    gateway.0.rules.snat("10.0.0.0/24", &["203.0.113.1"]);
    gateway.table(&[
        (Vpc, tcp("10.0.0.8:8080 > 8.8.8.8:5000", SYN), "external snat_out 203.0.113.1:8080 > 8.8.8.8:5000"),
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.1:8080", SYN | ACK), "internal snat_in 8.8.8.8:5000 > 10.0.0.8:8080"),
        (Vpc, tcp("10.0.0.8:8080 > 8.8.8.8:5000", ACK), "external snat_out 203.0.113.1:8080 > 8.8.8.8:5000"),
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.1:8080", RST), "internal snat_in 8.8.8.8:5000 > 10.0.0.8:8080"),
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.1:80", ACK), "drop flow_conflict"),
        (Vpc, tcp("10.0.0.8:8080 > 8.8.8.8:5000", ACK), "external snat_out 203.0.113.1:8080 > 8.8.8.8:5000"),
    ]);
}

#[test]
fn a_removed_mapping_takes_no_new_flow() {
    let mut gateway = web();
    gateway.0.rules.dnat.clear();
    gateway.table(&[(Outside, tcp("8.8.8.8:5000 > 203.0.113.1:80", SYN), "pass pass_external")]);
}
