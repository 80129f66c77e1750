//! For tests elsewhere: what the real translation makes of maps that no plan has made.

use std::collections::BTreeSet;

use natgw_common::nat::Action;

use super::{
    exchanges::{Conversations, Lost, conversations, lost},
    judge::{Judgement, judge},
    memo::Memo,
    packets::Sent,
    probes::probes,
    steps::fate,
    universe::Code,
};
use crate::core::plan::Actual;

/// All packets and conversations.
pub(crate) struct Bench {
    packets: Memo<Sent, Action>,
    conversations: Memo<Conversations, Option<Lost>>,
    /// States that have been looked at for lost answers.
    known: BTreeSet<Code>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            packets: Memo::new(probes(), fate),
            conversations: Memo::new(conversations(), lost),
            known: BTreeSet::new(),
        }
    }

    /// A conversation whose answer is lost; says so once for each state.
    pub(crate) fn lost_answer(&mut self, maps: &Actual) -> Option<String> {
        let code = Code::of(maps);
        if !self.known.insert(code) {
            return None;
        }
        let fates = self.conversations.fates(maps, code);
        fates.into_iter().find_map(|fate| fate.outcome).map(|lost| format!("{lost:#?}"))
    }

    /// A packet that fares neither as in the first maps nor as in the last, other than `excused` ones by their source.
    pub(crate) fn wrong_packet(
        &mut self,
        [one, now, other]: [&Actual; 3],
        excused: impl Fn([u8; 4]) -> bool,
    ) -> Option<String> {
        let [before, between, after] = [one, now, other].map(|maps| self.packets.fates(maps, Code::of(maps)));
        self.packets.experiments.iter().zip(before).zip(between).zip(after).find_map(|(((sent, old), now), new)| {
            let actions = [old.outcome, now.outcome, new.outcome];
            let wrong = judge(sent, [one, other], actions) == Judgement::Wrong && !excused(sent.packet.ip.src);
            wrong.then(|| format!("{:?}: {actions:#?}", sent.packet))
        })
    }
}
