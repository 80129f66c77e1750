//! Probes that count every lost packet: sequence numbers at a fixed rate, echoed by the other end.

mod icmp;
mod udp;

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

pub use icmp::{IcmpProbe, echo_request, raw_icmp};
pub use udp::{UdpEcho, UdpProbe};

/// 1 kHz.
pub const MILLISECOND: Duration = Duration::from_millis(1);

/// How long after the last packet an answer may still come.
const LINGER: Duration = Duration::from_secs(2);

/// What a probe saw.
#[derive(Debug, Clone, Default)]
pub struct ProbeReport {
    /// Packets sent.
    pub sent: u64,
    /// Distinct packets that came back.
    pub received: u64,
    /// Copies beyond the first.
    pub duplicated: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Packets that came back changed, or from an address that was not asked.
    pub corrupted: u64,
    /// The longest time between two answers.
    pub max_gap: Duration,
    /// Sending failed (`EPERM`, `ENETUNREACH`, ...).
    pub send_errors: Vec<String>,
    /// The sequence numbers that never came back (the first hundred).
    pub missing: BTreeSet<u64>,
}

impl ProbeReport {
    /// Packets that never came back.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.sent - self.received
    }

    /// Whether every packet came back once, in order and unchanged, and the probe really ran.
    ///
    /// # Errors
    /// What is wrong.
    pub fn lossless(&self) -> Result<(), String> {
        if self.sent < 10 {
            return Err(format!("the probe hardly ran: {self}"));
        }
        let problems = self.lost() + self.duplicated + self.reordered + self.corrupted;
        if problems == 0 && self.send_errors.is_empty() { Ok(()) } else { Err(self.to_string()) }
    }

    /// Asserts that every packet came back once, in order and unchanged, and that the probe really ran.
    ///
    /// # Panics
    /// When not.
    pub fn assert_lossless(&self, what: &str) {
        if let Err(why) = self.lossless() {
            panic!("{what}: {why}");
        }
    }
}

impl fmt::Display for ProbeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, duplicated, reordered, corrupted, max_gap, .. } = self;
        let lost = self.lost();
        write!(f, "{sent} sent, {lost} lost, {duplicated} duplicated, {reordered} reordered, {corrupted} corrupted, ")?;
        write!(f, "longest gap {max_gap:?}")?;
        if !self.missing.is_empty() {
            write!(f, ", missing {:?}", self.missing)?;
        }
        if let Some(error) = self.send_errors.first() {
            write!(f, ", {} send errors, the first: {error}", self.send_errors.len())?;
        }
        Ok(())
    }
}

/// Collects answers.
#[derive(Debug, Default)]
struct Tally {
    report: ProbeReport,
    seen: HashSet<u64>,
    highest: Option<u64>,
    last: Option<Instant>,
}

impl Tally {
    fn answer(&mut self, sequence: u64) {
        let now = Instant::now();
        if !self.seen.insert(sequence) {
            self.report.duplicated += 1;
            return;
        }
        self.report.received += 1;
        if let Some(last) = self.last {
            self.report.max_gap = self.report.max_gap.max(now - last);
        }
        self.last = Some(now);
        match self.highest {
            Some(highest) if sequence < highest => self.report.reordered += 1,
            Some(_) | None => self.highest = Some(sequence),
        }
    }

    fn finish(mut self, sent: u64, send_errors: Vec<String>) -> ProbeReport {
        self.report.sent = sent;
        self.report.send_errors = send_errors;
        self.report.missing = (0..sent).filter(|sequence| !self.seen.contains(sequence)).take(100).collect();
        self.report
    }
}

/// Ends the threads of a probe or of a test, also when the test panics before it stops them.
#[derive(Debug)]
pub struct StopOnDrop(pub Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How many packets were sent, once that is known.
#[derive(Debug, Clone, Default)]
struct Total(Arc<Mutex<Option<u64>>>);

impl Total {
    fn set(&self, count: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(count);
    }

    fn get(&self) -> Option<u64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
