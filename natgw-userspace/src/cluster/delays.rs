//! Waits between attempts: doubled with every failure, scattered so that many gateways do not ask in step.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(10);

/// The next wait, and the ones after it.
#[derive(Debug, Default)]
pub(super) struct Delays {
    failures: u32,
}

impl Delays {
    /// The next wait: between 75 % and 125 % of 250 ms, 500 ms, 1 s and so on up to 10 s.
    pub(super) fn next(&mut self) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures += 1;
        scattered(whole, 75)
    }

    /// The wait that a server asks for (10 s at most), or up to half more. It says nothing of the failures before.
    pub(super) fn asked(after: Duration) -> Duration {
        scattered(after.min(LONGEST), 100)
    }

    /// It worked.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Between `least` percent of `whole` and 50 more.
fn scattered(whole: Duration, least: u64) -> Duration {
    // A hasher with a fresh key is a random number without another dependency.
    let percent = least + RandomState::new().build_hasher().finish() % 51;
    whole * u32::try_from(percent).unwrap_or(100) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_success_resets() {
        let mut delays = Delays::default();
        for whole in [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000] {
            let wait = delays.next().as_millis();
            assert!((whole * 3 / 4..=whole * 5 / 4).contains(&wait), "{wait} ms is not about {whole} ms");
        }
        for _ in 0..100 {
            assert!(delays.next() <= LONGEST * 5 / 4);
        }
        delays.reset();
        assert!(delays.next() < Duration::from_millis(400));
    }

    #[test]
    fn a_server_that_names_a_wait_gets_it_up_to_the_longest() {
        for (asked, most) in [(1, 1500), (10, 15_000), (3600, 15_000)] {
            let wait = Delays::asked(Duration::from_secs(asked)).as_millis();
            assert!((u128::from(asked.min(10)) * 1000..=most).contains(&wait), "{wait} ms for {asked} s");
        }
    }
}
