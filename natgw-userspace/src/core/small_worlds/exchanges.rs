//! An answer comes back to the one who asked, in every world and in every state between two.
//!
//! This is about two packets, so neither the old nor the new way is asked for: a state may last, because the daemon
//! may be killed in it, and a conversation that begins there must work.

use std::collections::{BTreeMap, BTreeSet};

use natgw_common::{
    abi::DropReason,
    nat::{Action, Exit, Tuple},
};

use super::{
    gateway::Gateway,
    goals::Goals,
    memo::Memo,
    packets::{Kind, Sent, Side},
    probes::{EPHEMERAL, mapped, tuple},
    universe::{Code, EIPS, PEER, PODS},
    worlds::{World, worlds},
};
use crate::core::plan::{Actual, plan};

/// The first packet of a conversation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    side: Side,
    kind: Kind,
    tuple: Tuple,
}

/// Conversations that go on together.
#[derive(Debug)]
pub(super) struct Conversations(Vec<Question>);

pub(super) fn conversations() -> Vec<Conversations> {
    let mut all = Vec::new();
    for kind in [Kind::Syn, Kind::Udp, Kind::Echo, Kind::Gre] {
        for eip in EIPS {
            let from = |side, who| Question { side, kind, tuple: tuple((who, EPHEMERAL), (eip, mapped())) };
            all.extend(PODS.map(|pod| Conversations(vec![from(Side::Vpc, pod)])));
            all.push(Conversations(vec![from(Side::Outside, PEER)]));
        }
        // From one port, so that outside they must not look the same.
        let [one, other] =
            PODS.map(|pod| Question { side: Side::Vpc, kind, tuple: tuple((pod, EPHEMERAL), (PEER, 443)) });
        all.extend([Conversations(vec![one, other]), Conversations(vec![other, one])]);
    }
    all
}

/// A question whose answer does not come back: the question, what became of it, and of its answer.
pub(super) type Lost = (Question, Action, Action);

/// The first question whose answer is lost.
pub(super) fn lost(gateway: &Gateway<'_>, asked: &Conversations) -> Option<Lost> {
    let send = |side, kind, tuple| gateway.send(&Sent::new(side, kind, tuple));
    let fates: Vec<_> = asked.0.iter().map(|asked| (*asked, send(asked.side, asked.kind, asked.tuple))).collect();
    fates.into_iter().find_map(|(question, there)| {
        let Action::Translate { to, exit, .. } = there else { return None };
        let answerer = if exit == Exit::External { Side::Outside } else { Side::Vpc };
        let kind = question.kind.answer();
        let back = send(answerer, kind, to.reversed());
        let home = if question.side == Side::Vpc { Exit::Internal } else { Exit::External };
        let expected = Tuple::of(&Sent::new(question.side, kind, question.tuple.reversed()).packet);
        let arrives = matches!(back, Action::Translate { to, exit, .. } if exit == home && to == expected);
        // A ping between two floating IPs while one half of one is marked: its answer is no packet that begins a session.
        let unmarked = question.kind == Kind::Echo && back == Action::Drop(DropReason::NoSession) && exit == home;
        (!arrives && !unmarked).then_some((question, there, back))
    })
}

#[derive(Debug, Default)]
struct Tally {
    states: BTreeSet<Code>,
    lost: BTreeMap<Code, (Lost, Actual)>,
}

/// Looks at every state on the ways to some of the worlds.
fn walk(worlds: &[World], goals: Goals) -> Tally {
    let mut memo = Memo::new(conversations(), lost);
    let mut tally = Tally::default();
    let mut look = |maps: &Actual, code: Code| {
        if tally.states.insert(code)
            && let Some(lost) = memo.fates(maps, code).into_iter().find_map(|fate| fate.outcome)
        {
            tally.lost.insert(code, (lost, maps.clone()));
        }
    };
    for goal in goals.of(worlds) {
        let to = &worlds[goal];
        // From a state that was on another way to this goal, the rest of the way is the same (`steps` shows it).
        let mut known = BTreeSet::new();
        for from in worlds {
            let mut maps = from.maps.clone();
            look(&maps, from.code);
            for op in plan(&to.desired, &from.maps).ops {
                maps.apply(&op);
                let code = Code::of(&maps);
                if !known.insert(code) {
                    break;
                }
                look(&maps, code);
            }
        }
    }
    tally
}

#[test]
fn every_answer_comes_back_in_every_state_between_two_worlds() {
    let worlds = worlds();
    let tally = Goals::shared(|goals| walk(&worlds, goals)).into_iter().fold(Tally::default(), |mut all, more| {
        all.states.extend(more.states);
        all.lost.extend(more.lost);
        all
    });
    println!("{} states, {} conversations in each", tally.states.len(), conversations().len());
    let first = tally.lost.first_key_value();
    assert!(first.is_none(), "answers are lost in {} states: {first:?}", tally.lost.len());
}
