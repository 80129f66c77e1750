//! The task that writes statuses and Events. The daemon hands over what it wants said and never waits: a server that is
//! slow, gone or refuses delays nothing but what it is told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    core::Status,
};
use serde_json::Value;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{
    MANAGER,
    condition::find,
    events::{self, Note, Waiting},
    pace::{Outcome, Pace},
    wanted::Write,
};
use crate::{
    cluster::{
        errors::{answer, chain},
        watched::Watched,
    },
    core::{
        objects::{Kind, ObjectKey},
        printable::shortened,
    },
};

/// Writes under way at a time.
const AT_A_TIME: usize = 8;
/// One write takes no longer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What an API server answers, with status 500, to the apply of a field that the CRD does not have.
const UNDECLARED: &str = "field not declared in schema";
/// What 1.20 answers, with status 500, when what is stored does not keep the CRD's schema. A 422 that names a field of the
/// spec is taken for the same; no server of the tests gives it.
const UNTYPED: &str = "to smd typed";
/// Between two Events, so that many changes at once do not flood etcd.
const EVENT_INTERVAL: Duration = Duration::from_millis(20);

/// What the daemon hands over.
#[derive(Debug, Default)]
struct Inbox {
    writes: Option<BTreeMap<ObjectKey, Write>>,
    /// After `writes`.
    changes: BTreeMap<ObjectKey, Option<Write>>,
    notes: Waiting,
}

/// How many writes of each outcome there were, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Statuses that the server took.
    pub written: u64,
    /// Attempts that failed and are made again.
    pub failed: u64,
    /// Objects that were gone by then.
    pub gone: u64,
    /// Events that the server took.
    pub events: u64,
    /// Events that were forgotten: too many at once, or refused.
    pub events_dropped: u64,
}

#[derive(Debug, Default)]
struct Shared {
    inbox: Mutex<Inbox>,
    news: Notify,
    tally: Mutex<Tally>,
}

/// The daemon's side.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Writer {
    /// Starts the task.
    #[must_use]
    pub fn start(client: Client, gateway: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let state = Task {
            client,
            gateway: gateway.to_owned(),
            shared: shared.clone(),
            pace: Pace::default(),
            waiting: Waiting::default(),
            running: JoinSet::new(),
            event_running: None,
            next_event: Instant::now(),
            unknown: Vec::new(),
            invalid: BTreeMap::new(),
            complaints: BTreeMap::new(),
        };
        Self { shared, task: tokio::spawn(state.run()) }
    }

    /// Everything that has to be written, instead of what had to be before.
    pub fn set(&self, writes: BTreeMap<ObjectKey, Write>) {
        let mut inbox = self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.writes = Some(writes);
        inbox.changes.clear();
        drop(inbox);
        self.shared.news.notify_one();
    }

    /// What has to be written about some objects, `None` for nothing any more. About all others it is as before.
    pub fn update(&self, changes: BTreeMap<ObjectKey, Option<Write>>) {
        self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner).changes.extend(changes);
        self.shared.news.notify_one();
    }

    /// An Event.
    pub fn note(&self, note: Note) {
        let mut inbox = self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.notes.push(note);
        drop(inbox);
        self.shared.news.notify_one();
    }

    /// What was written so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        *self.shared.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Task {
    client: Client,
    gateway: String,
    shared: Arc<Shared>,
    pace: Pace,
    waiting: Waiting,
    running: JoinSet<(ObjectKey, Write, Result<Value, kube::Error>)>,
    event_running: Option<tokio::task::JoinHandle<Result<(), String>>>,
    next_event: Instant,
    /// Kinds whose CRD has no room for conditions.
    unknown: Vec<Kind>,
    /// Objects that the API server refuses as they are stored, with the reasons that were said to be.
    invalid: BTreeMap<ObjectKey, Vec<String>>,
    /// What was last said to be wrong with writing, by kind.
    complaints: BTreeMap<Kind, String>,
}

impl Task {
    async fn run(mut self) {
        loop {
            self.take_inbox();
            self.start_writes();
            self.start_event();
            let due = self.pace.next_due().filter(|_| self.running.len() < AT_A_TIME);
            let event_due = (self.event_running.is_none() && !self.waiting.is_empty()).then_some(self.next_event);
            tokio::select! {
                () = self.shared.news.notified() => {}
                Some(done) = self.running.join_next() => {
                    if let Ok((key, write, outcome)) = done {
                        self.finish(&key, &write, outcome);
                    }
                }
                outcome = finished(self.event_running.as_mut()) => {
                    self.event_running = None;
                    self.finish_event(outcome);
                }
                () = at(due) => {}
                () = at(event_due) => {}
            }
        }
    }

    fn take_inbox(&mut self) {
        let mut inbox = std::mem::take(&mut *self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(mut writes) = inbox.writes {
            writes.retain(|key, _| !self.unknown.contains(&key.kind));
            self.pace.set(writes, Instant::now());
        }
        let mut changes = inbox.changes;
        changes.retain(|key, _| !self.unknown.contains(&key.kind));
        for (key, _) in changes.iter().filter(|(_, write)| write.is_none()) {
            self.invalid.remove(key);
        }
        self.pace.update(changes, Instant::now());
        while let Some(note) = inbox.notes.pop() {
            self.waiting.push(note);
        }
        let dropped = inbox.notes.dropped() + self.waiting.dropped();
        self.count(|tally| tally.events_dropped += dropped);
    }

    fn start_writes(&mut self) {
        while self.running.len() < AT_A_TIME {
            let Some((key, write)) = self.pace.start(Instant::now()) else { return };
            let client = self.client.clone();
            self.running.spawn(async move {
                let outcome = apply(client, &key, &write).await;
                (key, write, outcome)
            });
        }
    }

    fn start_event(&mut self) {
        let now = Instant::now();
        if self.event_running.is_none()
            && now >= self.next_event
            && let Some(note) = self.waiting.pop()
        {
            self.next_event = now + EVENT_INTERVAL;
            self.event_running = Some(tokio::spawn(events::publish(self.client.clone(), self.gateway.clone(), note)));
        }
    }

    fn finish(&mut self, key: &ObjectKey, write: &Write, outcome: Result<Value, kube::Error>) {
        let outcome = match outcome {
            Ok(status) => {
                self.complain(key.kind, None);
                self.invalid.remove(key);
                self.count(|tally| tally.written += 1);
                if write.conditions.iter().any(|condition| find(&status, condition.kind).is_none()) {
                    self.has_no_conditions(key.kind);
                }
                for note in write.notes(key) {
                    self.waiting.push(note);
                }
                Outcome::Written
            }
            // The object is gone, or another one has its name.
            Err(error) if answer(&error).is_some_and(is_gone) => {
                self.count(|tally| tally.gone += 1);
                self.invalid.remove(key);
                Outcome::Gone
            }
            Err(error) if answer(&error).is_some_and(|status| status.message.contains(UNDECLARED)) => {
                self.has_no_conditions(key.kind);
                for note in write.notes(key) {
                    self.waiting.push(note);
                }
                Outcome::Gone
            }
            // What is stored does not keep the schema, so no status of it does. Somebody may change it.
            Err(error) if answer(&error).is_some_and(is_invalid) => {
                self.count(|tally| tally.failed += 1);
                let reasons: Vec<_> = write.conditions.iter().map(|condition| condition.reason.clone()).collect();
                if self.invalid.insert(key.clone(), reasons.clone()).as_ref() != Some(&reasons) {
                    tracing::warn!(object = %key, "cannot write the condition of {key}: {}", shortened(chain(&error)));
                    for note in write.notes(key) {
                        self.waiting.push(note);
                    }
                }
                Outcome::Failed
            }
            Err(error) => {
                self.count(|tally| tally.failed += 1);
                self.complain(key.kind, Some(refusal(key, &error)));
                Outcome::Failed
            }
        };
        self.pace.finish(key, outcome, Instant::now());
    }

    /// kube-ovn's own `VpcNatGateway` is such a kind.
    fn has_no_conditions(&mut self, kind: Kind) {
        if !self.unknown.contains(&kind) {
            self.unknown.push(kind);
            tracing::warn!(
                %kind,
                "the CRD of {kind} has no status.conditions: only Events are written (`natgw crds --kind {kind}` prints \
                 a CRD that has)"
            );
        }
    }

    fn finish_event(&mut self, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.count(|tally| tally.events += 1),
            Err(error) => {
                // An Event is not worth a second try: what it says is in the conditions as well.
                self.count(|tally| tally.events_dropped += 1);
                tracing::debug!("cannot write an Event: {error}");
            }
        }
    }

    /// Says once for each kind what is wrong, and that it is right again.
    fn complain(&mut self, kind: Kind, complaint: Option<String>) {
        if let Some(text) = complaint {
            if !self.complaints.contains_key(&kind) {
                tracing::warn!("{text}; the data plane is not concerned");
            }
            self.complaints.insert(kind, text);
        } else if self.complaints.remove(&kind).is_some() {
            tracing::info!(%kind, "conditions of {kind} are written again");
        }
    }

    fn count(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.shared.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The object is gone, or another one has its name: the `uid` that was asked for is not its own.
fn is_gone(status: &Status) -> bool {
    matches!(status.code, 404 | 409) || (status.code == 422 && status.message.contains("metadata.uid"))
}

/// What is stored does not keep the CRD's schema, whatever is written into its status.
fn is_invalid(status: &Status) -> bool {
    status.message.contains(UNTYPED) || (status.code == 422 && status.message.contains("spec."))
}

fn refusal(key: &ObjectKey, error: &kube::Error) -> String {
    let plural = key.kind.plural();
    if answer(error).is_some_and(|status| status.code == 403) {
        return format!(
            "cannot write conditions: patching `{plural}/status` is forbidden; the ServiceAccount needs patch on it \
             (deploy/base/manifests/rbac.yaml)"
        );
    }
    format!("cannot write conditions of {}: {}", key.kind, chain(error))
}

/// Applies the status and returns the one the server now has.
async fn apply(client: Client, key: &ObjectKey, write: &Write) -> Result<Value, kube::Error> {
    let api: Api<Watched> = Api::all_with(client, &key.kind);
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let params = PatchParams::apply(MANAGER).force();
    let patch = Patch::Apply(write.patch(key, &now));
    match timeout(TIMEOUT, api.patch_status(&key.name, &params, &patch)).await {
        Ok(answer) => answer.map(|object| object.status),
        Err(_) => Err(kube::Error::Service(format!("no answer within {TIMEOUT:?}").into())),
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn finished(task: Option<&mut tokio::task::JoinHandle<Result<(), String>>>) -> Result<(), String> {
    match task {
        Some(task) => task.await.unwrap_or_else(|error| Err(error.to_string())),
        None => std::future::pending().await,
    }
}
