//! Removal of sessions, in two phases: user space proposes, `natgw_sweep` looks again inside the kernel and removes.
//!
//! A session that was refreshed, replaced or removed between the two stays as it is. The proposals travel as the input
//! packet of `BPF_PROG_TEST_RUN`; [`natgw_common::abi::SweepItem`] documents the layout. Nothing here is asynchronous
//! and nothing is shared with the daemon's other parts: give a [`Sweeper`] its own thread.

use std::io;

use aya::{
    TestRun as _, TestRunOptions,
    maps::{Array, Map, MapData, MapError},
    programs::{ProgramError, SchedClassifier},
};
use natgw_common::{
    abi::{Config, Session, SessionKey, SweepItem, SweepOp, map, program},
    nat::{expired, idle_limit},
};
use thiserror::Error;

use super::{
    maps::chain,
    pins::GatewayPaths,
    raw::{self, Cursor},
    sessions::{BATCH, SessionTable, ends_with},
};
use crate::core::plan::EndSessions;

/// Items in one call of the program.
const ITEMS: usize = 64;
/// Where the operation stands in the input: behind an Ethernet header and two bytes that align it.
const HEADER: usize = 16;

/// Sessions could not be removed.
#[derive(Debug, Error)]
pub enum SweepError {
    /// A pin is missing or unreadable.
    #[error("cannot open `{name}` of gateway `{gateway}`: {reason}")]
    Open {
        /// The gateway.
        gateway: String,
        /// Map or program.
        name: &'static str,
        /// Why not.
        reason: String,
    },
    /// The session table cannot be read.
    #[error("cannot read map `{}`: {}", map::SESSIONS, .0)]
    Read(#[source] io::Error),
    /// The configuration cannot be read.
    #[error("cannot read map `{}`: {}", map::CONFIG, chain(.0))]
    Config(#[source] MapError),
    /// The program cannot be run.
    #[error("cannot run program `{}`: {}", program::SWEEP, chain(.0))]
    Run(#[source] ProgramError),
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
pub struct Sweeper {
    program: SchedClassifier,
    config: Array<MapData, Config>,
    sessions: SessionTable,
    /// Where the next [`Self::step`] goes on.
    cursor: Option<Cursor>,
}

impl std::fmt::Debug for Sweeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sweeper").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

impl Sweeper {
    /// Opens the pinned sweep program and maps.
    ///
    /// # Errors
    /// The gateway has no data plane.
    pub fn open(paths: &GatewayPaths) -> Result<Self, SweepError> {
        let failed = |name| {
            move |error: &dyn std::error::Error| SweepError::Open {
                gateway: paths.gateway().to_owned(),
                name,
                reason: chain(error),
            }
        };
        let config = MapData::from_pin(paths.map(map::CONFIG))
            .and_then(|data| Map::Array(data).try_into())
            .map_err(|error| failed(map::CONFIG)(&error))?;
        Ok(Self {
            program: SchedClassifier::from_pin(paths.sweep()).map_err(|error| failed(program::SWEEP)(&error))?,
            config,
            sessions: SessionTable::open(&paths.map(map::SESSIONS)).map_err(|error| failed(map::SESSIONS)(&error))?,
            cursor: None,
        })
    }

    /// Ends the sessions whose rules are gone; one walk of the table for all of them. Call it after the rules were
    /// removed from their maps, or a packet makes the session anew.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn end(&self, gone: &[EndSessions]) -> Result<u64, SweepError> {
        if gone.is_empty() {
            return Ok(0);
        }
        let mut removed = 0;
        let mut cursor = None;
        loop {
            let (report, next) = self.chunk(cursor, BATCH, SweepOp::Ended, |key, session| {
                gone.iter().any(|gone| ends_with(gone, key, session))
            })?;
            removed += report.removed;
            if next.is_none() {
                return Ok(removed);
            }
            cursor = next;
        }
    }

    /// Looks at about `budget` sessions where the last step stopped and removes the expired ones. After the end of the
    /// table the next step begins anew.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn step(&mut self, budget: usize) -> Result<SweepReport, SweepError> {
        let (report, next) = self.expired_chunk(self.cursor, budget)?;
        self.cursor = next;
        Ok(report)
    }

    /// One whole pass over the table.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn sweep_expired(&self) -> Result<SweepReport, SweepError> {
        let mut total = SweepReport::default();
        let mut cursor = None;
        loop {
            let (report, next) = self.expired_chunk(cursor, BATCH)?;
            total.seen += report.seen;
            total.proposed += report.proposed;
            total.removed += report.removed;
            if next.is_none() {
                return Ok(SweepReport { finished: true, ..total });
            }
            cursor = next;
        }
    }

    /// Proposes these sessions for removal whatever user space thinks of them: the kernel decides. Returns how many it
    /// removed.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn propose(&self, op: SweepOp, items: &[SweepItem]) -> Result<u64, SweepError> {
        items.chunks(ITEMS).try_fold(0, |removed, chunk| {
            let input = encode(op, chunk);
            let options = TestRunOptions { data_in: Some(&input), ..TestRunOptions::default() };
            let result = self.program.test_run(options).map_err(SweepError::Run)?;
            Ok(removed + u64::from(result.return_value))
        })
    }

    fn expired_chunk(&self, from: Option<Cursor>, budget: usize) -> Result<(SweepReport, Option<Cursor>), SweepError> {
        let timeouts = self.config.get(&0, 0).map_err(SweepError::Config)?.timeouts;
        let now = raw::coarse_now_ns().map_err(SweepError::Read)?;
        self.chunk(from, budget, SweepOp::Expired, |key, session| {
            expired(session.last_seen_ns, idle_limit(&timeouts, key.proto, session.state), now)
        })
    }

    fn chunk(
        &self,
        from: Option<Cursor>,
        budget: usize,
        op: SweepOp,
        wanted: impl Fn(&SessionKey, &Session) -> bool,
    ) -> Result<(SweepReport, Option<Cursor>), SweepError> {
        let mut entries = Vec::new();
        let next = self.sessions.batch(from, budget, &mut entries).map_err(SweepError::Read)?;
        let items: Vec<_> = entries
            .iter()
            .filter(|(key, session)| wanted(key, session))
            .map(|(key, session)| SweepItem { key: *key, created_ns: session.created_ns })
            .collect();
        let removed = self.propose(op, &items)?;
        let report =
            SweepReport { seen: entries.len() as u64, proposed: items.len() as u64, removed, finished: next.is_none() };
        Ok((report, next))
    }
}

/// The input packet of `natgw_sweep`.
fn encode(op: SweepOp, items: &[SweepItem]) -> Vec<u8> {
    let mut input = vec![0; HEADER];
    input.extend((op as u32).to_ne_bytes());
    input.extend(u32::try_from(items.len()).unwrap_or(u32::MAX).to_ne_bytes());
    for SweepItem { key, created_ns } in items {
        input.extend(key.ext_addr);
        input.extend(key.peer_addr);
        input.extend(key.ext_port);
        input.extend(key.peer_port);
        input.extend([key.proto, key.role]);
        input.extend(key._pad);
        input.extend(created_ns.to_ne_bytes());
    }
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_packet_has_the_documented_bytes() {
        let key = SessionKey {
            ext_addr: [203, 0, 113, 1],
            peer_addr: [198, 51, 100, 2],
            ext_port: [0x12, 0x34],
            peer_port: [0, 80],
            proto: 6,
            role: 1,
            _pad: [0; 2],
        };
        let input = encode(SweepOp::Ended, &[SweepItem { key, created_ns: 0x0102_0304_0506_0708 }]);
        let mut expected = vec![0u8; 16];
        expected.extend(2u32.to_ne_bytes());
        expected.extend(1u32.to_ne_bytes());
        expected.extend([203, 0, 113, 1, 198, 51, 100, 2, 0x12, 0x34, 0, 80, 6, 1, 0, 0]);
        expected.extend(0x0102_0304_0506_0708u64.to_ne_bytes());
        assert_eq!(input, expected);
    }

    #[test]
    fn a_full_call_fits_into_a_test_run_packet() {
        let key = SessionKey {
            ext_addr: [0; 4],
            peer_addr: [0; 4],
            ext_port: [0; 2],
            peer_port: [0; 2],
            proto: 17,
            role: 0,
            _pad: [0; 2],
        };
        let input = encode(SweepOp::Expired, &[SweepItem { key, created_ns: 1 }; ITEMS]);
        assert_eq!(input.len(), 24 + 64 * size_of::<SweepItem>());
        assert!(input.len() < 3000, "the kernel takes a page minus its head and tail room");
    }
}
