//! What may begin a session, and what must not leave with a private source.

use super::{
    frame::*,
    gateway::{Gateway, Side::*},
};

#[test]
fn a_fin_a_reset_or_an_echo_reply_of_no_session_is_dropped_and_leaves_no_trace() {
    let gateway = Gateway::with_snat();
    for flags in [FIN, FIN | ACK, RST, RST | ACK, SYN | RST] {
        assert_eq!(gateway.vpc(&tcp("10.0.0.5:4000 > 8.8.8.8:80", flags)), "drop no_session", "{flags:#x}");
    }
    assert_eq!(gateway.vpc(&echo_reply("10.0.0.5 > 8.8.8.8", 7)), "drop no_session");
    assert_eq!(gateway.vpc(&icmp(14, 0, "10.0.0.5 > 8.8.8.8", [0, 7, 0, 1], &[0; 12])), "drop no_session");
    assert_eq!(gateway.sessions(), 0);
}

#[test]
fn a_late_fin_does_not_make_the_next_flow_skip_translation() {
    let gateway = Gateway::with_snat();
    gateway.table(&[
        (Vpc, tcp("10.0.0.5:4000 > 8.8.8.8:80", FIN | ACK), "drop no_session"),
        (Vpc, tcp("10.0.0.5:4000 > 8.8.8.8:80", SYN), "external snat_out 203.0.113.1:4000 > 8.8.8.8:80"),
    ]);
}

#[test]
fn leftovers_from_outside_begin_nothing_at_a_port_mapping() {
    let mut gateway = Gateway::new();
    gateway.0.rules.dnat(6, "203.0.113.1:80 > 10.0.0.8:8080");
    for flags in [FIN | ACK, RST] {
        assert_eq!(gateway.outside(&tcp("8.8.8.8:5000 > 203.0.113.1:80", flags)), "drop no_session");
    }
    assert_eq!(gateway.sessions(), 0);
}

#[test]
fn a_flow_met_in_its_middle_is_picked_up() {
    Gateway::with_snat().table(&[
        (Vpc, tcp("10.0.0.5:4000 > 8.8.8.8:80", ACK), "external snat_out 203.0.113.1:4000 > 8.8.8.8:80"),
        (Outside, tcp("8.8.8.8:80 > 203.0.113.1:4000", ACK), "internal snat_in 8.8.8.8:80 > 10.0.0.5:4000"),
    ]);
}

#[test]
fn an_unknown_protocol_has_one_session_per_peer_and_a_second_pod_is_refused() {
    let gateway = Gateway::with_snat();
    gateway.table(&[
        (Vpc, raw(GRE, "10.0.0.5 > 8.8.8.8"), "external snat_out 203.0.113.1 > 8.8.8.8"),
        (Outside, raw(GRE, "8.8.8.8 > 203.0.113.1"), "internal snat_in 8.8.8.8 > 10.0.0.5"),
        (Vpc, raw(GRE, "10.0.0.6 > 8.8.8.8"), "drop unsupported_protocol"),
        (Vpc, raw(GRE, "10.0.0.6 > 8.8.4.4"), "external snat_out 203.0.113.1 > 8.8.4.4"),
        (Vpc, raw(50, "10.0.0.6 > 8.8.8.8"), "external snat_out 203.0.113.1 > 8.8.8.8"),
        (Outside, raw(GRE, "9.9.9.9 > 203.0.113.1"), "pass pass_external"),
    ]);
    assert_eq!(gateway.sessions(), 3);
}

#[test]
fn malformed_and_truncated_packets_are_dropped_on_either_side() {
    let gateway = Gateway::with_snat();
    let whole = udp("10.0.0.5:4000 > 8.8.8.8:53");
    let mut cut = whole.clone();
    cut.0.truncate(30);
    let mut six = whole.clone();
    six.0[14] = 0x65;
    let short = whole.with_ip(|_| ());
    let short = Frame(short.0[..14 + 20 + 4].to_vec()).with_ip(|_| ());
    for (frame, said) in [(cut, "drop malformed_ipv4"), (six, "drop malformed_ipv4"), (short, "drop truncated_l4")] {
        assert_eq!(gateway.vpc(&frame), said);
        assert_eq!(gateway.outside(&frame), said);
    }
}
