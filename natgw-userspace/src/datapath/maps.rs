//! Typed access to the pinned maps.

use std::io;

use natgw_common::abi::{Config, Counter, DropReason, Session, SessionKey, SessionStat, Traffic};
use thiserror::Error;

use super::pins::GatewayPaths;
use crate::core::plan::{Actual, MapOp};

/// A map cannot be read or written.
#[derive(Debug, Error)]
pub enum MapsError {
    /// A system call failed.
    #[error("{0}")]
    Todo(#[from] io::Error),
}

/// All counters, summed over the CPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    /// By [`Counter`], in the order of [`Counter::ALL`].
    pub traffic: Vec<(Counter, Traffic)>,
    /// By [`DropReason`].
    pub drops: Vec<(DropReason, Traffic)>,
    /// By [`SessionStat`].
    pub sessions: Vec<(SessionStat, u64)>,
}

/// The pinned maps of one gateway.
#[derive(Debug)]
pub struct Maps {
    writes: u64,
}

impl Maps {
    /// Opens the pinned maps, for tools that run without the daemon and its lock.
    ///
    /// # Errors
    /// The gateway has no data plane, or one of another layout.
    pub fn open(_paths: &GatewayPaths) -> Result<Self, MapsError> {
        todo!()
    }

    /// How many map writes this value has made.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes
    }

    /// What the rule maps hold.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn read_actual(&self) -> Result<Actual, MapsError> {
        todo!()
    }

    /// Carries out one write.
    ///
    /// # Errors
    /// The map is full or gone. Deleting what is absent is no error.
    pub fn apply(&mut self, _op: &MapOp) -> Result<(), MapsError> {
        todo!()
    }

    /// The configuration; `None`: never written.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn config(&self) -> Result<Option<Config>, MapsError> {
        todo!()
    }

    /// Writes the configuration unless it is this one already. Returns whether it wrote.
    ///
    /// # Errors
    /// The map cannot be read or written.
    pub fn set_config(&mut self, _config: &Config) -> Result<bool, MapsError> {
        todo!()
    }

    /// Changes the configuration: `change` gets the pinned one, or a new one with a freshly drawn `port_secret` and
    /// default timeouts. Written only when it differs. Call it before [`super::Datapath::attach`].
    ///
    /// # Errors
    /// The map cannot be read or written, or no random number can be had.
    pub fn update_config(&mut self, _change: impl FnOnce(&mut Config)) -> Result<bool, MapsError> {
        todo!()
    }

    /// All counters.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn counters(&self) -> Result<Counters, MapsError> {
        todo!()
    }

    /// Walks all sessions. Each is seen once at least when it lives through the walk; one that moves or is re-created
    /// meanwhile may come twice.
    pub fn sessions(&self) -> impl Iterator<Item = Result<(SessionKey, Session), MapsError>> + '_ {
        std::iter::empty()
    }

    /// Capacity of the session table.
    #[must_use]
    pub fn session_capacity(&self) -> u32 {
        todo!()
    }
}
