//! What follows from the facts: ready or not, and why. Pure; ADR 0015 has the reasons.
//!
//! Ready means that the data plane forwards what the daemon knows. A source that cannot be reached is said but does not
//! make it un-ready: nothing that forwards would forward better for being taken out of service.

use std::{
    fmt::{self, Write as _},
    time::{Duration, Instant},
};

use serde::Serialize;

use super::health::State;

/// Why the gateway is not ready, or not up to date. The words are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Reason {
    /// The first pass is not done yet.
    Starting,
    /// The source was not read since the start, and nothing was pinned.
    SourceNeverSynced,
    /// What is known of the source may be out of date.
    SourceStale,
    /// An interface does not exist.
    InterfaceMissing,
    /// An interface has no programs.
    NotAttached,
    /// Something that is wanted could not be programmed.
    NotProgrammed,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Starting,
        Self::SourceNeverSynced,
        Self::SourceStale,
        Self::InterfaceMissing,
        Self::NotAttached,
        Self::NotProgrammed,
    ];

    /// Whether the gateway is not ready because of it.
    #[must_use]
    pub const fn blocks(self) -> bool {
        match self {
            Self::SourceStale => false,
            Self::Starting
            | Self::SourceNeverSynced
            | Self::InterfaceMissing
            | Self::NotAttached
            | Self::NotProgrammed => true,
        }
    }
}

/// A reason and what it is in this case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The word.
    pub reason: Reason,
    /// The sentence.
    pub message: String,
}

/// The answer of `/readyz`. Prints as its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Whether the gateway forwards.
    pub ready: bool,
    /// Everything that is not as it should be.
    pub reasons: Vec<Finding>,
}

impl Readiness {
    /// Decides.
    #[must_use]
    pub fn of(state: &State, now: Instant) -> Self {
        // Before the first pass nothing else is known.
        let reasons = if state.begun { findings(state, now) } else { vec![starting(state)] };
        Self { ready: !reasons.iter().any(|finding| finding.reason.blocks()), reasons }
    }

    /// Whether what is known of the source may be out of date.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.reasons.iter().any(|finding| finding.reason == Reason::SourceStale)
    }
}

fn finding(reason: Reason, message: impl Into<String>) -> Finding {
    Finding { reason, message: message.into() }
}

fn starting(state: &State) -> Finding {
    finding(Reason::Starting, state.stage)
}

fn findings(state: &State, now: Instant) -> Vec<Finding> {
    let mut all: Vec<Finding> = source(state, now).into_iter().collect();
    for interface in &state.interfaces {
        let name = &interface.name;
        if !interface.present {
            let text = format!("interface `{name}` does not exist; waiting for it");
            all.push(finding(Reason::InterfaceMissing, text));
        } else if !interface.attached {
            let text = format!("no program is attached to `{name}`; the log says why");
            all.push(finding(Reason::NotAttached, text));
        }
    }
    if let Some(first) = state.problems.first() {
        let more = state.problems.len() - 1;
        let rest = if more == 0 { String::new() } else { format!(" (and {more} more)") };
        all.push(finding(Reason::NotProgrammed, format!("{first}{rest}")));
    }
    all
}

fn source(state: &State, now: Instant) -> Option<Finding> {
    let troubles: Vec<&str> = state.troubles.values().map(|trouble| trouble.why.as_str()).collect();
    let why = if troubles.is_empty() { "it has not answered yet".to_owned() } else { troubles.join("; ") };
    let age = rounded(state.staleness(now));
    if state.synced {
        return (!troubles.is_empty()).then(|| finding(Reason::SourceStale, format!("for {age}: {why}")));
    }
    // Pinned maps without any EIP forward nothing: they were made by a start that came no further.
    let pinned = state.loaded.map_or(0, |loaded| loaded.eips);
    Some(if pinned == 0 {
        finding(Reason::SourceNeverSynced, format!("the source has not been read completely for {age}: {why}"))
    } else {
        let text = format!("not read since the start {age} ago, what was pinned ({pinned} EIPs) forwards: {why}");
        finding(Reason::SourceStale, text)
    })
}

/// For people: whole seconds.
fn rounded(age: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(age.as_secs()))
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.ready { "ready\n" } else { "not ready\n" })?;
        for Finding { reason, message } in &self.reasons {
            let text = one_line(message);
            if *reason == Reason::SourceStale {
                writeln!(f, "stale: {text}")?;
            } else {
                writeln!(f, "{reason:?}: {text}")?;
            }
        }
        Ok(())
    }
}

/// Errors of the API server may have several lines; a reason has one.
fn one_line(text: &str) -> String {
    text.split_whitespace().fold(String::new(), |mut line, word| {
        let space = if line.is_empty() { "" } else { " " };
        // Writing to a String cannot fail.
        let _ = write!(line, "{space}{word}");
        line
    })
}

#[cfg(test)]
mod tests;
