//! Loading.

use std::{io, time::Duration};

use serde::Serialize;
use thiserror::Error;

use super::{lock::Lock, maps::Maps, pins::GatewayPaths, sweep::Sweeper};

/// Choices of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadOptions {
    /// Capacity of `SESSIONS` and `FLOWS`.
    pub max_sessions: u32,
    /// Another eBPF object than the one embedded in this binary.
    pub object: Option<Vec<u8>>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { max_sessions: 1_048_576, object: None }
    }
}

/// A loaded program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProgramReport {
    /// Its name.
    pub name: &'static str,
    /// Kernel id.
    pub id: u32,
    /// Instructions the verifier walked; `None` before Linux 5.16.
    pub verified_instructions: Option<u32>,
}

/// What [`Datapath::load`] did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadReport {
    /// Maps that were pinned already.
    pub adopted: Vec<&'static str>,
    /// Maps made now.
    pub created: Vec<&'static str>,
    /// What the operator should know, one sentence each.
    pub warnings: Vec<String>,
    /// The programs.
    pub programs: Vec<ProgramReport>,
    /// How long it took.
    pub elapsed: Duration,
}

/// The data plane could not be loaded. What was attached before still is.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A system call failed.
    #[error("{0}")]
    Todo(#[from] io::Error),
}

/// Loaded programs and their maps.
#[derive(Debug)]
pub struct Datapath {
    maps: Maps,
}

impl Datapath {
    /// Checks and adopts the pinned maps or creates them, loads and verifies the programs. Attaches nothing.
    ///
    /// # Errors
    /// See [`LoadError`]; the pinned state and whatever is attached are then as before.
    pub fn load(_paths: &GatewayPaths, _lock: &Lock, _opts: &LoadOptions) -> Result<(Self, LoadReport), LoadError> {
        todo!()
    }

    /// The maps.
    pub fn maps(&mut self) -> &mut Maps {
        &mut self.maps
    }

    /// A sweeper on these maps; it owns its descriptors and can move to another thread.
    ///
    /// # Errors
    /// The pins vanished.
    pub fn sweeper(&self) -> Result<Sweeper, super::sweep::SweepError> {
        todo!()
    }
}
