//! Layer `prog_run`: the real programs in the real kernel, one packet at a time, one module per theme.
//!
//! Each row of a table says what is in the maps and on the wire before, and everything that must be there afterwards:
//! verdict, every byte of the frame, every session, every counter. `coverage` holds the tables to the whole ABI.
#![allow(missing_docs, reason = "a test binary documents nothing")]
#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

mod concurrency;
mod coverage;
mod dnat;
mod docs;
mod fip;
mod hairpin;
mod hostile;
mod icmp;
mod malformed;
mod mtu;
mod pass;
mod sessions;
mod snat;
mod support;
mod sweep;
mod verifier;
