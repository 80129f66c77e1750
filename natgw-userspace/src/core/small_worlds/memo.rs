//! What comes of an experiment in each state, computed once per distinct reading of the rules.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use super::{
    gateway::Gateway,
    table::Table,
    universe::{Cells, Code},
};
use crate::core::plan::Actual;

/// What came of one experiment in one state, and the rule entries it depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate<T> {
    pub(super) outcome: T,
    pub(super) read: Cells,
}

/// What has come of one experiment so far.
#[derive(Debug)]
struct Known<T> {
    /// Each set of cells that a run has read.
    sets: Vec<Cells>,
    /// By [`key`].
    outcomes: HashMap<u64, T, BuildHasherDefault<Spread>>,
}

/// What was read, and what it said.
fn key(read: Cells, code: Code) -> u64 {
    u64::from(read.0) << 32 | u64::from(code.only(read).0)
}

/// Spreads a number over a hash table: these are looked up millions of times.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers are looked up");
    }
    fn write_u64(&mut self, number: u64) {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

/// All experiments: packets or sequences of them.
#[derive(Debug)]
pub(super) struct Memo<E, T> {
    pub(super) experiments: Vec<E>,
    run: fn(&Gateway<'_>, &E) -> T,
    known: Vec<Known<T>>,
    /// How often one was run.
    pub(super) runs: usize,
}

impl<E, T: Copy> Memo<E, T> {
    /// `run` carries out one experiment on a gateway without sessions.
    pub(super) fn new(experiments: Vec<E>, run: fn(&Gateway<'_>, &E) -> T) -> Self {
        let nothing = |_| Known { sets: Vec::new(), outcomes: HashMap::default() };
        Self { known: experiments.iter().map(nothing).collect(), experiments, run, runs: 0 }
    }

    /// What comes of experiment `which`.
    pub(super) fn fate(&mut self, which: usize, maps: &Actual, code: Code) -> Fate<T> {
        let known = &mut self.known[which];
        for &read in &known.sets {
            if let Some(&outcome) = known.outcomes.get(&key(read, code)) {
                return Fate { outcome, read };
            }
        }
        self.runs += 1;
        let table = Table::default();
        let gateway = Gateway::new(maps, &table);
        let outcome = (self.run)(&gateway, &self.experiments[which]);
        let read = gateway.read();
        if !known.sets.contains(&read) {
            known.sets.push(read);
        }
        known.outcomes.insert(key(read, code), outcome);
        Fate { outcome, read }
    }

    /// What comes of each.
    pub(super) fn fates(&mut self, maps: &Actual, code: Code) -> Vec<Fate<T>> {
        (0..self.experiments.len()).map(|which| self.fate(which, maps, code)).collect()
    }
}
