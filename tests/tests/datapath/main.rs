//! The data path on a real kernel: pins, lock, adoption, attachment, sweeping, removal.
//!
//! Each test has a bpffs and a network namespace of its own, so they run side by side.
#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

mod attachment;
mod child;
mod detaching;
mod documented;
mod kills;
mod loading;
mod locking;
mod migrating;
mod refused;
mod rig;
mod rules;
mod sweeping;
