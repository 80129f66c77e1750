//! ICMP errors from the VPC: about packets from outside, and about hairpinned ones in both directions.

use super::{frame::*, gateway::Gateway, gateway::Side::*};

fn gateway() -> Gateway {
    let mut gateway = Gateway::with_snat();
    gateway.0.rules.fip("203.0.113.8", "10.0.0.8");
    gateway.0.rules.fip("203.0.113.9", "10.0.0.9");
    gateway.0.rules.dnat(6, "203.0.113.7:80 > 10.0.0.7:8080");
    gateway
}

/// The pod that got `delivered` (which was sent as `sent`) complains about it; the sender must see its own packet and
/// an error that comes `from` the address it knows.
fn the_sender_sees_its_own_packet(gateway: &Gateway, (sent, delivered): (&Frame, &Frame), from: &str) {
    let to = delivered.parse().ip;
    let text = format!("{} > {}", std::net::Ipv4Addr::from(to.dst), std::net::Ipv4Addr::from(to.src));
    for count in [None, Some(8), Some(20)] {
        let quote = |frame: &Frame| count.map_or(frame.ip().to_vec(), |count| frame.quote(count).to_vec());
        let out = gateway.vpc(&error(3, 3, &text, &quote(delivered)));
        let arrived = out.frame();
        assert!(out.said.contains(" icmp_error_out "), "{}", out.said);
        let packet = arrived.parse();
        assert_eq!((packet.ip.src, packet.ip.dst), (addr(from), sent.parse().ip.src), "{sent}");
        assert_eq!(&arrived.ip()[28..], quote(&sent.ttl(63)), "{sent}");
    }
}

#[test]
fn about_what_came_from_outside() {
    let gateway = gateway();
    gateway.vpc(&udp("10.0.0.5:4000 > 8.8.8.8:53"));
    gateway.vpc(&echo("10.0.0.5 > 8.8.8.8", 7));
    for (sent, from) in [
        (udp("8.8.8.8:53 > 203.0.113.1:4000"), "203.0.113.1"),
        (udp("8.8.8.8:53 > 203.0.113.1:4000").options(), "203.0.113.1"),
        (udp("8.8.8.8:53 > 203.0.113.1:4000").without_udp_checksum(), "203.0.113.1"),
        (echo_reply("8.8.8.8 > 203.0.113.1", 7), "203.0.113.1"),
        (tcp("8.8.8.8:5000 > 203.0.113.7:80", SYN), "203.0.113.7"),
        (udp("8.8.8.8:53 > 203.0.113.8:4000"), "203.0.113.8"),
        (udp("8.8.8.8:53 > 203.0.113.8:4000").later_fragment(), "203.0.113.8"),
        (echo("8.8.8.8 > 203.0.113.9", 7), "203.0.113.9"),
        (raw(GRE, "8.8.8.8 > 203.0.113.9"), "203.0.113.9"),
    ] {
        let delivered = gateway.outside(&sent).frame();
        the_sender_sees_its_own_packet(&gateway, (&sent, &delivered), from);
    }
}

#[test]
fn about_what_came_to_a_floating_ip_that_needs_sessions() {
    let mut gateway = gateway();
    gateway.0.rules.fip("203.0.113.10", "10.0.0.9");
    for eip in ["203.0.113.9", "203.0.113.10"] {
        for sent in [
            udp(&format!("8.8.8.8:{} > {eip}:53", if eip.ends_with('9') { 5 } else { 6 })),
            echo(&format!("8.8.4.4 > {eip}"), if eip.ends_with('9') { 5 } else { 6 }),
        ] {
            let delivered = gateway.outside(&sent).frame();
            the_sender_sees_its_own_packet(&gateway, (&sent, &delivered), eip);
        }
    }
}

#[test]
fn a_router_inside_the_vpc_is_hidden_behind_the_eip() {
    let gateway = gateway();
    let delivered = gateway.outside(&tcp("8.8.8.8:5000 > 203.0.113.7:80", SYN)).frame();
    gateway.table(&[(
        Vpc,
        error(3, 1, "10.0.0.254 > 8.8.8.8", delivered.ip()),
        "external icmp_error_out 203.0.113.7 > 8.8.8.8 error 3/1 [8.8.8.8:5000 > 203.0.113.7:80]",
    )]);
}

#[test]
fn about_a_hairpinned_packet_on_its_way_to_the_server() {
    let gateway = gateway();
    for (sent, from) in [
        (tcp("10.0.0.5:4000 > 203.0.113.7:80", SYN), "203.0.113.7"),
        (tcp("10.0.0.8:4000 > 203.0.113.7:80", SYN), "203.0.113.7"),
        (udp("10.0.0.5:4000 > 203.0.113.9:53"), "203.0.113.9"),
        (udp("10.0.0.5:4001 > 203.0.113.9:53").without_udp_checksum(), "203.0.113.9"),
        (echo("10.0.0.5 > 203.0.113.9", 0), "203.0.113.9"),
        // Between two floating IPs, without a session.
        (udp("10.0.0.8:4000 > 203.0.113.9:53"), "203.0.113.9"),
        (echo("10.0.0.8 > 203.0.113.9", 7), "203.0.113.9"),
        (raw(GRE, "10.0.0.8 > 203.0.113.9"), "203.0.113.9"),
    ] {
        let delivered = gateway.vpc(&sent).frame();
        the_sender_sees_its_own_packet(&gateway, (&sent, &delivered), from);
    }
}

#[test]
fn about_a_hairpinned_reply_on_its_way_to_the_client() {
    let gateway = gateway();
    gateway.vpc(&tcp("10.0.0.5:4000 > 203.0.113.7:80", SYN));
    gateway.vpc(&tcp("10.0.0.8:4000 > 203.0.113.7:80", SYN));
    gateway.vpc(&echo("10.0.0.5 > 203.0.113.9", 0));
    for (sent, from) in [
        (tcp("10.0.0.7:8080 > 203.0.113.7:4000", ACK), "203.0.113.7"),
        (tcp("10.0.0.7:8080 > 203.0.113.8:4000", ACK), "203.0.113.8"),
        (echo_reply("10.0.0.9 > 203.0.113.9", 0), "203.0.113.9"),
        (udp("10.0.0.9:53 > 203.0.113.8:4000"), "203.0.113.8"),
    ] {
        let delivered = gateway.vpc(&sent).frame();
        the_sender_sees_its_own_packet(&gateway, (&sent, &delivered), from);
    }
}

#[test]
fn a_hairpinned_error_whose_ttl_ends_here_is_dropped_and_counted() {
    let gateway = gateway();
    let delivered = gateway.vpc(&tcp("10.0.0.5:4000 > 203.0.113.7:80", SYN)).frame();
    let complaint = error(3, 3, "10.0.0.7 > 203.0.113.7", delivered.ip()).ttl(1);
    gateway.table(&[(Vpc, complaint, "drop hairpin_ttl")]);
}

#[test]
fn an_error_about_no_session_never_leaves_with_a_private_source() {
    gateway().table(&[
        (Vpc, error(3, 3, "10.0.0.5 > 8.8.8.8", udp("8.8.8.8:53 > 10.0.0.5:9").ip()), "drop icmp_error_no_session"),
        (Vpc, error(3, 3, "10.0.0.5 > 8.8.8.8", udp("8.8.8.8:53 > 9.9.9.9:9").ip()), "drop icmp_error_no_session"),
        (Vpc, error(3, 3, "10.0.0.8 > 8.8.8.8", udp("8.8.8.8:53 > 9.9.9.9:9").ip()), "drop icmp_error_no_session"),
        // Where no rule would translate the pod at all, the kernel forwards it as it would without us.
        (Vpc, error(3, 3, "10.7.0.5 > 8.8.8.8", udp("8.8.8.8:53 > 10.7.0.5:9").ip()), "pass pass_internal"),
        (Vpc, error(3, 3, "10.0.0.5 > 10.1.0.5", udp("10.1.0.5:53 > 10.0.0.5:9").ip()), "pass pass_internal"),
        (Vpc, error(3, 3, "10.0.0.5 > 203.0.113.1", udp("203.0.113.1:53 > 10.0.0.5:9").ip()), "pass pass_internal"),
    ]);
}

#[test]
fn an_unmatched_error_is_dropped_when_asked_to() {
    let mut gateway = gateway();
    gateway.drop_unmatched();
    let unmatched = error(3, 3, "10.7.0.5 > 8.8.8.8", udp("8.8.8.8:53 > 10.7.0.5:9").ip());
    gateway.table(&[(Vpc, unmatched, "drop unmatched")]);
}

#[test]
fn a_malformed_error_for_the_outside_is_dropped_and_one_inside_the_vpc_is_none_of_our_business() {
    let inner = error(3, 1, "8.8.8.8 > 10.0.0.5", udp("10.0.0.5:1 > 8.8.8.8:2").ip());
    gateway().table(&[
        (Vpc, error(3, 1, "10.0.0.5 > 8.8.8.8", inner.ip()), "drop icmp_error_malformed"),
        (Vpc, error(3, 1, "10.0.0.5 > 8.8.8.8", &[]), "drop icmp_error_malformed"),
        (Vpc, error(3, 1, "10.0.0.5 > 10.1.0.5", &[]), "pass pass_internal"),
    ]);
}

#[test]
fn an_error_neither_refreshes_nor_ends_a_session() {
    let gateway = gateway();
    let delivered = gateway.outside(&tcp("8.8.8.8:5000 > 203.0.113.7:80", SYN)).frame();
    let before = gateway.0.dump();
    gateway.seconds(100);
    gateway.vpc(&error(3, 3, "10.0.0.7 > 8.8.8.8", delivered.ip()));
    assert_eq!(gateway.0.dump(), before);
}

#[test]
fn a_complaint_to_somebody_else_than_who_sent_what_it_quotes_is_forged() {
    let gateway = gateway();
    let quoted = udp("8.8.8.8:53 > 10.0.0.8:4000");
    for from in ["10.0.0.8", "10.7.0.254"] {
        let complaint = error(3, 3, &format!("{from} > 8.8.4.4"), quoted.ip());
        assert_eq!(gateway.vpc(&complaint), "drop icmp_error_no_session", "{from}");
    }
}
