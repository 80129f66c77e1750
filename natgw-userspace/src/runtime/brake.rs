//! Slows down a fight: what natgw puts back on the interfaces and somebody else keeps removing.
//!
//! The first repair is made at once. Each one after it makes the kernel report a change that asks for another look, so
//! without a brake two programs that want different things keep a processor busy and the log full.

use std::time::Duration;

use tokio::time::Instant;

use super::work::Work;

/// From one repair to the next look.
const GAP: Duration = Duration::from_millis(200);
/// Repairs further apart than this are no fight.
const CALM: Duration = Duration::from_secs(1);
/// Repairs of a fight that are told one by one ...
const TOLD: u32 = 3;
/// ... before they are summed up this often.
const SUMMARY: Duration = Duration::from_secs(10);

/// What was repaired lately and what waits.
#[derive(Debug, Default)]
pub(super) struct Brake {
    last: Option<Instant>,
    /// Repairs without a calm between them.
    streak: u32,
    held: Option<Work>,
    untold: usize,
    told: Option<Instant>,
}

impl Brake {
    /// Asks for `work` because of news of the interfaces. Returns what to do now; what is held back is due later.
    pub(super) fn admit(&mut self, work: Work, now: Instant) -> Option<Work> {
        let work = self.held.take().map_or(work, |held| held.with(work));
        if work.is_network_only() && self.last.is_some_and(|last| now < last + GAP) {
            self.held = Some(work);
            return None;
        }
        Some(work)
    }

    /// When what is held back is due.
    #[must_use]
    pub(super) fn due(&self) -> Option<Instant> {
        self.held.and(self.last).map(|last| last + GAP)
    }

    /// What was held back.
    pub(super) fn release(&mut self) -> Work {
        self.held.take().unwrap_or_default()
    }

    /// News of the interfaces led to `count` repairs. Returns how many to tell of now, with those not told before.
    pub(super) fn repaired(&mut self, count: usize, now: Instant) -> Option<usize> {
        if count == 0 {
            return None;
        }
        let fight = self.last.is_some_and(|last| now < last + CALM);
        self.streak = if fight { self.streak.saturating_add(1) } else { 1 };
        self.last = Some(now);
        self.untold += count;
        if self.streak > TOLD && self.told.is_some_and(|told| now < told + SUMMARY) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: Work = Work { source: false, rules: false, hooks: false, network: true, announce: false };

    #[test]
    fn the_first_repair_is_made_at_once_and_then_five_a_second() {
        let mut brake = Brake::default();
        let start = Instant::now();
        let mut passes = Vec::new();
        // Somebody removes the address every millisecond.
        for ms in 0..1000 {
            let now = start + Duration::from_millis(ms);
            if brake.due().is_some_and(|due| due <= now) {
                brake.release();
                brake.repaired(1, now);
                passes.push(ms);
            }
            if brake.admit(NETWORK, now).is_some() {
                brake.repaired(1, now);
                passes.push(ms);
            }
        }
        assert_eq!(passes, [0, 200, 400, 600, 800]);
    }

    #[test]
    fn news_that_lead_to_no_repair_and_other_interfaces_never_wait() {
        let mut brake = Brake::default();
        let now = Instant::now();
        for _ in 0..3 {
            assert!(brake.admit(NETWORK, now).is_some());
        }
        brake.repaired(1, now);
        assert!(brake.admit(NETWORK, now).is_none());
        let work = brake.admit(Work { hooks: true, announce: true, ..NETWORK }, now).expect("at once");
        assert!(work.hooks && work.network);
        assert_eq!(brake.due(), None);
    }

    #[test]
    fn a_fight_is_summed_up_and_single_repairs_are_told_each() {
        let mut brake = Brake::default();
        let mut now = Instant::now();
        let mut told = Vec::new();
        for _ in 0..120 {
            told.extend(brake.repaired(2, now));
            now += GAP;
        }
        assert_eq!(told, [2, 2, 2, 100, 100]);
        now += Duration::from_secs(30);
        assert_eq!(brake.repaired(1, now), Some(35));
        now += Duration::from_secs(2);
        assert_eq!(brake.repaired(1, now), Some(1));
    }
}
