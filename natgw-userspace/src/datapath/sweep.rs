//! Removal of sessions.

use std::io;

use thiserror::Error;

use super::pins::GatewayPaths;
use crate::core::plan::EndSessions;

/// Sessions could not be removed.
#[derive(Debug, Error)]
pub enum SweepError {
    /// A system call failed.
    #[error("{0}")]
    Todo(#[from] io::Error),
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SweepReport {
    /// Sessions looked at.
    pub seen: u64,
    /// Proposed to the kernel.
    pub proposed: u64,
    /// Removed by it.
    pub removed: u64,
    /// Whether the walk reached the end of the table.
    pub finished: bool,
}

/// Removes sessions through `natgw_sweep`. Blocking; owns its descriptors.
#[derive(Debug)]
pub struct Sweeper;

impl Sweeper {
    /// Opens the pinned sweep program and maps.
    ///
    /// # Errors
    /// The gateway has no data plane.
    pub fn open(_paths: &GatewayPaths) -> Result<Self, SweepError> {
        todo!()
    }

    /// Ends the sessions whose rules are gone; one walk of the table for all of them.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn end(&self, _gone: &[EndSessions]) -> Result<u64, SweepError> {
        todo!()
    }

    /// Looks at about `budget` sessions where the last step stopped and removes the expired ones.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn step(&mut self, _budget: usize) -> Result<SweepReport, SweepError> {
        todo!()
    }

    /// One whole pass over the table.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn sweep_expired(&self) -> Result<SweepReport, SweepError> {
        todo!()
    }
}
