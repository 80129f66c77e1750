//! Keeps the programs from opening sessions while these move.
//!
//! `hold_until_ns` is set in the old maps and in the new ones, so it does not matter which programs are attached where.
//! It is renewed while the copying takes longer, and ends by itself when this process dies.

use std::{io, time::Duration};

use natgw_common::abi::{Config, map};

use super::generation::{Maps, MigrationError};
use crate::datapath::raw::{self, ByteMap};

/// How long the programs wait for a sign of life.
const TERM: Duration = Duration::from_secs(2);
const KEY: [u8; 4] = [0; 4];

/// One `CONFIG` and where it has `hold_until_ns`.
#[derive(Debug)]
struct Place {
    config: ByteMap,
    at: usize,
}

impl Place {
    fn set(&self, until: u64) -> io::Result<()> {
        let Some(mut value) = self.config.get(&KEY)? else { return Ok(()) };
        let Some(field) = value.get_mut(self.at..self.at + size_of::<u64>()) else {
            return Err(io::Error::other("it is too short for what the step from its version says"));
        };
        field.copy_from_slice(&until.to_ne_bytes());
        self.config.put(&KEY, &value)
    }
}

/// The hold on both generations.
#[derive(Debug)]
pub(super) struct Hold {
    old: Option<Place>,
    new: Place,
    until: u64,
}

fn failed(source: io::Error) -> MigrationError {
    MigrationError::Map { action: "hold new sessions in", map: map::CONFIG, source }
}

impl Hold {
    /// Not held yet.
    pub(super) fn new(old: &Maps, hold_at: usize, new: &Maps) -> Result<Self, MigrationError> {
        Ok(Self {
            old: old.find(map::CONFIG)?.map(|config| Place { config, at: hold_at }),
            new: Place { config: new.get(map::CONFIG)?, at: std::mem::offset_of!(Config, hold_until_ns) },
            until: 0,
        })
    }

    /// Holds, and waits until no run that had begun before can open a session any more.
    pub(super) fn begin(&mut self) -> Result<(), MigrationError> {
        self.until = 0;
        self.renew()?;
        raw::wait_for_programs().map_err(failed)?;
        self.renew().map(drop)
    }

    /// Holds for another while. Says whether it was held all the time since the last call.
    pub(super) fn renew(&mut self) -> Result<bool, MigrationError> {
        let term = u64::try_from(TERM.as_nanos()).unwrap_or(u64::MAX);
        let now = raw::coarse_now_ns().map_err(failed)?;
        let until = now + term;
        self.set_old(until)?;
        self.new.set(until).map_err(failed)?;
        let unbroken = raw::coarse_now_ns().map_err(failed)? < self.until;
        self.until = until;
        Ok(unbroken)
    }

    /// The programs on the new maps open sessions again.
    pub(super) fn release(&self) -> Result<(), MigrationError> {
        self.new.set(0).map_err(failed)
    }

    /// So do those on the old maps: the migration is given up.
    pub(super) fn give_up(&self) -> Result<(), MigrationError> {
        self.set_old(0)
    }

    fn set_old(&self, until: u64) -> Result<(), MigrationError> {
        self.old.as_ref().map_or(Ok(()), |old| old.set(until)).map_err(failed)
    }
}
