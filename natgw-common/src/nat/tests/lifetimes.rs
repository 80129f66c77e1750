//! How long sessions live and what keeps them alive.

use super::{
    frame::*,
    gateway::{Gateway, Side::*},
    world::SECOND,
};
use crate::{
    abi::{SessionStat, Timeouts},
    nat::{expired, idle_limit},
    tcp_state::TcpState::{self, *},
};

const OUT: &str = "10.0.0.5:4000 > 8.8.8.8:80";
const BACK: &str = "8.8.8.8:80 > 203.0.113.1:4000";
const SENT: &str = "external snat_out 203.0.113.1:4000 > 8.8.8.8:80";
const CAME: &str = "internal snat_in 8.8.8.8:80 > 10.0.0.5:4000";

fn established() -> Gateway {
    let gateway = Gateway::with_snat();
    gateway.table(&[(Vpc, tcp(OUT, SYN), SENT), (Outside, tcp(BACK, SYN | ACK), CAME), (Vpc, tcp(OUT, ACK), SENT)]);
    gateway
}

fn closed() -> Gateway {
    let gateway = established();
    gateway.table(&[
        (Vpc, tcp(OUT, FIN | ACK), SENT),
        (Outside, tcp(BACK, FIN | ACK), CAME),
        (Vpc, tcp(OUT, ACK), SENT),
    ]);
    gateway
}

#[test]
fn each_protocol_and_state_has_its_limit() {
    let t = Timeouts {
        tcp_established_ns: 1,
        tcp_opening_ns: 2,
        tcp_closing_ns: 3,
        tcp_transitory_ns: 4,
        udp_ns: 5,
        icmp_ns: 6,
        other_ns: 7,
    };
    for (state, limit) in [
        (OpeningInternal, 2),
        (OpeningPeer, 2),
        (AnsweredByPeer, 2),
        (AnsweredByInternal, 2),
        (Established, 1),
        (FinInternal, 3),
        (FinPeer, 3),
        (Closed, 3),
        (Reset, 4),
    ] {
        assert_eq!(idle_limit(&t, 6, state as u32), limit, "{state:?}");
    }
    assert_eq!(idle_limit(&t, 6, 99), 2);
    assert_eq!([17, 1, 47, 0].map(|proto| idle_limit(&t, proto, 0)), [5, 6, 7, 7]);
}

#[test]
fn the_defaults_are_what_the_rfcs_ask_for() {
    let t = Timeouts::DEFAULT;
    assert!(t.tcp_established_ns >= (2 * 60 + 4) * 60 * SECOND, "RFC 5382 REQ-5");
    assert!(t.tcp_opening_ns.min(t.tcp_closing_ns).min(t.tcp_transitory_ns) >= 240 * SECOND, "RFC 7857 2.1 and 2.2");
    assert!(t.udp_ns >= 300 * SECOND, "RFC 4787 REQ-5c");
    assert!(t.icmp_ns >= 60 * SECOND, "RFC 5508 REQ-2");
}

#[test]
fn a_clock_that_runs_backwards_expires_nothing() {
    assert!(!expired(100, 10, 50));
    assert!(!expired(100, 10, 110));
    assert!(expired(100, 10, 111));
}

#[test]
fn an_expired_session_is_not_revived_from_outside() {
    let gateway = established();
    gateway.seconds(7441);
    gateway.table(&[(Outside, tcp(BACK, ACK), "pass pass_external"), (Outside, tcp(BACK, SYN), "pass pass_external")]);
    assert_eq!(gateway.0.dump()[0].1.last_seen_ns, 1000 * SECOND);
}

#[test]
fn an_expired_session_of_the_same_flow_is_replaced_and_counted() {
    let gateway = established();
    gateway.seconds(7441);
    gateway.table(&[(Vpc, tcp(OUT, SYN), SENT)]);
    assert_eq!(gateway.sessions(), 1);
    assert_eq!(gateway.0.dump()[0].1.created_ns, 8441 * SECOND);
    assert_eq!(gateway.stat(SessionStat::Reclaimed), 1);
    assert_eq!(gateway.stat(SessionStat::Created), 2);
}

#[test]
fn an_expired_session_of_another_pod_gives_up_its_port() {
    let gateway = established();
    gateway.seconds(7441);
    gateway.table(&[(Vpc, tcp("10.0.0.6:4000 > 8.8.8.8:80", SYN), SENT)]);
    assert_eq!(gateway.sessions(), 1);
    // And the first pod, back again, gets another.
    assert_ne!(gateway.vpc(&tcp(OUT, SYN)).source_port(), 4000);
    assert_eq!(gateway.sessions(), 2);
}

#[test]
fn both_directions_refresh_at_most_once_a_second() {
    let gateway = established();
    let seen = || gateway.0.dump()[0].1.last_seen_ns;
    let start = seen();
    gateway.0.pass_time(SECOND - 1);
    gateway.table(&[(Vpc, tcp(OUT, ACK), SENT), (Outside, tcp(BACK, ACK), CAME)]);
    assert_eq!(seen(), start, "not yet stale");
    gateway.0.pass_time(1);
    gateway.table(&[(Outside, tcp(BACK, ACK), CAME)]);
    assert_eq!(seen(), start + SECOND);
    gateway.0.pass_time(SECOND);
    gateway.table(&[(Vpc, tcp(OUT, ACK), SENT)]);
    assert_eq!(seen(), start + 2 * SECOND);
}

#[test]
fn an_opening_closing_or_reset_connection_expires_sooner() {
    let opening = Gateway::with_snat();
    opening.table(&[(Vpc, tcp(OUT, SYN), SENT)]);
    let fin = established();
    fin.table(&[(Vpc, tcp(OUT, FIN), SENT)]);
    let reset = established();
    reset.table(&[(Outside, tcp(BACK, RST), CAME)]);
    for (name, gateway) in [("opening", opening), ("fin", fin), ("closed", closed()), ("reset", reset)] {
        gateway.seconds(241);
        assert_eq!(gateway.outside(&tcp(BACK, ACK)), "pass pass_external", "{name}");
    }
}

#[test]
fn a_blind_reset_only_shortens_and_traffic_extends_again() {
    let gateway = established();
    gateway.table(&[(Outside, tcp(BACK, RST), CAME)]);
    gateway.seconds(239);
    gateway.table(&[(Vpc, tcp(OUT, ACK), SENT)]);
    gateway.seconds(7000);
    gateway.table(&[(Outside, tcp(BACK, ACK), CAME)]);
}

#[test]
fn a_syn_reopens_a_closed_or_reset_connection_in_place() {
    let reset = established();
    reset.table(&[(Outside, tcp(BACK, RST), CAME)]);
    for gateway in [closed(), reset] {
        gateway.table(&[(Vpc, tcp(OUT, SYN), SENT), (Outside, tcp(BACK, SYN | ACK), CAME)]);
        assert_eq!(gateway.stat(SessionStat::Reopened), 1);
        assert_eq!(gateway.stat(SessionStat::Created), 1);
        assert_eq!(gateway.0.dump()[0].1.state, TcpState::AnsweredByPeer as u32);
    }
}

#[test]
fn a_closed_connection_is_taken_over_only_as_the_last_resort() {
    let mut gateway = closed();
    (gateway.0.config.port_min, gateway.0.config.port_max) = (4001, 4001);
    let other = tcp("10.0.0.6:4000 > 8.8.8.8:80", SYN);
    gateway.table(&[(Vpc, other, "external snat_out 203.0.113.1:4001 > 8.8.8.8:80")]);
    assert_eq!(gateway.stat(SessionStat::Reclaimed), 0);
    gateway.table(&[(Vpc, tcp("10.0.0.7:4000 > 8.8.8.8:80", SYN), SENT)]);
    assert_eq!(gateway.stat(SessionStat::Reclaimed), 1);
    assert_eq!(gateway.sessions(), 2);
}

#[test]
fn an_open_half_closed_or_reset_connection_is_never_taken_over() {
    let half = established();
    half.table(&[(Vpc, tcp(OUT, FIN), SENT)]);
    let reset = established();
    reset.table(&[(Outside, tcp(BACK, RST), CAME)]);
    for mut gateway in [established(), half, reset] {
        (gateway.0.config.port_min, gateway.0.config.port_max) = (4000, 4000);
        gateway.table(&[(Vpc, tcp("10.0.0.6:4000 > 8.8.8.8:80", SYN), "drop no_port")]);
    }
}

#[test]
fn a_udp_session_lives_five_minutes_after_its_last_packet_in_either_direction() {
    let gateway = Gateway::with_snat();
    gateway.table(&[(Vpc, udp(OUT), SENT)]);
    for _ in 0..3 {
        gateway.seconds(300);
        gateway.table(&[(Outside, udp(BACK), CAME)]);
    }
    gateway.seconds(301);
    gateway.table(&[(Outside, udp(BACK), "pass pass_external")]);
}
