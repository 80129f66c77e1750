//! Every step from a released version of the map ABI to the next, oldest first.
//!
//! A new version adds a module here, with the layouts it leaves behind frozen in it, and a golden test from bytes of
//! the old version to bytes of the new one. Versions too old to matter may go, from the front.

#[cfg(any(test, feature = "abi-next"))]
mod next;

use super::chain::Step;

pub(super) const ALL: &[Step] = &[
    #[cfg(feature = "abi-next")]
    next::STEP,
];
