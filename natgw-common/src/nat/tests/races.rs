//! Two CPUs, every order of their accesses (up to three switches between them).

use super::{
    frame::*,
    gateway::{Gateway, Out},
    schedule::{interleave, plans},
};
use crate::{
    abi::{Session, SweepItem, SweepOp},
    nat::{Env, Tuple, sweep},
    wire::proto,
};

const STEPS: usize = 14;
/// For a packet that meets a session in its way and then an index entry.
const MORE_STEPS: usize = 20;

/// Runs both on every plan and hands each outcome to `check`.
fn race<A: Send, B: Send>(
    setup: impl Fn() -> Gateway,
    first: impl Fn(&Gateway) -> A + Sync,
    second: impl Fn(&Gateway) -> B + Sync,
    check: impl Fn(&Gateway, A, B) -> Result<(), String>,
) {
    race_within(STEPS, setup, first, second, check);
}

fn race_within<A: Send, B: Send>(
    steps: usize,
    setup: impl Fn() -> Gateway,
    first: impl Fn(&Gateway) -> A + Sync,
    second: impl Fn(&Gateway) -> B + Sync,
    check: impl Fn(&Gateway, A, B) -> Result<(), String>,
) {
    for plan in plans(3, steps) {
        let gateway = setup();
        let (a, b) = interleave(&plan, || first(&gateway), || second(&gateway));
        if let Err(wrong) = check(&gateway, a, b) {
            panic!("plan {plan:?}: {wrong}\n{:#?}", gateway.0.dump());
        }
    }
}

fn ensure(condition: bool, wrong: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(wrong.to_owned()) }
}

#[test]
fn the_first_two_packets_of_one_flow_leave_alike_and_make_one_session() {
    let out = udp("10.0.0.5:4000 > 8.8.8.8:53");
    race(
        Gateway::with_snat,
        |gateway| gateway.vpc(&out),
        |gateway| gateway.vpc(&out),
        |gateway, a, b| {
            ensure(a == b, &format!("{} but {}", a.said, b.said))?;
            gateway.0.check_index()?;
            ensure(gateway.0.dump().len() == 1, "not one session")?;
            let back = udp(&format!("8.8.8.8:53 > 203.0.113.1:{}", a.source_port()));
            ensure(gateway.outside(&back) == "internal snat_in 8.8.8.8:53 > 10.0.0.5:4000", "the reply is lost")
        },
    );
}

#[test]
fn the_first_two_packets_of_one_flow_leave_alike_even_when_their_port_is_taken() {
    let out = udp("10.0.0.5:4000 > 8.8.8.8:53");
    race(
        || {
            let gateway = Gateway::with_snat();
            gateway.vpc(&udp("10.0.0.6:4000 > 8.8.8.8:53"));
            gateway
        },
        |gateway| gateway.vpc(&out),
        |gateway| gateway.vpc(&out),
        |gateway, a, b| {
            ensure(a == b, &format!("{} but {}", a.said, b.said))?;
            gateway.0.check_index()?;
            ensure(gateway.0.dump().len() == 2, "not two sessions")
        },
    );
}

#[test]
fn two_pods_never_get_one_tuple() {
    race(
        Gateway::with_snat,
        |gateway| gateway.vpc(&udp("10.0.0.5:4000 > 8.8.8.8:53")),
        |gateway| gateway.vpc(&udp("10.0.0.6:4000 > 8.8.8.8:53")),
        |gateway, a, b| {
            gateway.0.check_index()?;
            ensure(a.source_port() != b.source_port(), "one port twice")?;
            ensure(gateway.0.dump().len() == 2, "not two sessions")
        },
    );
}

#[test]
fn two_pods_that_want_one_expired_tuple_both_get_a_session() {
    race(
        || {
            let gateway = Gateway::with_snat();
            gateway.vpc(&udp("10.0.0.7:4000 > 8.8.8.8:53"));
            gateway.seconds(301);
            gateway
        },
        |gateway| gateway.vpc(&udp("10.0.0.5:4000 > 8.8.8.8:53")),
        |gateway| gateway.vpc(&udp("10.0.0.6:4000 > 8.8.8.8:53")),
        |gateway, a, b| {
            gateway.0.check_index()?;
            ensure(a.source_port() != b.source_port(), "one port twice")
        },
    );
}

/// While one CPU is removing the session of a flow, a packet of it on another may be refused: microseconds, once in the
/// life of a flow that had been silent for minutes. The next packet goes through.
fn refused_at_most_once(gateway: &Gateway, outs: &[&Out], frame: &Frame) -> Result<(), String> {
    let sent: Vec<_> = outs.iter().filter(|out| out.said != "drop no_port").collect();
    let next = gateway.vpc(frame);
    ensure(sent.iter().all(|out| **out == &next), &format!("{outs:?}, then {next:?}"))?;
    ensure(next.said.starts_with("external"), "the flow is blocked")?;
    gateway.0.check_index()?;
    ensure(gateway.0.dump().len() == 1, "not one session")
}

#[test]
fn an_expired_flow_that_comes_back_on_two_cpus_has_one_session() {
    let out = udp("10.0.0.5:4000 > 8.8.8.8:53");
    race(
        || {
            let gateway = Gateway::with_snat();
            gateway.vpc(&out);
            gateway.seconds(301);
            gateway
        },
        |gateway| gateway.vpc(&out),
        |gateway| gateway.vpc(&out),
        |gateway, a, b| {
            ensure(a.said.starts_with("external") || b.said.starts_with("external"), "both refused")?;
            refused_at_most_once(gateway, &[&a, &b], &out)
        },
    );
}

#[test]
fn the_sweeper_and_the_returning_flow_leave_no_dead_session_behind() {
    let out = udp("10.0.0.5:4000 > 8.8.8.8:53");
    race(
        || {
            let gateway = Gateway::with_snat();
            gateway.vpc(&out);
            gateway.seconds(301);
            gateway
        },
        |gateway| {
            let (key, session) = gateway.0.dump()[0];
            sweep(&gateway.0, SweepOp::Expired, &SweepItem { key, created_ns: session.created_ns })
        },
        |gateway| gateway.vpc(&out),
        |gateway, _, b| refused_at_most_once(gateway, &[&b], &out),
    );
}

#[test]
fn the_same_dial_on_two_cpus_makes_one_session() {
    let dial = tcp("8.8.8.8:5000 > 203.0.113.1:80", SYN);
    race(
        || {
            let mut gateway = Gateway::new();
            gateway.0.rules.dnat(6, "203.0.113.1:80 > 10.0.0.8:8080");
            gateway
        },
        |gateway| gateway.outside(&dial),
        |gateway| gateway.outside(&dial),
        |gateway, a, b| {
            ensure(a == b, &format!("{} but {}", a.said, b.said))?;
            gateway.0.check_index()?;
            ensure(gateway.0.dump().len() == 1, "not one session")
        },
    );
}

/// Ends every session there is, as user space does when a rule goes.
fn end_all(gateway: &Gateway) -> usize {
    let end = |(key, session): (_, Session)| {
        sweep(&gateway.0, SweepOp::Ended, &SweepItem { key, created_ns: session.created_ns })
    };
    gateway.0.dump().into_iter().filter(|entry| end(*entry)).count()
}

#[test]
fn a_reply_never_reaches_the_pod_whose_session_took_the_memory_of_its_own() {
    race(
        || {
            let gateway = Gateway::with_snat();
            gateway.vpc(&udp("10.0.0.5:4000 > 8.8.8.8:53"));
            gateway
        },
        |gateway| gateway.outside(&udp("8.8.8.8:53 > 203.0.113.1:4000")),
        |gateway| {
            end_all(gateway);
            gateway.vpc(&udp("10.0.0.6:5000 > 8.8.4.4:53"))
        },
        |gateway, a, _| {
            let known = ["internal snat_in 8.8.8.8:53 > 10.0.0.5:4000", "pass pass_external"];
            ensure(known.iter().any(|said| a == *said), &a.said)?;
            gateway.0.check_index()
        },
    );
}

#[test]
fn the_sweeper_does_not_end_a_connection_whose_idle_time_a_segment_is_shortening() {
    let out = |flags| tcp("10.0.0.5:4000 > 8.8.8.8:80", flags);
    for last in [FIN | ACK, RST] {
        race(
            || {
                let gateway = Gateway::with_snat();
                gateway.vpc(&out(SYN));
                gateway.outside(&tcp("8.8.8.8:80 > 203.0.113.1:4000", SYN | ACK));
                gateway.vpc(&out(ACK));
                // Longer than a closing connection may be idle, shorter than an established one.
                gateway.seconds(300);
                gateway
            },
            |gateway| gateway.vpc(&out(last)),
            |gateway| {
                let (key, session) = gateway.0.dump()[0];
                sweep(&gateway.0, SweepOp::Expired, &SweepItem { key, created_ns: session.created_ns })
            },
            |gateway, _, swept| {
                gateway.0.check_index()?;
                ensure(!swept && gateway.0.dump().len() == 1, "the session is gone")
            },
        );
    }
}

#[test]
fn a_flow_whose_removed_session_is_being_made_anew_keeps_one_session() {
    let out = udp("10.0.0.5:4000 > 8.8.8.8:53");
    race_within(
        MORE_STEPS,
        || {
            let gateway = Gateway::with_snat();
            gateway.vpc(&out);
            gateway.seconds(301);
            // A third CPU has begun to remove it.
            let key = gateway.0.dump()[0].0;
            gateway.0.set_last_seen(&key, gateway.0.now() | Session::DEAD);
            gateway
        },
        |gateway| gateway.vpc(&out),
        |gateway| {
            let (key, session) = gateway.0.dump()[0];
            gateway.0.remove_flow(&session.flow_key(&key));
            gateway.0.remove_session(&key);
            gateway.vpc(&out)
        },
        |gateway, a, b| refused_at_most_once(gateway, &[&a, &b], &out),
    );
}

#[test]
fn a_dial_is_served_even_if_the_session_in_its_way_goes_while_it_looks() {
    let dial = tcp("8.8.8.8:5000 > 203.0.113.1:80", SYN);
    let key = Tuple::of(&dial.parse()).session_key(proto::TCP, dial.parse().transport);
    race(
        || {
            let mut gateway = Gateway::new();
            gateway.0.rules.dnat(6, "203.0.113.1:80 > 10.0.0.8:8080");
            gateway.outside(&dial);
            gateway.seconds(241);
            gateway
        },
        |gateway| gateway.outside(&dial),
        |gateway| gateway.0.remove_session(&key),
        |_, a, ()| ensure(a == "internal dnat_in 8.8.8.8:5000 > 10.0.0.8:8080", &a.said),
    );
}
