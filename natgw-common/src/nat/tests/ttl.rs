//! TTL: one less on the way, and where it ends the kernel answers with addresses the sender knows.

use super::{
    frame::*,
    gateway::{Gateway, Side::*},
};

fn gateway() -> Gateway {
    let mut gateway = Gateway::with_snat();
    gateway.0.rules.fip("203.0.113.8", "10.0.0.8");
    gateway.0.rules.fip("203.0.113.9", "10.0.0.9");
    gateway.0.rules.dnat(6, "203.0.113.7:80 > 10.0.0.7:8080");
    gateway
}

#[test]
fn every_translated_packet_loses_one() {
    let gateway = gateway();
    for out in [
        gateway.vpc(&udp("10.0.0.5:4000 > 8.8.8.8:53")),
        gateway.vpc(&udp("10.0.0.8:4000 > 8.8.8.8:53")),
        gateway.vpc(&udp("10.0.0.8:4000 > 203.0.113.9:53")),
        gateway.outside(&udp("8.8.8.8:53 > 203.0.113.1:4000")),
        gateway.outside(&tcp("8.8.8.8:53 > 203.0.113.7:80", SYN)),
        gateway.outside(&udp("8.8.8.8:53 > 203.0.113.8:4000")),
    ] {
        assert_eq!(out.frame().parse().ip.ttl, 63, "{}", out.said);
    }
}

#[test]
fn outbound_the_sender_is_answered_about_the_packet_it_sent_and_no_session_is_made() {
    for ttl in [0, 1] {
        let gateway = gateway();
        gateway.table(&[
            (Vpc, udp("10.0.0.5:4000 > 8.8.8.8:53").ttl(ttl), "pass pass_kernel_answers"),
            (Vpc, udp("10.0.0.8:4000 > 8.8.8.8:53").ttl(ttl), "pass pass_kernel_answers"),
            (Vpc, udp("10.0.0.8:4000 > 8.8.8.8:53").first_fragment().ttl(ttl), "pass pass_kernel_answers"),
            (Vpc, echo("10.0.0.5 > 8.8.8.8", 7).ttl(ttl), "pass pass_kernel_answers"),
        ]);
        assert_eq!(gateway.sessions(), 0);
    }
}

#[test]
fn outbound_a_known_session_is_no_exception() {
    gateway().table(&[
        (Vpc, udp("10.0.0.5:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.1:4000 > 8.8.8.8:53"),
        (Vpc, udp("10.0.0.5:4000 > 8.8.8.8:53").ttl(1), "pass pass_kernel_answers"),
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.7:80", SYN), "internal dnat_in 8.8.8.8:5000 > 10.0.0.7:8080"),
        (Vpc, tcp("10.0.0.7:8080 > 8.8.8.8:5000", ACK).ttl(1), "pass pass_kernel_answers"),
    ]);
}

#[test]
fn inbound_the_kernel_gets_it_translated_with_the_ttl_it_came_with() {
    let gateway = gateway();
    gateway.table(&[
        (Vpc, udp("10.0.0.5:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.1:4000 > 8.8.8.8:53"),
        (Outside, udp("8.8.8.8:53 > 203.0.113.1:4000").ttl(1), "kernel snat_in 8.8.8.8:53 > 10.0.0.5:4000"),
        (Outside, tcp("8.8.8.8:5 > 203.0.113.7:80", SYN).ttl(1), "kernel dnat_in 8.8.8.8:5 > 10.0.0.7:8080"),
        (Outside, udp("8.8.8.8:53 > 203.0.113.8:4000").ttl(1), "kernel fip_in 8.8.8.8:53 > 10.0.0.8:4000"),
        (Outside, udp("8.8.8.8:53 > 203.0.113.8:4000").later_fragment().ttl(1), "kernel fip_in 8.8.8.8 > 10.0.0.8"),
    ]);
    assert_eq!(gateway.outside(&udp("8.8.8.8:5 > 203.0.113.8:4").ttl(1)).frame().parse().ip.ttl, 1);
}

#[test]
fn what_the_kernel_says_about_it_shows_the_sender_its_own_packet() {
    let gateway = gateway();
    gateway.vpc(&udp("10.0.0.5:4000 > 8.8.8.8:53"));
    for sent in [
        udp("8.8.8.8:53 > 203.0.113.1:4000").ttl(1),
        tcp("8.8.8.8:5000 > 203.0.113.7:80", SYN).ttl(1),
        udp("8.8.8.8:53 > 203.0.113.8:4000").ttl(1),
        echo("8.8.8.8 > 203.0.113.9", 7).ttl(1),
        raw(GRE, "8.8.8.8 > 203.0.113.9").ttl(1),
    ] {
        let delivered = gateway.outside(&sent).frame();
        let own = gateway.own_error(&error(11, 0, "10.0.0.1 > 8.8.8.8", delivered.ip()));
        let eip = sent.parse().ip.dst;
        assert_eq!(own.parse().ip.src, eip, "{sent}");
        assert_eq!(&own.ip()[28..], sent.ip(), "{sent}");
    }
}

#[test]
fn the_kernels_errors_about_other_packets_stay_as_they_are() {
    let gateway = gateway();
    for quoted in ["8.8.8.8:53 > 203.0.113.1:4000", "8.8.8.8:53 > 10.3.0.1:4000"] {
        let sent = error(3, 3, "203.0.113.1 > 8.8.8.8", udp(quoted).ip());
        assert_eq!(gateway.own_error(&sent), sent);
    }
}

#[test]
fn a_hairpinned_packet_ends_here_and_is_counted() {
    gateway().table(&[
        (Vpc, tcp("10.0.0.8:4000 > 203.0.113.9:22", SYN).ttl(1), "drop hairpin_ttl"),
        (Vpc, tcp("10.0.0.5:4000 > 203.0.113.7:80", SYN).ttl(1), "drop hairpin_ttl"),
        (Vpc, tcp("10.0.0.5:4000 > 203.0.113.7:80", SYN), "internal hairpin_out 203.0.113.7:4000 > 10.0.0.7:8080"),
        (Vpc, tcp("10.0.0.5:4000 > 203.0.113.7:80", ACK).ttl(1), "drop hairpin_ttl"),
        (Vpc, tcp("10.0.0.7:8080 > 203.0.113.7:4000", ACK).ttl(1), "drop hairpin_ttl"),
        (Vpc, udp("10.0.0.8:4000 > 203.0.113.9:22").later_fragment().ttl(1), "drop hairpin_ttl"),
        // To the gateway itself it has arrived.
        (Vpc, echo("10.0.0.5 > 203.0.113.7", 7).ttl(1), "pass pass_internal"),
    ]);
}

#[test]
fn between_vpc_subnets_the_kernel_does_it_all() {
    gateway().table(&[(Vpc, udp("10.0.0.5:4000 > 10.1.0.5:53").ttl(1), "pass pass_internal")]);
}
