//! An answer comes back to the one who asked, in every world and in every state between two.
//!
//! This is about two packets, so neither the old nor the new way is asked for: a state may last, because the daemon
//! may be killed in it, and a conversation that begins there must work.

use std::collections::BTreeMap;

use natgw_common::nat::{Action, Exit, Tuple};

use super::{
    gateway::Gateway,
    packets::{Kind, Sent, Side},
    probes::{EPHEMERAL, mapped, tuple},
    table::Table,
    universe::{Code, EIPS, PEER, PODS},
    worlds::worlds,
};
use crate::core::plan::{Actual, plan};

/// The first packet of a conversation.
#[derive(Debug, Clone, Copy)]
struct Question {
    side: Side,
    kind: Kind,
    tuple: Tuple,
}

/// Conversations that go on together.
fn questions() -> Vec<Vec<Question>> {
    let mut all = Vec::new();
    for kind in [Kind::Syn, Kind::Udp, Kind::Echo, Kind::Gre] {
        for eip in EIPS {
            let from = |side, who| Question { side, kind, tuple: tuple((who, EPHEMERAL), (eip, mapped())) };
            all.extend(PODS.map(|pod| vec![from(Side::Vpc, pod)]));
            all.push(vec![from(Side::Outside, PEER)]);
        }
        // From one port, so that outside they must not look the same.
        let [one, other] =
            PODS.map(|pod| Question { side: Side::Vpc, kind, tuple: tuple((pod, EPHEMERAL), (PEER, 443)) });
        all.extend([vec![one, other], vec![other, one]]);
    }
    all
}

/// The first of `asked` whose answer does not come back to it, and what came of both.
fn lost(maps: &Actual, asked: &[Question]) -> Option<(Question, Action, Action)> {
    let table = Table::default();
    let gateway = Gateway::new(maps, &table);
    let send =
        |question: &Question| (*question, gateway.send(&Sent::new(question.side, question.kind, question.tuple)));
    let sent: Vec<_> = asked.iter().map(send).collect();
    sent.into_iter().find_map(|(question, there)| {
        let Action::Translate { to, exit, .. } = there else { return None };
        let answerer = if exit == Exit::External { Side::Outside } else { Side::Vpc };
        let kind = question.kind.answer();
        let back = gateway.send(&Sent::new(answerer, kind, to.reversed()));
        let home = if question.side == Side::Vpc { Exit::Internal } else { Exit::External };
        let expected = Tuple::of(&Sent::new(question.side, kind, question.tuple.reversed()).packet);
        let arrives = matches!(back, Action::Translate { to, exit, .. } if exit == home && to == expected);
        (!arrives).then_some((question, there, back))
    })
}

#[test]
fn every_answer_comes_back_in_every_state_between_two_worlds() {
    let (worlds, questions) = (worlds(), questions());
    // Each state once, however many ways lead through it.
    let mut states: BTreeMap<Code, Actual> = worlds.iter().map(|world| (world.code, world.maps.clone())).collect();
    for from in &worlds {
        for to in &worlds {
            let mut maps = from.maps.clone();
            for op in plan(&to.desired, &from.maps).ops {
                maps.apply(&op);
                states.entry(Code::of(&maps)).or_insert_with(|| maps.clone());
            }
        }
    }
    let mut failures = Vec::new();
    for maps in states.values() {
        failures.extend(questions.iter().filter_map(|asked| lost(maps, asked)).map(|lost| (lost, maps)));
    }
    println!("{} states, {} conversations in each", states.len(), questions.len());
    assert!(failures.is_empty(), "{} answers are lost, such as {:#?}", failures.len(), failures.first());
}
