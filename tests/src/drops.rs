//! The reasons for which a test makes natgw drop packets. For any other reason none may be dropped.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use natgw_common::abi::DropReason;

use crate::Tally;

/// What a test has declared.
#[derive(Debug, Default)]
pub struct Drops(Mutex<Declared>);

#[derive(Debug, Default)]
struct Declared {
    must: BTreeSet<DropReason>,
    may: BTreeSet<DropReason>,
}

impl Drops {
    fn lock(&self) -> MutexGuard<'_, Declared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The test makes natgw drop packets for each of `reasons`.
    pub fn expect(&self, reasons: &[DropReason]) {
        self.lock().must.extend(reasons);
    }

    /// natgw may drop packets for `reasons`, or may not: it depends on moments that no test controls.
    pub fn allow(&self, reasons: &[DropReason]) {
        self.lock().may.extend(reasons);
    }

    /// Asserts that it is so.
    ///
    /// # Panics
    /// When it is not.
    pub fn assert(&self, tally: &Tally) {
        let declared = self.lock();
        tally.assert_drops(&declared.must, &declared.may);
    }
}
