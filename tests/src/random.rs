//! Random choices that a failed test can repeat.

use std::{
    env,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A small generator (splitmix64). Its seed is printed; `NATGW_TEST_SEED` sets it.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Seeds it and says so.
    ///
    /// # Panics
    /// When `NATGW_TEST_SEED` is no number.
    #[must_use]
    pub fn new() -> Self {
        let seed = match env::var("NATGW_TEST_SEED") {
            Ok(seed) => seed.parse().expect("NATGW_TEST_SEED is a number"),
            Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| u64::from(now.subsec_nanos())),
        };
        println!("NATGW_TEST_SEED={seed}");
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    ///
    /// # Panics
    /// When `bound` is 0.
    pub fn below(&mut self, bound: u16) -> u16 {
        u16::try_from(self.number() % u64::from(bound)).expect("below a u16")
    }

    /// A duration up to `longest`.
    pub fn up_to(&mut self, longest: Duration) -> Duration {
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(self.number() % micros)
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}
