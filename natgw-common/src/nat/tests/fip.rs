//! Floating IPs: stateless where the addresses decide alone, with sessions where they do not.

use super::{
    frame::*,
    gateway::{Gateway, Side::*},
};

fn fip() -> Gateway {
    let mut gateway = Gateway::new();
    gateway.0.rules.fip("203.0.113.9", "10.0.0.9");
    gateway
}

#[test]
fn every_protocol_and_every_segment_crosses_without_state() {
    let gateway = fip();
    gateway.table(&[
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.9:22", SYN), "internal fip_in 8.8.8.8:5000 > 10.0.0.9:22"),
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.9:22", RST), "internal fip_in 8.8.8.8:5000 > 10.0.0.9:22"),
        (Outside, udp("8.8.8.8:5000 > 203.0.113.9:22"), "internal fip_in 8.8.8.8:5000 > 10.0.0.9:22"),
        (Outside, echo("8.8.8.8 > 203.0.113.9", 0), "internal fip_in 8.8.8.8 > 10.0.0.9 id 0"),
        (Outside, echo_reply("8.8.8.8 > 203.0.113.9", 7), "internal fip_in 8.8.8.8 > 10.0.0.9 id 7"),
        (Outside, raw(GRE, "8.8.8.8 > 203.0.113.9"), "internal fip_in 8.8.8.8 > 10.0.0.9"),
        (Outside, raw(132, "8.8.8.8 > 203.0.113.9"), "internal fip_in 8.8.8.8 > 10.0.0.9"),
        (Vpc, tcp("10.0.0.9:22 > 8.8.8.8:5000", FIN), "external fip_out 203.0.113.9:22 > 8.8.8.8:5000"),
        (Vpc, udp("10.0.0.9:22 > 8.8.8.8:5000"), "external fip_out 203.0.113.9:22 > 8.8.8.8:5000"),
        (Vpc, echo_reply("10.0.0.9 > 8.8.8.8", 0), "external fip_out 203.0.113.9 > 8.8.8.8 id 0"),
        (Vpc, raw(50, "10.0.0.9 > 8.8.8.8"), "external fip_out 203.0.113.9 > 8.8.8.8"),
    ]);
    assert_eq!(gateway.sessions(), 0);
}

#[test]
fn ip_options_are_kept() {
    fip().table(&[
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.9:22", SYN).options(), "internal fip_in 8.8.8.8:5000 > 10.0.0.9:22"),
        (Vpc, udp("10.0.0.9:22 > 8.8.8.8:5000").options(), "external fip_out 203.0.113.9:22 > 8.8.8.8:5000"),
    ]);
}

#[test]
fn two_eips_of_one_pod_each_answer_from_the_one_dialled_and_the_oldest_dials_out() {
    let mut gateway = fip();
    gateway.0.rules.fip("203.0.113.10", "10.0.0.9");
    gateway.table(&[
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.10:22", SYN), "internal fip_in 8.8.8.8:5000 > 10.0.0.9:22"),
        (Outside, tcp("8.8.8.8:5001 > 203.0.113.9:22", SYN), "internal fip_in 8.8.8.8:5001 > 10.0.0.9:22"),
        (Vpc, tcp("10.0.0.9:22 > 8.8.8.8:5000", SYN | ACK), "external fip_out 203.0.113.10:22 > 8.8.8.8:5000"),
        (Vpc, tcp("10.0.0.9:22 > 8.8.8.8:5001", SYN | ACK), "external fip_out 203.0.113.9:22 > 8.8.8.8:5001"),
        (Vpc, tcp("10.0.0.9:4000 > 8.8.8.8:443", SYN), "external fip_out 203.0.113.9:4000 > 8.8.8.8:443"),
        (Outside, echo("8.8.8.8 > 203.0.113.10", 7), "internal fip_in 8.8.8.8 > 10.0.0.9 id 7"),
        (Vpc, echo_reply("10.0.0.9 > 8.8.8.8", 7), "external fip_out 203.0.113.10 > 8.8.8.8 id 7"),
        (Outside, raw(GRE, "8.8.8.8 > 203.0.113.10"), "internal fip_in 8.8.8.8 > 10.0.0.9"),
        (Vpc, raw(GRE, "10.0.0.9 > 8.8.8.8"), "external fip_out 203.0.113.10 > 8.8.8.8"),
    ]);
    assert_eq!(gateway.sessions(), 5);
}

#[test]
fn on_a_shared_eip_the_pod_and_the_snat_clients_never_get_one_port_towards_one_peer() {
    let mut gateway = fip();
    gateway.0.rules.snat("10.0.0.0/24", &["203.0.113.9"]);
    gateway.table(&[
        (Outside, udp("8.8.8.8:53 > 203.0.113.9:4000"), "internal fip_in 8.8.8.8:53 > 10.0.0.9:4000"),
        (Vpc, udp("10.0.0.9:4001 > 8.8.8.8:53"), "external fip_out 203.0.113.9:4001 > 8.8.8.8:53"),
    ]);
    for taken in [4000, 4001] {
        let out = gateway.vpc(&udp(&format!("10.0.0.5:{taken} > 8.8.8.8:53")));
        assert_ne!(out.source_port(), taken);
        let back = format!("8.8.8.8:53 > 203.0.113.9:{}", out.source_port());
        let said = format!("internal snat_in 8.8.8.8:53 > 10.0.0.5:{taken}");
        assert_eq!(gateway.outside(&udp(&back)), said.as_str());
    }
    gateway.table(&[
        (Vpc, udp("10.0.0.9:4000 > 8.8.8.8:53"), "external fip_out 203.0.113.9:4000 > 8.8.8.8:53"),
        (Vpc, udp("10.0.0.6:4002 > 8.8.8.8:53"), "external snat_out 203.0.113.9:4002 > 8.8.8.8:53"),
    ]);
    // The pod's own flow gives way as well.
    let out = gateway.vpc(&udp("10.0.0.9:4002 > 8.8.8.8:53"));
    assert_ne!(out.source_port(), 4002);
    let back = format!("8.8.8.8:53 > 203.0.113.9:{}", out.source_port());
    assert_eq!(gateway.outside(&udp(&back)), "internal fip_in 8.8.8.8:53 > 10.0.0.9:4002");
}

#[test]
fn on_a_shared_eip_the_pod_keeps_a_port_that_a_shadowed_mapping_names() {
    let mut gateway = Gateway::new();
    gateway.0.rules.fip("203.0.113.9", "10.0.0.9");
    gateway.0.rules.fip("203.0.113.11", "10.0.0.11");
    gateway.0.rules.dnat(6, "203.0.113.9:80 > 10.0.0.8:8080");
    let served = tcp("10.0.0.9:80 > 8.8.8.8:5000", ACK);
    gateway.table(&[(Vpc, served.clone(), "external fip_out 203.0.113.9:80 > 8.8.8.8:5000")]);
    assert_eq!(gateway.sessions(), 0);
    // The connection goes on when its EIP begins to hand out ports, and now needs a session.
    gateway.0.rules.snat("10.0.0.0/24", &["203.0.113.9"]);
    gateway.table(&[
        (Vpc, served, "external fip_out 203.0.113.9:80 > 8.8.8.8:5000"),
        (Vpc, tcp("10.0.0.9:80 > 203.0.113.11:5000", SYN), "internal hairpin_out 203.0.113.9:80 > 10.0.0.11:5000"),
    ]);
    let other = gateway.vpc(&tcp("10.0.0.5:80 > 8.8.4.4:5000", SYN));
    assert_ne!(other.source_port(), 80, "the mapping's port is not for SNAT");
}

#[test]
fn on_a_shared_eip_what_cannot_begin_a_session_still_belongs_to_the_pod() {
    let mut gateway = fip();
    gateway.0.rules.snat("10.0.0.0/24", &["203.0.113.9"]);
    gateway.table(&[
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.9:22", RST), "internal fip_in 8.8.8.8:5000 > 10.0.0.9:22"),
        (Outside, echo_reply("8.8.8.8 > 203.0.113.9", 7), "internal fip_in 8.8.8.8 > 10.0.0.9 id 7"),
        (Vpc, tcp("10.0.0.9:22 > 8.8.8.8:5000", FIN), "external fip_out 203.0.113.9:22 > 8.8.8.8:5000"),
        (Vpc, echo_reply("10.0.0.9 > 8.8.8.8", 7), "external fip_out 203.0.113.9 > 8.8.8.8 id 7"),
    ]);
    assert_eq!(gateway.sessions(), 0);
}

#[test]
fn a_pod_without_sessions_follows_its_new_eip_at_once() {
    let mut gateway = fip();
    gateway.table(&[(Vpc, udp("10.0.0.9:1 > 8.8.8.8:2"), "external fip_out 203.0.113.9:1 > 8.8.8.8:2")]);
    gateway.0.rules.remove_fip("203.0.113.9");
    gateway.0.rules.fip("203.0.113.11", "10.0.0.9");
    gateway.table(&[
        (Vpc, udp("10.0.0.9:1 > 8.8.8.8:2"), "external fip_out 203.0.113.11:1 > 8.8.8.8:2"),
        (Outside, udp("8.8.8.8:2 > 203.0.113.9:1"), "pass pass_external"),
    ]);
}

#[test]
fn a_port_mapping_that_the_floating_ip_shadows_takes_no_port_from_the_pod() {
    let mut gateway = fip();
    gateway.0.rules.dnat(6, "203.0.113.9:80 > 10.0.0.7:8080");
    gateway.0.rules.fip("203.0.113.8", "10.0.0.8");
    let (came, peer) = (tcp("8.8.8.8:5000 > 203.0.113.9:80", SYN), tcp("10.0.0.8:5000 > 203.0.113.9:80", SYN));
    gateway.table(&[
        (Outside, came, "internal fip_in 8.8.8.8:5000 > 10.0.0.9:80"),
        (Vpc, peer, "internal hairpin_out 203.0.113.8:5000 > 10.0.0.9:80"),
    ]);
    // Both connections began without sessions; from now on they need them.
    gateway.0.rules.snat("10.0.0.0/24", &["203.0.113.9"]);
    gateway.table(&[
        (Vpc, tcp("10.0.0.9:80 > 8.8.8.8:5000", ACK), "external fip_out 203.0.113.9:80 > 8.8.8.8:5000"),
        (Vpc, tcp("10.0.0.9:80 > 203.0.113.8:5000", ACK), "internal hairpin_out 203.0.113.9:80 > 10.0.0.8:5000"),
    ]);
}

#[test]
fn on_a_shared_eip_nothing_of_the_pod_leaves_with_the_tuple_of_an_snat_client() {
    let mut gateway = fip();
    gateway.0.rules.snat("10.0.0.0/24", &["203.0.113.9"]);
    let of_the_pod = |flags| tcp("10.0.0.9:4000 > 8.8.8.8:80", flags);
    gateway.table(&[
        (Vpc, tcp("10.0.0.5:4000 > 8.8.8.8:80", SYN), "external snat_out 203.0.113.9:4000 > 8.8.8.8:80"),
        (Vpc, raw(GRE, "10.0.0.5 > 8.8.8.8"), "external snat_out 203.0.113.9 > 8.8.8.8"),
        (Vpc, of_the_pod(RST), "drop no_session"),
        (Vpc, of_the_pod(FIN | ACK), "drop no_session"),
        (Vpc, of_the_pod(ACK).first_fragment(), "drop fragment"),
        (Vpc, raw(GRE, "10.0.0.9 > 8.8.8.8").first_fragment(), "drop fragment"),
        (Vpc, raw(GRE, "10.0.0.9 > 8.8.8.8").later_fragment(), "drop fragment"),
    ]);
    gateway.seconds(601);
    gateway.table(&[
        (Vpc, of_the_pod(RST), "external fip_out 203.0.113.9:4000 > 8.8.8.8:80"),
        (Vpc, of_the_pod(ACK).first_fragment(), "external fip_out 203.0.113.9:4000 > 8.8.8.8:80"),
    ]);
}

#[test]
fn a_reset_of_the_pod_does_not_leave_with_the_port_of_its_own_other_connection() {
    let mut gateway = fip();
    gateway.0.rules.snat("10.0.0.0/24", &["203.0.113.9"]);
    gateway.vpc(&tcp("10.0.0.5:4000 > 8.8.8.8:80", SYN));
    let port = gateway.vpc(&tcp("10.0.0.9:4000 > 8.8.8.8:80", SYN)).source_port();
    assert_eq!(gateway.vpc(&tcp(&format!("10.0.0.9:{port} > 8.8.8.8:80"), RST)), "drop no_session");
}
