//! Full maps: new flows are refused, live ones are not touched, and nothing is left half-made.

use super::{
    frame::*,
    gateway::{Gateway, Side::*},
};
use crate::abi::SessionStat;

fn one_client() -> Gateway {
    let mut gateway = Gateway::with_snat();
    gateway.0.rules.dnat(6, "203.0.113.1:80 > 10.0.0.8:8080");
    gateway.table(&[(Vpc, udp("10.0.0.5:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.1:4000 > 8.8.8.8:53")]);
    gateway
}

fn refuses(gateway: &Gateway) {
    gateway.table(&[
        (Vpc, udp("10.0.0.6:4000 > 8.8.8.8:53"), "drop table_full"),
        (Vpc, tcp("10.0.0.6:4000 > 203.0.113.1:80", SYN), "drop table_full"),
        (Outside, tcp("8.8.8.8:5000 > 203.0.113.1:80", SYN), "drop table_full"),
        (Vpc, udp("10.0.0.5:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.1:4000 > 8.8.8.8:53"),
        (Outside, udp("8.8.8.8:53 > 203.0.113.1:4000"), "internal snat_in 8.8.8.8:53 > 10.0.0.5:4000"),
    ]);
    assert_eq!(gateway.stat(SessionStat::RefusedTableFull), 3);
    assert_eq!(gateway.stat(SessionStat::Created), 1);
    assert_eq!(gateway.sessions(), 1);
}

#[test]
fn a_full_session_map_refuses_new_flows() {
    let mut gateway = one_client();
    gateway.0.max_sessions = 1;
    refuses(&gateway);
}

#[test]
fn a_full_index_refuses_new_flows_and_takes_their_claim_back() {
    let mut gateway = one_client();
    gateway.0.max_flows = 1;
    refuses(&gateway);
}

#[test]
fn in_a_full_table_an_expired_session_of_the_same_tuple_is_replaced() {
    let mut gateway = one_client();
    (gateway.0.max_sessions, gateway.0.max_flows) = (1, 1);
    gateway.seconds(301);
    gateway.table(&[(Vpc, udp("10.0.0.6:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.1:4000 > 8.8.8.8:53")]);
    assert_eq!(gateway.stat(SessionStat::Reclaimed), 1);
    assert_eq!(gateway.sessions(), 1);
}

#[test]
fn in_a_full_table_the_same_flow_comes_back_after_it_expired() {
    let mut gateway = one_client();
    (gateway.0.max_sessions, gateway.0.max_flows) = (1, 1);
    gateway.seconds(301);
    gateway.table(&[(Vpc, udp("10.0.0.5:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.1:4000 > 8.8.8.8:53")]);
    assert_eq!(gateway.sessions(), 1);
}

#[test]
fn a_floating_ip_does_not_mind() {
    let mut gateway = one_client();
    gateway.0.max_sessions = 1;
    gateway.0.rules.fip("203.0.113.9", "10.0.0.9");
    gateway.table(&[(Vpc, udp("10.0.0.9:4000 > 8.8.8.8:53"), "external fip_out 203.0.113.9:4000 > 8.8.8.8:53")]);
}
