//! The only place that sleeps. What a test waits for is an event wherever there is one; three things have none: the
//! rate of a probe, how long traffic shall run, and kernel state that nobody announces.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How often [`eventually`] looks.
const LOOK: Duration = Duration::from_millis(1);

/// Lets `duration` pass.
#[expect(clippy::disallowed_methods, reason = "time itself is what is wanted: a rate, a duration, a random moment")]
pub fn pass(duration: Duration) {
    thread::sleep(duration);
}

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within `patience`; `what` names it.
pub fn eventually(what: &str, patience: Duration, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + patience;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        pass(LOOK);
    }
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
