//! When to try again what failed.

use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

/// Doubles the wait with every failure and forgets with the first success.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    delay: Option<Duration>,
    due: Option<Instant>,
}

impl Backoff {
    /// Something failed: the next try is due later.
    pub(super) fn failed(&mut self, now: Instant) {
        // Several events may fail before the retry they all wait for.
        if self.due.is_none_or(|due| due <= now) {
            let delay = self.delay.map_or(FIRST, |delay| (delay * 2).min(LONGEST));
            self.delay = Some(delay);
            self.due = Some(now + delay);
        }
    }

    /// All is well.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// When the next try is due.
    #[must_use]
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Waits for the next try; for ever when none is due.
    pub(super) async fn wait(due: Option<Instant>) {
        match due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_success_resets() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..9 {
            backoff.failed(now);
            let due = backoff.due().expect("due");
            waits.push((due - now).as_millis());
            now = due;
        }
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        backoff.succeeded();
        assert_eq!(backoff.due(), None);
    }

    #[test]
    fn failures_before_the_retry_do_not_push_it_away() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        backoff.failed(now);
        let due = backoff.due();
        backoff.failed(now + Duration::from_millis(10));
        assert_eq!(backoff.due(), due);
    }
}
