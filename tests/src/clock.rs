//! The only place that sleeps. What a test waits for is an event wherever there is one; three things have none: the
//! rate of a probe, how long traffic shall run, and kernel state that nobody announces.

use std::{
    env,
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

/// How often [`eventually`] looks.
const LOOK: Duration = Duration::from_millis(1);

/// How many times slower than usual this machine is: an emulated processor says so.
const SLOWNESS: &str = "NATGW_TEST_SLOWNESS";

static FACTOR: LazyLock<u32> = LazyLock::new(|| {
    let Ok(value) = env::var(SLOWNESS) else { return 1 };
    value.parse().ok().filter(|factor| *factor > 0).unwrap_or_else(|| panic!("{SLOWNESS}={value} is no factor"))
});

/// How long to wait at most for what takes less than `usual` on any real machine. Not for what a test measures.
///
/// # Panics
/// When `NATGW_TEST_SLOWNESS` is not a positive number.
#[must_use]
pub fn patience(usual: Duration) -> Duration {
    usual * *FACTOR
}

/// Lets `duration` pass.
#[expect(clippy::disallowed_methods, reason = "time itself is what is wanted: a rate, a duration, a random moment")]
pub fn pass(duration: Duration) {
    thread::sleep(duration);
}

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within `usual`, or what [`patience`] makes of it; `what` names it.
pub fn eventually(what: &str, usual: Duration, condition: impl Fn() -> bool) {
    assert!(within(usual, condition), "not within {:?}: {what}", patience(usual));
}

/// Waits until `condition` holds, but not longer than `usual`, or what [`patience`] makes of it. Says whether it does.
#[must_use]
pub fn within(usual: Duration, condition: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + patience(usual);
    while !condition() {
        if Instant::now() >= deadline {
            return false;
        }
        pass(LOOK);
    }
    true
}

/// Sends at a fixed rate, without drift.
#[derive(Debug)]
pub struct Pacer {
    next: Instant,
    interval: Duration,
}

impl Pacer {
    /// One turn every `interval`, the first one now.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self { next: Instant::now(), interval }
    }

    /// Waits for the next turn.
    pub fn wait(&mut self) {
        self.next += self.interval;
        pass(self.next.saturating_duration_since(Instant::now()));
    }
}
