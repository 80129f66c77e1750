//! The harness of the layer `prog_run`: the real programs in the real kernel, one packet at a time.
//!
//! A [`Rig`] is a private namespace with the gateway's two interfaces and a freshly loaded object whose programs are
//! never attached; `BPF_PROG_TEST_RUN` hands them frames. A [`Row`] says what is in the maps and on the wire before,
//! and everything that must be there afterwards. Expected packets are built from nothing with etherparse
//! ([`Pkt`]), never by the code under test.

mod attr;
pub mod cost;
mod frame;
mod places;
mod rig;
mod row;
mod ruleset;
mod runner;
mod session;
mod snapshot;

pub use attr::{Input, Output, TestRunError};
pub use frame::{L4, Pkt, Quote};
pub use places::*;
pub use rig::{Program, Rig, object};
pub use row::{Counts, Out, Row, Verdict};
pub use ruleset::RuleSet;
pub use runner::{Failures, check, check_all};
pub use session::{Age, End, Flow};
pub use snapshot::Snapshot;
