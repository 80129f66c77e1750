//! One condition in an object's status.

use serde_json::{Value, json};

/// What a condition says, times aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `Programmed` or `Ready`.
    pub kind: &'static str,
    /// True or False.
    pub status: bool,
    /// A stable word.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The generation that was judged.
    pub generation: i64,
}

/// The longest message: the API's limit for a `metav1.Condition` is 32768, and nobody reads that far.
const MESSAGE_MAX: usize = 1024;

impl Condition {
    /// Cuts the message to what a reader can take in.
    #[must_use]
    pub fn new(kind: &'static str, status: bool, reason: &str, message: &str, generation: i64) -> Self {
        let mut message = message.to_owned();
        if let Some((end, _)) = message.char_indices().nth(MESSAGE_MAX) {
            message.truncate(end);
            message.push_str(" ...");
        }
        Self { kind, status, reason: reason.to_owned(), message, generation }
    }

    const fn word(&self) -> &'static str {
        if self.status { "True" } else { "False" }
    }

    /// Whether `status` already says this. A server whose CRD does not know `observedGeneration` drops it: an absent one
    /// is no difference.
    #[must_use]
    pub fn is_in(&self, status: &Value) -> bool {
        let Some(there) = find(status, self.kind) else { return false };
        let text = |field: &str| there.get(field).and_then(Value::as_str).unwrap_or_default();
        let generation = there.get("observedGeneration").and_then(Value::as_i64);
        text("status") == self.word()
            && text("reason") == self.reason
            && text("message") == self.message
            && generation.is_none_or(|generation| generation == self.generation)
    }

    /// Whether status and reason differ from what `status` says: worth an Event.
    #[must_use]
    pub fn is_news_to(&self, status: &Value) -> bool {
        find(status, self.kind).is_none_or(|there| {
            there.get("status").and_then(Value::as_str) != Some(self.word())
                || there.get("reason").and_then(Value::as_str) != Some(&self.reason)
        })
    }

    /// As the API has it. `lastTransitionTime` stays what it was unless the status changes.
    #[must_use]
    pub fn to_json(&self, status: &Value, now: &str) -> Value {
        let before =
            find(status, self.kind).filter(|there| there.get("status").and_then(Value::as_str) == Some(self.word()));
        let since = before.and_then(|there| there.get("lastTransitionTime")?.as_str()).unwrap_or(now);
        json!({
            "type": self.kind,
            "status": self.word(),
            "reason": self.reason,
            "message": self.message,
            "observedGeneration": self.generation,
            "lastTransitionTime": since,
            "lastUpdateTime": now,
        })
    }
}

/// The condition of type `kind` in a status.
#[must_use]
pub(super) fn find<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = status.get("conditions")?.as_array()?;
    conditions.iter().find(|condition| condition.get("type").and_then(Value::as_str) == Some(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(status: bool, reason: &str) -> Condition {
        Condition::new("Programmed", status, reason, "m", 4)
    }

    #[test]
    fn what_was_written_is_found_to_be_there() {
        let condition = condition(false, "EipMissing");
        let mut status = json!({"conditions": [condition.to_json(&Value::Null, "2026-01-01T00:00:00Z")]});
        assert!(condition.is_in(&status) && !condition.is_news_to(&status));
        status["conditions"][0].as_object_mut().expect("an object").remove("observedGeneration");
        assert!(condition.is_in(&status), "a server that prunes the generation must not be written to for ever");
        status["conditions"][0]["observedGeneration"] = json!(3);
        assert!(!condition.is_in(&status) && !condition.is_news_to(&status));
        assert!(!condition.is_in(&Value::Null) && condition.is_news_to(&Value::Null));
    }

    #[test]
    fn the_time_of_the_transition_moves_with_the_status_only() {
        let first = json!({"conditions": [condition(false, "A").to_json(&Value::Null, "1")]});
        assert_eq!(condition(false, "B").to_json(&first, "2")["lastTransitionTime"], "1");
        assert_eq!(condition(true, "B").to_json(&first, "2")["lastTransitionTime"], "2");
        assert_eq!(condition(false, "B").to_json(&first, "2")["lastUpdateTime"], "2");
    }

    #[test]
    fn an_endless_message_is_cut_between_characters() {
        let long = "ä".repeat(5000);
        let cut = Condition::new("Programmed", true, "R", &long, 0).message;
        assert!(cut.ends_with("ä ...") && cut.chars().count() == MESSAGE_MAX + 4);
    }
}
