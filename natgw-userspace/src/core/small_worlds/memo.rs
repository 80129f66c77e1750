//! What becomes of each probe in each state, computed once per distinct reading of the rules.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use natgw_common::nat::Action;

use super::{
    gateway::Gateway,
    packets::Sent,
    table::Table,
    universe::{Cells, Code},
};
use crate::core::plan::Actual;

/// The fate of one probe in one state, and the rule entries it depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) action: Action,
    pub(super) read: Cells,
}

/// The fates of one probe so far.
#[derive(Debug, Default)]
struct Known {
    /// Each set of cells that a run has read.
    sets: Vec<Cells>,
    /// By [`key`].
    fates: HashMap<u64, Action, BuildHasherDefault<Spread>>,
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

/// All probes.
#[derive(Debug)]
pub(super) struct Memo {
    pub(super) probes: Vec<Sent>,
    known: Vec<Known>,
    /// Runs of the translation.
    pub(super) runs: usize,
}

impl Memo {
    pub(super) fn new(probes: Vec<Sent>) -> Self {
        Self { known: probes.iter().map(|_| Known::default()).collect(), probes, runs: 0 }
    }

    /// What becomes of probe `which` as the first packet of a new flow.
    pub(super) fn fate(&mut self, which: usize, maps: &Actual, code: Code) -> Fate {
        let known = &mut self.known[which];
        for &read in &known.sets {
            if let Some(&action) = known.fates.get(&key(read, code)) {
                return Fate { action, read };
            }
        }
        self.runs += 1;
        let table = Table::default();
        let gateway = Gateway::new(maps, &table);
        let action = gateway.send(&self.probes[which]);
        let read = gateway.read();
        if !known.sets.contains(&read) {
            known.sets.push(read);
        }
        known.fates.insert(key(read, code), action);
        Fate { action, read }
    }

    /// What becomes of each probe.
    pub(super) fn fates(&mut self, maps: &Actual, code: Code) -> Vec<Fate> {
        (0..self.probes.len()).map(|which| self.fate(which, maps, code)).collect()
    }
}
