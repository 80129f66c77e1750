//! Claims of a tuple when the two maps disagree.

use super::{
    frame::*,
    gateway::{Gateway, Side::*},
};
use crate::{
    abi::{Session, SessionKey, SessionStat, SweepItem, SweepOp},
    nat::{Env, Inserted, SessionCell, claim::remove, sweep},
};

const OUT: &str = "10.0.0.5:4000 > 8.8.8.8:53";
const SENT: &str = "external snat_out 203.0.113.1:4000 > 8.8.8.8:53";

fn one_session() -> (Gateway, SessionKey) {
    let gateway = Gateway::with_snat();
    gateway.table(&[(Vpc, udp(OUT), SENT)]);
    let key = gateway.0.dump()[0].0;
    (gateway, key)
}

#[test]
fn a_lost_index_entry_is_repaired_by_the_next_packet() {
    let (gateway, _) = one_session();
    gateway.0.flows.lock().unwrap().clear();
    gateway.table(&[(Vpc, udp(OUT), SENT)]);
    assert_eq!(gateway.sessions(), 1);
    assert_eq!(gateway.stat(SessionStat::IndexRepaired), 1);
    assert_eq!(gateway.stat(SessionStat::Created), 1);
}

#[test]
fn an_index_entry_that_leads_nowhere_is_replaced() {
    let (gateway, key) = one_session();
    gateway.0.remove_session(&key);
    assert!(gateway.0.check_index().is_err());
    gateway.table(&[(Vpc, udp(OUT), SENT)]);
    assert_eq!(gateway.sessions(), 1);
}

#[test]
fn an_index_entry_that_leads_to_another_flow_is_not_believed() {
    let (gateway, key) = one_session();
    let flow = gateway.0.dump()[0].1.flow_key(&key);
    gateway.0.remove_session(&key);
    gateway.0.flows.lock().unwrap().clear();
    gateway.table(&[(Vpc, udp("10.0.0.6:4000 > 8.8.8.8:53"), SENT)]);
    gateway.0.flows.lock().unwrap().insert(flow, key);
    let complaint = error(3, 3, "10.0.0.5 > 8.8.8.8", udp("8.8.8.8:53 > 10.0.0.5:4000").ip());
    assert_eq!(gateway.vpc(&complaint), "drop icmp_error_no_session");
    let out = gateway.vpc(&udp(OUT));
    assert_ne!(out.source_port(), 4000, "that tuple is the other pod's");
    gateway.table(&[(Vpc, udp("10.0.0.6:4000 > 8.8.8.8:53"), SENT)]);
    assert_eq!(gateway.sessions(), 2);
}

#[test]
fn an_entry_whose_memory_now_holds_another_session_is_not_believed() {
    let (gateway, key) = one_session();
    let cell = gateway.0.session(&key).unwrap();
    gateway.0.remove_session(&key);
    gateway.table(&[(Vpc, udp("10.0.0.6:4000 > 8.8.4.4:53"), "external snat_out 203.0.113.1:4000 > 8.8.4.4:53")]);
    let reused = gateway.0.dump()[0].0;
    assert_eq!(cell.tag(), reused.tag(), "the fake reuses memory as the kernel does");
    assert_ne!(key.tag(), reused.tag());
    // Even within one tick of the coarse clock, when both were last seen at the same time.
    let before = gateway.0.dump();
    assert!(!remove(&gateway.0, &key, cell, cell.last_seen_ns()));
    assert_eq!(gateway.0.dump(), before);
}

#[test]
fn removing_an_old_session_of_a_flow_leaves_the_index_entry_of_its_younger_one() {
    let (gateway, key) = one_session();
    let old = gateway.0.dump()[0].1;
    let younger = SessionKey { ext_port: [9, 9], ..key };
    let session = Session { tag: younger.tag(), created_ns: old.created_ns + 1, ..old };
    assert_eq!(gateway.0.insert_session(&younger, &session), Inserted::Yes);
    gateway.0.flows.lock().unwrap().insert(old.flow_key(&key), younger);
    assert!(sweep(&gateway.0, SweepOp::Ended, &SweepItem { key, created_ns: old.created_ns }));
    assert_eq!(gateway.sessions(), 1);
    assert_eq!(gateway.vpc(&udp(OUT)).source_port(), 0x0909);
}

#[test]
fn an_index_entry_that_leads_elsewhere_is_mended_by_the_next_packet_of_its_flow() {
    let (gateway, key) = one_session();
    let flow = gateway.0.dump()[0].1.flow_key(&key);
    let elsewhere = SessionKey { ext_port: [9, 9], ..key };
    gateway.0.flows.lock().unwrap().insert(flow, elsewhere);
    gateway.seconds(200);
    gateway.table(&[(Vpc, udp(OUT), SENT)]);
    assert_eq!(gateway.sessions(), 1);
    assert_eq!(gateway.stat(SessionStat::IndexRepaired), 1);
    assert_eq!(gateway.0.dump()[0].1.last_seen_ns, gateway.0.now(), "the packet counts as one of the session");
}
