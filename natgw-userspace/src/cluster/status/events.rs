//! Events: what happened, for `kubectl describe`. At most so many at a time, and never waited for.

use std::{collections::VecDeque, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::time::timeout;

use super::MANAGER;
use crate::core::objects::{API_VERSION, ObjectKey};

/// Events that wait; a good one more is forgotten, and the oldest good one gives way to a bad one.
const WAITING_MAX: usize = 512;
/// One Event takes no longer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The API's limit for a note is 1 kB.
const NOTE_MAX: usize = 1000;

/// Whether it is something to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// No.
    Normal,
    /// Yes.
    Warning,
}

/// One Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The object.
    pub about: ObjectKey,
    /// Its uid.
    pub uid: String,
    /// Whether it is something to look at.
    pub severity: Severity,
    /// A stable word.
    pub reason: String,
    /// What natgw did or tried.
    pub action: String,
    /// For people.
    pub text: String,
}

/// Events that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    notes: VecDeque<Note>,
    dropped: u64,
}

impl Waiting {
    pub(super) fn push(&mut self, note: Note) {
        if self.notes.len() >= WAITING_MAX {
            self.dropped += 1;
            let good = self.notes.iter().position(|waiting| waiting.severity == Severity::Normal);
            match good {
                Some(position) => drop(self.notes.remove(position)),
                None if note.severity == Severity::Warning => drop(self.notes.pop_front()),
                None => return,
            }
        }
        self.notes.push_back(note);
    }

    pub(super) fn pop(&mut self) -> Option<Note> {
        self.notes.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// How many were forgotten since the last call.
    pub(super) fn dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

/// The recorder for the gateway of this name: several gateways on a node are told apart.
pub(super) fn recorder(client: Client, gateway: &str) -> Recorder {
    Recorder::new(client, Reporter { controller: MANAGER.to_owned(), instance: Some(gateway.to_owned()) })
}

/// Writes one Event.
///
/// # Errors
/// In words.
pub(super) async fn publish(recorder: Recorder, note: Note) -> Result<(), String> {
    let mut text = note.text;
    if text.len() > NOTE_MAX {
        let end = (0..=NOTE_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    let event = Event {
        type_: match note.severity {
            Severity::Normal => EventType::Normal,
            Severity::Warning => EventType::Warning,
        },
        reason: note.reason,
        note: Some(text),
        action: note.action,
        secondary: None,
    };
    let about = ObjectReference {
        api_version: Some(API_VERSION.to_owned()),
        kind: Some(note.about.kind.name().to_owned()),
        name: Some(note.about.name),
        uid: Some(note.uid),
        ..ObjectReference::default()
    };
    match timeout(TIMEOUT, recorder.publish(&event, &about)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {TIMEOUT:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::objects::Kind;

    fn note(severity: Severity, reason: &str) -> Note {
        Note {
            about: ObjectKey::new(Kind::IptablesEip, "a"),
            uid: String::new(),
            severity,
            reason: reason.to_owned(),
            action: String::new(),
            text: String::new(),
        }
    }

    #[test]
    fn warnings_outlast_good_news_when_there_is_no_room() {
        let mut waiting = Waiting::default();
        for n in 0..WAITING_MAX {
            waiting.push(note(if n == 5 { Severity::Warning } else { Severity::Normal }, &n.to_string()));
        }
        for n in 0..WAITING_MAX + 10 {
            waiting.push(note(Severity::Warning, &format!("w{n}")));
        }
        waiting.push(note(Severity::Normal, "late"));
        assert_eq!(waiting.dropped(), u64::try_from(WAITING_MAX).expect("small") + 11);
        let left: Vec<_> = std::iter::from_fn(|| waiting.pop()).collect();
        assert_eq!(left.len(), WAITING_MAX);
        assert!(left.iter().all(|note| note.severity == Severity::Warning));
        assert_eq!(left.last().map(|note| note.reason.clone()), Some(format!("w{}", WAITING_MAX + 9)));
    }
}
