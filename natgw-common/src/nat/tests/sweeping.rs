//! The sweeper: what user space proposes is checked again.

use super::{
    frame::*,
    gateway::{Gateway, Side::*},
    world::SECOND,
};
use crate::{
    abi::{Session, SessionStat, SweepItem, SweepOp},
    nat::sweep,
};

const OUT: &str = "10.0.0.5:4000 > 8.8.8.8:53";
const SENT: &str = "external snat_out 203.0.113.1:4000 > 8.8.8.8:53";

fn one_session() -> (Gateway, SweepItem) {
    let gateway = Gateway::with_snat();
    gateway.table(&[(Vpc, udp(OUT), SENT)]);
    let (key, session) = gateway.0.dump()[0];
    (gateway, SweepItem { key, created_ns: session.created_ns })
}

#[test]
fn an_expired_session_goes_with_its_index_entry() {
    let (gateway, item) = one_session();
    gateway.seconds(301);
    assert!(sweep(&gateway.0, SweepOp::Expired, &item));
    assert_eq!(gateway.sessions(), 0);
    assert_eq!((gateway.stat(SessionStat::Swept), gateway.stat(SessionStat::Ended)), (1, 0));
    assert!(!sweep(&gateway.0, SweepOp::Expired, &item), "only once");
    assert_eq!(gateway.stat(SessionStat::Swept), 1);
}

#[test]
fn a_session_refreshed_since_it_was_proposed_stays() {
    let (gateway, item) = one_session();
    gateway.seconds(300);
    gateway.table(&[(Vpc, udp(OUT), SENT)]);
    gateway.seconds(300);
    assert!(!sweep(&gateway.0, SweepOp::Expired, &item));
    assert_eq!(gateway.sessions(), 1);
}

#[test]
fn a_younger_session_under_the_same_key_stays() {
    for op in [SweepOp::Expired, SweepOp::Ended] {
        let (gateway, item) = one_session();
        gateway.seconds(301);
        gateway.table(&[(Vpc, udp(OUT), SENT)]);
        assert!(!sweep(&gateway.0, op, &item));
        assert_eq!(gateway.sessions(), 1);
    }
}

#[test]
fn a_session_whose_rule_is_gone_ends_however_lively_it_is() {
    let (gateway, item) = one_session();
    assert!(sweep(&gateway.0, SweepOp::Ended, &item));
    assert_eq!(gateway.sessions(), 0);
    assert_eq!((gateway.stat(SessionStat::Swept), gateway.stat(SessionStat::Ended)), (0, 1));
}

#[test]
fn a_session_that_is_not_there_is_not_removed() {
    let (gateway, mut item) = one_session();
    item.key.ext_port = [9, 9];
    assert!(!sweep(&gateway.0, SweepOp::Ended, &item));
}

#[test]
fn a_removal_that_stopped_half_way_is_finished_later_but_not_while_it_may_be_running() {
    let (gateway, item) = one_session();
    gateway.0.set_last_seen(&item.key, (1000 * SECOND) | Session::DEAD);
    assert!(!sweep(&gateway.0, SweepOp::Expired, &item));
    assert!(!sweep(&gateway.0, SweepOp::Ended, &item));
    // The dead session translates nothing, and its tuple is not free yet.
    gateway.table(&[(Outside, udp("8.8.8.8:53 > 203.0.113.1:4000"), "pass pass_external")]);
    gateway.seconds(1);
    assert!(sweep(&gateway.0, SweepOp::Expired, &item));
    assert_eq!(gateway.sessions(), 0);
}

#[test]
fn a_new_flow_also_finishes_a_removal_that_stopped_half_way() {
    let (gateway, item) = one_session();
    gateway.0.set_last_seen(&item.key, (1000 * SECOND) | Session::DEAD);
    gateway.seconds(2);
    gateway.table(&[(Vpc, udp(OUT), SENT)]);
    assert_eq!(gateway.sessions(), 1);
}
