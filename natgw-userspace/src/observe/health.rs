//! The daemon's state as far as health is concerned: set by the daemon where it changes, read by the server.
//!
//! Only facts are held here. What follows from them is decided in [`super::readiness`].

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// The loop turns at least at every resync, so without a turn for this many of them it hangs.
const RESYNCS: u32 = 6;
/// A pass over many objects on a busy machine takes seconds; killing the daemon for it would help nobody.
const PATIENCE: Duration = Duration::from_mins(1);

/// What can be wrong with the source, each part for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// It cannot be opened or followed.
    Open,
    /// It can be read only in part.
    Reading,
    /// The API server does not answer.
    Connection,
}

/// Something is wrong since a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// When it began.
    pub since: Instant,
    /// What it is, as last said.
    pub why: String,
}

/// One of the two interfaces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Whether it exists.
    pub present: bool,
    /// Whether its programs are attached.
    pub attached: bool,
}

/// What was found when the data plane was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// The pinned maps were taken over.
    pub adopted: bool,
    /// EIPs that were in them.
    pub eips: usize,
}

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// When the process started.
    pub started: Instant,
    /// The same as a time of day.
    pub started_at: SystemTime,
    /// What the start waits for, in words.
    pub stage: &'static str,
    /// `None`: the data plane is not loaded yet.
    pub loaded: Option<Loaded>,
    /// The first pass over everything is done.
    pub begun: bool,
    /// The source has been read completely since the start.
    pub synced: bool,
    /// What is wrong with the source now.
    pub troubles: BTreeMap<Part, Trouble>,
    /// Internal and external.
    pub interfaces: [Interface; 2],
    /// What could not be programmed and is tried again, in words.
    pub problems: Vec<String>,
    /// The last turn of the loop.
    beat: Instant,
    /// How old it may be.
    patience: Duration,
}

/// The shared value. Cloning gives another handle to the same state.
#[derive(Debug, Clone)]
pub struct Health {
    state: Arc<Mutex<State>>,
    patience: Duration,
}

impl Health {
    /// A process that has just started. `waiting` is how long it may wait for the lock before the loop begins to turn.
    #[must_use]
    pub fn new([internal, external]: [&str; 2], resync: Duration, waiting: Duration) -> Self {
        let patience = resync.saturating_mul(RESYNCS).max(PATIENCE);
        let now = Instant::now();
        let interface = |name: &str| Interface { name: name.to_owned(), ..Interface::default() };
        let state = State {
            started: now,
            started_at: SystemTime::now(),
            stage: "the data plane is being loaded",
            loaded: None,
            begun: false,
            synced: false,
            troubles: BTreeMap::new(),
            interfaces: [interface(internal), interface(external)],
            problems: Vec::new(),
            beat: now,
            patience: patience.saturating_add(waiting),
        };
        Self { state: Arc::new(Mutex::new(state)), patience }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything as it is now.
    #[must_use]
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    /// The loop turns.
    pub fn beat(&self) {
        let mut state = self.lock();
        state.beat = Instant::now();
        state.patience = self.patience;
    }

    /// What the start waits for.
    pub fn stage(&self, stage: &'static str) {
        self.lock().stage = stage;
    }

    /// The data plane is loaded.
    pub fn loaded(&self, loaded: Loaded) {
        let mut state = self.lock();
        state.loaded = Some(loaded);
        state.stage = "the source is being read";
    }

    /// The first pass over everything is done.
    pub fn begun(&self) {
        self.lock().begun = true;
    }

    /// The source was read: completely, or why not. It is open, then.
    pub fn read(&self, incomplete: Option<&str>) {
        let mut state = self.lock();
        state.synced |= incomplete.is_none();
        state.troubles.remove(&Part::Open);
        set(&mut state.troubles, Part::Reading, incomplete, Instant::now());
    }

    /// The source can be opened and followed, or why not.
    pub fn open(&self, failure: Option<&str>) {
        set(&mut self.lock().troubles, Part::Open, failure, Instant::now());
    }

    /// The API server answers, or since when it does not and why.
    pub fn connection(&self, failing: Option<(Instant, &str)>) {
        let (since, why) = failing.unzip();
        set(&mut self.lock().troubles, Part::Connection, why, since.unwrap_or_else(Instant::now));
    }

    /// Whether the internal and the external interface exist and have their programs.
    pub fn interfaces(&self, now: [(bool, bool); 2]) {
        for (interface, (present, attached)) in self.lock().interfaces.iter_mut().zip(now) {
            (interface.present, interface.attached) = (present, attached);
        }
    }

    /// What could not be programmed and is tried again.
    pub fn problems(&self, problems: Vec<String>) {
        self.lock().problems = problems;
    }
}

/// A trouble keeps its beginning while its words change.
fn set(troubles: &mut BTreeMap<Part, Trouble>, part: Part, why: Option<&str>, since: Instant) {
    match why {
        None => drop(troubles.remove(&part)),
        Some(why) => {
            let since = troubles.get(&part).map_or(since, |trouble| trouble.since);
            troubles.insert(part, Trouble { since, why: why.to_owned() });
        }
    }
}

impl State {
    /// How long ago the loop turned, if that is too long.
    #[must_use]
    pub fn hangs(&self, now: Instant) -> Option<Duration> {
        let age = now.saturating_duration_since(self.beat);
        (age > self.patience).then_some(age)
    }

    /// How old what is known of the source may be; zero when it is followed.
    #[must_use]
    pub fn staleness(&self, now: Instant) -> Duration {
        let began = self.troubles.values().map(|trouble| trouble.since).min();
        let since = if self.synced { began } else { Some(self.started) };
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESYNC: Duration = Duration::from_secs(10);

    fn health() -> Health {
        Health::new(["eth0", "net1"], RESYNC, Duration::from_mins(10))
    }

    #[test]
    fn a_loop_that_does_not_turn_hangs_after_a_minute_or_six_resyncs() {
        for (resync, seconds) in [(Duration::from_millis(100), 60), (RESYNC, 60), (Duration::from_mins(1), 360)] {
            let health = Health::new(["eth0", "net1"], resync, Duration::ZERO);
            health.beat();
            let state = health.state();
            let after = |seconds| state.hangs(state.beat + Duration::from_secs(seconds));
            assert_eq!(after(seconds), None, "{resync:?}");
            assert_eq!(after(seconds + 1), Some(Duration::from_secs(seconds + 1)), "{resync:?}");
        }
    }

    #[test]
    fn waiting_for_the_lock_is_no_hanging() {
        let health = health();
        let state = health.state();
        assert_eq!(state.hangs(state.started + Duration::from_mins(10)), None);
        health.beat();
        let state = health.state();
        assert!(state.hangs(state.beat + Duration::from_mins(10)).is_some());
    }

    #[test]
    fn a_trouble_keeps_its_beginning_and_ends_part_by_part() {
        let health = health();
        health.read(None);
        let began = Instant::now();
        health.connection(Some((began, "refused")));
        health.connection(Some((began + RESYNC, "no route")));
        health.read(Some("a file is broken"));
        let state = health.state();
        assert_eq!(state.troubles[&Part::Connection], Trouble { since: began, why: "no route".to_owned() });
        assert_eq!(state.staleness(began + RESYNC), RESYNC);
        health.connection(None);
        assert_eq!(health.state().troubles.keys().collect::<Vec<_>>(), [&Part::Reading]);
        health.read(None);
        assert!(health.state().troubles.is_empty());
        assert_eq!(health.state().staleness(began + RESYNC), Duration::ZERO);
    }

    #[test]
    fn a_reading_shows_that_the_source_is_open() {
        let health = health();
        health.open(Some("no such directory"));
        health.read(None);
        assert!(health.state().troubles.is_empty() && health.state().synced);
    }

    #[test]
    fn what_was_never_read_is_as_old_as_the_process() {
        let state = health().state();
        assert_eq!(state.staleness(state.started + RESYNC), RESYNC);
    }
}
