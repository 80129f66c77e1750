//! The daemon's JSON log lines: collected by a thread, waited for without sleeping.

use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// One line of a daemon's log.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// When the harness read it.
    pub at: Instant,
    /// As printed.
    pub text: String,
    json: Value,
}

impl LogLine {
    fn new(text: String) -> Self {
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { at: Instant::now(), text, json }
    }

    /// A field of the event, as tracing's JSON nests it.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.json.get("fields").and_then(|fields| fields.get(name)).or_else(|| self.json.get(name))
    }

    /// The event's message; empty when the line is no JSON.
    #[must_use]
    pub fn message(&self) -> &str {
        self.field("message").and_then(Value::as_str).unwrap_or_default()
    }

    /// A numeric field.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.field(name).and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()))
    }
}

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<State>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<LogLine>,
    open: usize,
}

/// Everything that a daemon has printed so far.
#[derive(Debug, Clone, Default)]
pub struct Logs(Arc<Shared>);

impl Logs {
    /// Starts to collect what `stream` carries.
    pub(crate) fn collect(&self, stream: impl Read + Send + 'static) {
        self.lock().open += 1;
        let logs = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                logs.lock().lines.push(LogLine::new(line));
                logs.0.grown.notify_all();
            }
            logs.lock().open -= 1;
            logs.0.grown.notify_all();
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How many lines there are: a mark for [`Logs::wait_from`].
    #[must_use]
    pub fn mark(&self) -> usize {
        self.lock().lines.len()
    }

    /// A copy of all lines.
    #[must_use]
    pub fn lines(&self) -> Vec<LogLine> {
        self.lock().lines.clone()
    }

    /// The log as text, for messages.
    #[must_use]
    pub fn text(&self) -> String {
        self.lock().lines.iter().flat_map(|line| ["  | ", &line.text, "\n"]).collect()
    }

    /// Waits until the daemon has closed its outputs, that is ended, and returns the whole log as text.
    #[must_use]
    pub fn closed(&self) -> String {
        let mut state = self.lock();
        while state.open > 0 {
            state = self.0.grown.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        drop(state);
        self.text()
    }

    /// Waits for a line at or after `mark` that `wanted` picks; `None` when the time is over or the daemon has closed
    /// its outputs.
    #[must_use]
    pub fn wait_from(&self, mark: usize, timeout: Duration, wanted: impl Fn(&LogLine) -> bool) -> Option<LogLine> {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        let mut next = mark;
        loop {
            if let Some(line) = state.lines.get(next..).and_then(|new| new.iter().find(|line| wanted(line))) {
                return Some(line.clone());
            }
            next = state.lines.len().max(mark);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.open == 0 {
                return None;
            }
            (state, _) = self.0.grown.wait_timeout(state, left).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }
}
