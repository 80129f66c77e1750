//! Which statuses have to be written: the difference between what should be said and what the API server holds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    condition::Condition,
    events::{Note, Severity},
    mirror::Mirrors,
    ready::GatewayFacts,
};
use crate::{
    cluster::source::ClusterSource,
    core::{
        desired::DesiredState,
        index::Index,
        objects::{API_VERSION, Kind, ObjectKey},
        verdict::{PROGRAMMED, Verdict},
    },
};

/// One status that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// `metadata.uid`: an object that was deleted and made again is another one.
    pub uid: String,
    /// What is to be said.
    pub conditions: Vec<Condition>,
    /// Further fields of the status; null: it has to be absent.
    pub fields: Map<String, Value>,
    /// What the server holds now.
    pub before: Value,
}

impl Write {
    /// Whether a status already says all of it.
    #[must_use]
    pub fn is_in(&self, status: &Value) -> bool {
        self.conditions.iter().all(|condition| condition.is_in(status))
            && self.fields.iter().all(|(name, value)| match status.get(name) {
                Some(there) => there == value || (value.is_null() && there == ""),
                None => value.is_null(),
            })
    }

    /// Whether it says the same as another, times and what was there before aside.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.uid == other.uid && self.conditions == other.conditions && self.fields == other.fields
    }

    /// Whether every condition is good news.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.conditions.iter().all(|condition| condition.status)
    }

    /// The body of the server-side apply.
    #[must_use]
    pub fn patch(&self, key: &ObjectKey, now: &str) -> Value {
        let fields = self.fields.iter().filter(|(_, value)| !value.is_null());
        let mut status: Map<_, _> = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
        let conditions = self.conditions.iter().map(|condition| condition.to_json(&self.before, now)).collect();
        status.insert("conditions".to_owned(), Value::Array(conditions));
        json!({
            "apiVersion": API_VERSION,
            "kind": key.kind.name(),
            "metadata": {"name": &*key.name, "uid": self.uid},
            "status": status,
        })
    }

    /// An Event for each condition whose status or reason changes.
    pub fn notes<'a>(&'a self, key: &'a ObjectKey) -> impl Iterator<Item = Note> + 'a {
        self.conditions.iter().filter(|condition| condition.is_news_to(&self.before)).map(|condition| Note {
            about: key.clone(),
            uid: self.uid.clone(),
            severity: if condition.status { Severity::Normal } else { Severity::Warning },
            reason: condition.reason.clone(),
            action: condition.kind.to_owned(),
            text: condition.message.clone(),
        })
    }
}

/// Everything that goes into statuses.
pub struct Said<'a> {
    /// The objects.
    pub index: &'a Index,
    /// Whose they are.
    pub gateway: &'a str,
    /// What they come to.
    pub state: &'a DesiredState,
    /// What became of each.
    pub verdicts: &'a BTreeMap<ObjectKey, Verdict>,
    /// The gateway as a whole.
    pub facts: &'a GatewayFacts,
    /// Whether the fields of kube-ovn's controller are natgw's to write.
    pub own_status: bool,
}

/// The statuses that have to be written.
#[must_use]
pub fn differences(said: &Said<'_>, cluster: &ClusterSource) -> BTreeMap<ObjectKey, Write> {
    let mirrors = said.mirrors();
    let write = |key: &ObjectKey| Some((key.clone(), said.difference(cluster, mirrors.as_ref(), key)?));
    said.verdicts.keys().filter_map(write).collect()
}

/// Those of some objects; `None` where nothing has to be written.
#[must_use]
pub fn differences_of(
    said: &Said<'_>,
    cluster: &ClusterSource,
    keys: BTreeSet<ObjectKey>,
) -> BTreeMap<ObjectKey, Option<Write>> {
    let mirrors = said.mirrors();
    let write = |key: ObjectKey| {
        let write = said.difference(cluster, mirrors.as_ref(), &key);
        (key, write)
    };
    keys.into_iter().map(write).collect()
}

impl Said<'_> {
    fn mirrors(&self) -> Option<Mirrors<'_>> {
        self.own_status.then(|| Mirrors::new(self.index, self.gateway, self.state))
    }

    fn difference(&self, cluster: &ClusterSource, mirrors: Option<&Mirrors<'_>>, key: &ObjectKey) -> Option<Write> {
        let verdict = self.verdicts.get(key)?;
        let observed = cluster.observed(key)?;
        let mut conditions =
            vec![Condition::new(PROGRAMMED, verdict.programmed, &verdict.reason, &verdict.message, verdict.generation)];
        let mut ready = verdict.programmed;
        if key.kind == Kind::VpcNatGateway && *key.name == *self.gateway {
            let condition = self.facts.condition(verdict.generation);
            ready &= condition.status;
            conditions.push(condition);
        }
        let fields = mirrors.map(|mirrors| mirrors.of(key, ready, &observed.status)).unwrap_or_default();
        let write = Write { uid: observed.uid.clone(), conditions, fields, before: Value::Null };
        (!write.is_in(&observed.status)).then(|| Write { before: observed.status.clone(), ..write })
    }
}
