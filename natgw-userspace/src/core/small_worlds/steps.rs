//! Between any two worlds, each write leaves each packet translated as before all of them or as after.

use std::collections::{BTreeMap, HashSet};

use natgw_common::nat::Action;

use super::{
    gateway::Gateway,
    goals::Goals,
    judge::{Judgement, judge},
    memo::{Fate, Memo},
    packets::Sent,
    probes::probes,
    universe::Code,
    worlds::{World, worlds},
};
use crate::core::plan::{Actual, MapOp, plan};

/// What becomes of a packet.
pub(super) fn fate(gateway: &Gateway<'_>, sent: &Sent) -> Action {
    gateway.send(sent)
}

/// What the walks have seen.
#[derive(Debug, Default)]
struct Tally {
    pairs: usize,
    states: usize,
    checks: usize,
    runs: usize,
    judgements: BTreeMap<Judgement, usize>,
    /// One example of each sort of failure.
    wrong: BTreeMap<String, String>,
}

impl Tally {
    fn add(mut self, other: Self) -> Self {
        self.pairs += other.pairs;
        self.states += other.states;
        self.checks += other.checks;
        self.runs += other.runs;
        for (judgement, count) in other.judgements {
            *self.judgements.entry(judgement).or_default() += count;
        }
        self.wrong.extend(other.wrong);
        self
    }
}

/// Some of the goals, from everywhere.
struct Walk<'a> {
    worlds: &'a [World],
    memo: Memo<Sent, Action>,
    /// What becomes of each probe in each world.
    fates: Vec<Vec<Fate<Action>>>,
    tally: Tally,
}

impl<'a> Walk<'a> {
    fn new(worlds: &'a [World]) -> Self {
        let mut memo = Memo::new(probes(), fate);
        let fates = worlds.iter().map(|world| memo.fates(&world.maps, world.code)).collect();
        Self { worlds, memo, fates, tally: Tally::default() }
    }

    /// From every world to `goal`.
    fn to(&mut self, goal: usize) {
        // States from which the rest of the way has been looked at.
        let mut known = HashSet::new();
        for start in 0..self.worlds.len() {
            self.tally.pairs += 1;
            self.way(start, goal, &mut known);
        }
    }

    fn way(&mut self, start: usize, goal: usize, known: &mut HashSet<Code>) {
        let (from, to) = (&self.worlds[start], &self.worlds[goal]);
        let ops = plan(&to.desired, &from.maps).ops;
        let (mut maps, mut code) = (from.maps.clone(), from.code);
        let mut now = self.fates[start].clone();
        for (done, op) in ops.iter().enumerate() {
            assert!(keeps_what_stays(op, &from.maps, &to.maps), "{op:?}");
            maps.apply(op);
            let next = Code::of(&maps);
            assert_ne!(next, code, "{op:?} changes nothing");
            self.tally.states += 1;
            for (which, fate) in now.iter_mut().enumerate() {
                // A packet that did not read what has changed fares as it did before the write.
                if fate.read.0 & (code.0 ^ next.0) != 0 {
                    *fate = self.memo.fate(which, &maps, next);
                    self.check(which, op, [start, goal], *fate);
                }
            }
            // Killed here, a daemon that starts again does the rest, in the same order.
            if known.insert(next) {
                assert_eq!(plan(&to.desired, &maps).ops, ops[done + 1..], "killed after {op:?}");
            }
            code = next;
        }
        assert_eq!(maps, to.maps);
        assert!(plan(&to.desired, &maps).is_empty());
    }

    fn check(&mut self, which: usize, op: &MapOp, [start, goal]: [usize; 2], now: Fate<Action>) {
        let ends = [&self.worlds[start].maps, &self.worlds[goal].maps];
        let actions = [self.fates[start][which].outcome, now.outcome, self.fates[goal][which].outcome];
        let judgement = judge(&self.memo.experiments[which], ends, actions);
        self.tally.checks += 1;
        *self.tally.judgements.entry(judgement).or_default() += 1;
        if judgement == Judgement::Wrong {
            let packet = self.memo.experiments[which].packet;
            let name = format!("{op:?}").split('(').next().unwrap_or_default().to_owned();
            let sort = format!("{name}: {:?} from {:?} to {:?}", packet.transport, packet.ip.src, packet.ip.dst);
            let example = || format!("{op:?}: {actions:#?}\n{ends:#?}");
            self.tally.wrong.entry(sort).or_insert_with(example);
        }
    }
}

/// What is there before and after is not removed in between, and nothing is made that neither has.
fn keeps_what_stays(op: &MapOp, from: &Actual, to: &Actual) -> bool {
    match op {
        MapOp::PutEip(key, _) => to.eips.contains_key(key),
        MapOp::PutFipOut(key, _) => from.fip_out.contains_key(key) || to.fip_out.contains_key(key),
        MapOp::PutFipIn(key, _) => from.fip_in.contains_key(key) || to.fip_in.contains_key(key),
        MapOp::PutDnat(key, _) => to.dnat.contains_key(key),
        MapOp::PutSnat(key, _) => to.snat.contains_key(key),
        MapOp::DelSnat(key) => !to.snat.contains_key(key),
        MapOp::DelDnat(key) => !to.dnat.contains_key(key),
        MapOp::DelFipIn(key) => !to.fip_in.contains_key(key),
        MapOp::DelFipOut(key) => !to.fip_out.contains_key(key),
        MapOp::DelEip(key) => !to.eips.contains_key(key),
    }
}

#[test]
fn every_packet_in_every_state_between_two_worlds_goes_the_old_or_the_new_way() {
    let worlds = worlds();
    let walk = |goals: Goals| {
        let mut walk = Walk::new(&worlds);
        goals.of(&worlds).for_each(|goal| walk.to(goal));
        Tally { runs: walk.memo.runs, ..walk.tally }
    };
    let tally = Goals::shared(walk).into_iter().fold(Tally::default(), Tally::add);
    println!(
        "{} worlds, {} pairs, {} states in between, {} checks ({} runs of the translation): {:?}",
        worlds.len(),
        tally.pairs,
        tally.states,
        tally.checks,
        tally.runs,
        tally.judgements
    );
    let wrong: Vec<_> = tally.wrong.iter().map(|(sort, example)| format!("{sort}\n{example}")).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
