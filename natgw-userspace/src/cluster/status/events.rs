//! Events: what happened, for `kubectl describe`. At most so many at a time, and never waited for.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams};
use tokio::time::timeout;

use super::MANAGER;
use crate::core::objects::{API_VERSION, ObjectKey};

/// Where Events about cluster-scoped objects live. API servers before 1.21 accept them here only, later ones in `default`
/// as well; kube's own recorder cannot be told.
pub const NAMESPACE: &str = "kube-system";
/// Events that wait; a good one more is forgotten, and the oldest good one gives way to a bad one.
const WAITING_MAX: usize = 512;
/// One Event takes no longer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The API's limit for a note is 1 kB.
const NOTE_MAX: usize = 1000;
/// The longest name, in bytes.
const NAME_MAX: usize = 253;
/// The longest `reportingInstance`, in bytes (k8s.io/kubernetes, validation of events.k8s.io/v1).
const INSTANCE_MAX: usize = 128;

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

/// Writes one Event, reported by the gateway of this name.
///
/// # Errors
/// In words.
pub(super) async fn publish(client: Client, gateway: String, note: Note) -> Result<(), String> {
    let events: Api<Event> = Api::namespaced(client, NAMESPACE);
    let event = event(&gateway, note, SystemTime::now());
    match timeout(TIMEOUT, events.create(&PostParams::default(), &event)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {TIMEOUT:?}")),
    }
}

fn event(gateway: &str, note: Note, now: SystemTime) -> Event {
    let text = cut(&note.text, NOTE_MAX).to_owned();
    let kind = match note.severity {
        Severity::Normal => "Normal",
        Severity::Warning => "Warning",
    };
    let nanos = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    Event {
        metadata: ObjectMeta {
            name: Some(name(&note.about.name, nanos)),
            namespace: Some(NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        event_time: Timestamp::try_from(now).ok().map(MicroTime),
        reporting_controller: Some(MANAGER.to_owned()),
        // Several gateways of a cluster are told apart.
        reporting_instance: Some(cut(gateway, INSTANCE_MAX).to_owned()),
        action: Some(note.action),
        reason: Some(note.reason),
        note: Some(text),
        type_: Some(kind.to_owned()),
        regarding: Some(ObjectReference {
            api_version: Some(API_VERSION.to_owned()),
            kind: Some(note.about.kind.name().to_owned()),
            name: Some(note.about.name.to_string()),
            uid: Some(note.uid),
            ..ObjectReference::default()
        }),
        ..Event::default()
    }
}

/// The name of an Event about the object `about`: a DNS subdomain (RFC 1123), as its own is, and no longer.
fn name(about: &str, nanos: u128) -> String {
    let suffix = format!(".{nanos:x}");
    let begin = cut(about, NAME_MAX - suffix.len()).trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    format!("{begin}{suffix}")
}

/// As much of `text` as `max` bytes hold.
fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::objects::Kind;

    #[test]
    fn the_names_of_an_object_and_a_gateway_may_be_as_long_as_names_can_be() {
        let mut long = note(Severity::Warning, "EipMissing");
        long.about.name = format!("{}.{}", "a".repeat(235), "b".repeat(17)).into();
        let event = event(&"g".repeat(253), long, UNIX_EPOCH + Duration::from_nanos(u64::MAX));
        assert_eq!(event.metadata.name, Some(format!("{}.ffffffffffffffff", "a".repeat(235))));
        assert_eq!(event.reporting_instance.map(|instance| instance.len()), Some(128));
        assert_eq!(event.regarding.and_then(|about| about.name).map(|name| name.len()), Some(253));
    }

    #[test]
    fn an_event_about_a_cluster_scoped_object_names_no_namespace_of_it() {
        let long = Note { text: "ä".repeat(NOTE_MAX), ..note(Severity::Warning, "EipMissing") };
        let event = event("gw1", long, UNIX_EPOCH + Duration::from_secs(1));
        assert_eq!(event.metadata.name.as_deref(), Some("a.3b9aca00"));
        assert_eq!(event.metadata.namespace.as_deref(), Some(NAMESPACE));
        let about = event.regarding.expect("an object");
        assert_eq!((about.namespace, about.kind.as_deref()), (None, Some("IptablesEIP")));
        assert!(event.note.is_some_and(|note| note.len() <= NOTE_MAX && note.ends_with('ä')));
    }

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
