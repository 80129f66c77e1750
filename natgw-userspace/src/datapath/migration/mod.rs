//! An upgrade to another map layout: sessions, rules and counters move to new maps while packets flow.
//!
//! User space converts (`chain`); the programs know only the layouts they were built with. In this order, under the
//! lock:
//!
//! 1. new maps are made and pinned beside the old ones (`places`), the new programs are verified against them, rules,
//!    configuration and sessions are copied. Nothing that is attached has changed; a failure or a kill costs nothing;
//! 2. the programs open no more sessions (`hold`): known flows go on, the first packet of a new one is dropped. Those
//!    that were opened since the copy are copied (`sessions`);
//! 3. **commit**: the directories change places. Before it, every later start begins anew with the old maps, after it
//!    every later start goes on from here. Both generations have every session, so from here on it does not matter
//!    which program is attached where;
//! 4. the new programs replace the old ones (`switch`), the hold ends;
//! 5. what the last packets have changed in the old maps is carried over, then they are removed.
//!
//! A killed migration holds new flows up for two seconds. `docs/adr/0014-map-migration.md` has the reasons and numbers.

pub mod chain;
mod failpoint;
mod generation;
mod hold;
pub(super) mod places;
mod sessions;
mod steps;
mod switch;

use std::time::{Duration, Instant};

use natgw_common::abi::{ABI_VERSION, map};
use serde::Serialize;

pub use chain::{Chain, Entry, Fate, Step};
pub use generation::MigrationError;
pub use places::Unfinished;

use self::{
    generation::Maps,
    hold::Hold,
    sessions::{Carrier, Walk},
};
use super::{
    abi_check,
    loader::Datapath,
    maps::{self, MapsError},
    pins::{GatewayPaths, Generation},
    raw,
};

/// Walks of the session table that may be spoilt by a machine that stands still.
const ROUNDS: u32 = 5;

/// What a migration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MigrationReport {
    /// The version it began with.
    pub from: u32,
    /// The version of this build.
    pub to: u32,
    /// An interrupted one was finished.
    pub resumed: bool,
    /// Rules copied.
    pub rules: u64,
    /// Sessions carried over.
    pub sessions: u64,
    /// Sessions left behind: being removed, or without a place in the new version.
    pub left: u64,
    /// Hooks whose program was replaced.
    pub hooks: usize,
    /// How long no session was opened.
    pub held: Duration,
}

/// A migration under way.
#[derive(Debug)]
pub(super) struct Migration {
    chain: Chain,
    old: Maps,
    new: Maps,
    hold: Hold,
    carrier: Carrier,
    begun: Instant,
    report: MigrationReport,
}

impl Migration {
    /// Into new maps, which were just made.
    pub(super) fn begin(paths: &GatewayPaths, chain: Chain) -> Result<Self, MigrationError> {
        failpoint::at("staged");
        let (old, new) = (Maps(paths.clone()), Maps(paths.of(Generation::Next)));
        let rules = generation::copy_rules(&chain, &old, &new)?;
        let mut migration = Self::new(chain, old, new)?;
        migration.report.rules = rules;
        Ok(migration)
    }

    /// Out of maps that a kill after the commit has left behind.
    pub(super) fn resume(paths: &GatewayPaths, chain: Chain) -> Result<Self, MigrationError> {
        let mut migration = Self::new(chain, Maps(paths.of(Generation::Old)), Maps(paths.clone()))?;
        migration.report.resumed = true;
        Ok(migration)
    }

    fn new(chain: Chain, old: Maps, new: Maps) -> Result<Self, MigrationError> {
        Ok(Self {
            chain,
            hold: Hold::new(&old, chain.hold_at(), &new)?,
            carrier: Carrier::new(chain, &old, &new)?,
            old,
            new,
            begun: Instant::now(),
            report: MigrationReport {
                from: chain.version(),
                to: ABI_VERSION,
                resumed: false,
                rules: 0,
                sessions: 0,
                left: 0,
                hooks: 0,
                held: Duration::ZERO,
            },
        })
    }

    /// Copies all sessions, stops the opening of new ones and copies those that came meanwhile, then the counters.
    pub(super) fn gather(&mut self) -> Result<(), MigrationError> {
        let Self { hold, carrier, report, .. } = self;
        let filled = carrier.carry(Walk::Filling, || Ok(()))?;
        tracing::debug!(?filled, "sessions copied");
        (report.sessions, report.left) = (filled.written, filled.left);
        failpoint::at("filled");
        let gather = |round: u32| -> Result<bool, MigrationError> {
            hold.begin()?;
            failpoint::at("held");
            let mut unbroken = true;
            let carried = carrier.carry(Walk::Held, || {
                unbroken &= hold.renew()?;
                Ok(())
            })?;
            report.sessions += carried.written;
            report.left += carried.left;
            tracing::debug!(round, ?carried, unbroken, "sessions opened meanwhile copied");
            Ok(unbroken)
        };
        self.begun = Instant::now();
        until_unbroken(gather)?;
        failpoint::at("carried");
        generation::raise_counters(&self.chain, &self.old, &self.new)
    }

    /// The new maps are the gateway's from here on.
    pub(super) fn commit(paths: &GatewayPaths) -> Result<(), MigrationError> {
        failpoint::at("ready");
        places::commit(paths)?;
        failpoint::at("committed");
        Ok(())
    }

    /// The old maps stay the gateway's: lets sessions be opened again. The new maps are the caller's to remove.
    pub(super) fn give_up(&self) {
        if let Err(error) = self.hold.give_up() {
            tracing::warn!(%error, "new sessions are held up for another two seconds");
        }
    }

    /// Replaces the programs, lets sessions be opened, carries over what is left to be and removes the old maps.
    pub(super) fn finish(mut self, datapath: &mut Datapath) -> Result<MigrationReport, MigrationError> {
        self.hold.renew()?;
        self.report.hooks = datapath.switch()?;
        failpoint::at("switched");
        self.hold.release()?;
        self.report.held = self.begun.elapsed();
        failpoint::at("released");
        raw::wait_for_programs().map_err(|source| MigrationError::Map {
            action: "wait for programs on",
            map: map::SESSIONS,
            source,
        })?;
        let last = self.carrier.carry(Walk::Closing, || Ok(()))?;
        tracing::debug!(?last, "sessions brought up to date");
        failpoint::at("finished");
        places::remove_old(&datapath.paths, map::ABI)?;
        Ok(self.report)
    }
}

fn until_unbroken(mut walk: impl FnMut(u32) -> Result<bool, MigrationError>) -> Result<(), MigrationError> {
    for round in 1..=ROUNDS {
        if walk(round)? {
            return Ok(());
        }
    }
    Err(MigrationError::Lapsed { rounds: ROUNDS })
}

/// What a kill after the commit has left behind.
#[derive(Debug, Clone, Copy)]
pub(super) enum Remains {
    /// Nothing.
    None,
    /// Maps whose sessions are perhaps not all carried over yet.
    Maps(u32),
    /// Maps that were being removed.
    Rubbish,
}

impl Remains {
    pub(super) fn find(paths: &GatewayPaths) -> Result<Self, MapsError> {
        let old = paths.of(Generation::Old);
        if !old.maps().is_dir() {
            return Ok(Self::None);
        }
        let version = maps::abi_version(&old, &abi_check::read_pins(&old)?)?;
        Ok(version.map_or(Self::Rubbish, Self::Maps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_that_was_not_held_all_the_time_is_repeated() {
        let mut walks = 0;
        until_unbroken(|round| {
            walks = round;
            Ok(round == 3)
        })
        .unwrap();
        assert_eq!(walks, 3);
        let error = until_unbroken(|_| Ok(false)).unwrap_err();
        assert!(error.to_string().contains("5 times"), "{error}");
    }
}
