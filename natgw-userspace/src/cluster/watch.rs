//! One task per kind that lists, watches and starts again, and passes on what it hears.

use std::{pin::pin, time::Duration};

use futures::StreamExt as _;
use kube::{
    Api, Client,
    api::ListParams,
    runtime::watcher::{self, Config, Event, watcher},
};
use tokio::{sync::mpsc::Sender, time::timeout};

use super::{
    delays::Delays,
    errors::{explain, is_expired, retry_after},
    links::Links,
    watched::Watched,
};
use crate::core::objects::Kind;

/// Seconds after which the server ends a watch and it is resumed: a connection that died without a word is noticed.
pub(super) const WATCH_TIMEOUT: u32 = 60;
/// Objects per page of a list.
const PAGE: u32 = 2000;
/// What is at hand comes at once, or the newest had better be asked for.
const AT_HAND: Duration = Duration::from_secs(5);

/// What is heard about the objects of a kind.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are events")]
pub(super) enum Told {
    /// All that the server had in memory. It may be of a moment ago.
    AtHand(Vec<Watched>),
    /// An event of the watch.
    Event(Event<Watched>),
}

/// Which kind it is about.
pub(super) type Heard = (Kind, Told);

/// How the objects of a kind are chosen and read.
#[derive(Debug, Clone, Default)]
pub(super) struct Selection {
    /// A label selector; `None`: all.
    pub(super) labels: Option<String>,
    /// What is read first.
    pub(super) first: First,
}

/// What is read first. Whatever it is, the newest list there is follows, and only that one is complete: what it does not
/// name is removed, so it may not be of a moment ago. That also rules out kube's streaming lists (ADR 0016).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum First {
    /// The newest list, in pages: what nobody waits for is kind to the memory of both sides.
    #[default]
    Newest,
    /// What the server has in memory, in one answer and in a third of the time (ADR 0016), also while its etcd is away. For a
    /// gateway that has nothing yet.
    AtHand,
}

impl Selection {
    fn config(&self) -> Config {
        let config = Config::default().timeout(WATCH_TIMEOUT).page_size(PAGE);
        match &self.labels {
            Some(labels) => config.labels(labels),
            None => config,
        }
    }

    /// `None`: whatever was wrong with it, the list that follows tells.
    async fn at_hand(&self, api: &Api<Watched>) -> Option<Told> {
        let all = ListParams { label_selector: self.labels.clone(), ..ListParams::default() }.match_any();
        let list = timeout(AT_HAND, api.list(&all)).await.ok()?;
        let list = list.inspect_err(|error| tracing::debug!(%error, "the API server has nothing at hand")).ok()?;
        Some(Told::AtHand(list.items))
    }
}

/// Watches until the receiver is gone.
pub(super) async fn watch(kind: Kind, client: Client, selection: Selection, links: Links, heard: Sender<Heard>) {
    let api: Api<Watched> = Api::all_with(client, &kind);
    let mut first = selection.first;
    // Gateways start together after an outage; they should not ask together.
    let mut delays = Delays::default();
    let mut events = pin!(watcher(api.clone(), selection.config()));
    loop {
        // Again before every list, as long as there was neither.
        if first == First::AtHand
            && let Some(told) = selection.at_hand(&api).await
        {
            first = First::Newest;
            if heard.send((kind, told)).await.is_err() {
                return;
            }
        }
        loop {
            match events.next().await {
                Some(Ok(event)) => {
                    match event {
                        // The beginning of an attempt is no success.
                        Event::Init => links.listing(kind),
                        Event::InitApply(_) | Event::Apply(_) | Event::Delete(_) => delays.reset(),
                        Event::InitDone => {
                            delays.reset();
                            first = First::Newest;
                        }
                    }
                    if heard.send((kind, Told::Event(event))).await.is_err() {
                        return;
                    }
                }
                Some(Err(error)) => {
                    let expired = is_expired(&error);
                    let delay = if expired {
                        // The server is well: what comes is a list.
                        delays.reset();
                        delays.next()
                    } else {
                        retry_after(&error).map_or_else(|| delays.next(), Delays::asked)
                    };
                    pause(kind, &error, &links, delay).await;
                    if expired && matches!(error, watcher::Error::WatchStartFailed(_)) {
                        // Told by an event it lists by itself; told like this it would ask for the same moment for ever.
                        events.set(watcher(api.clone(), selection.config()));
                    }
                    if first == First::AtHand {
                        break;
                    }
                }
                // It never ends by itself.
                None => return,
            }
        }
    }
}

async fn pause(kind: Kind, error: &watcher::Error, links: &Links, delay: Duration) {
    let why = explain(kind, error);
    if is_expired(error) {
        tracing::info!(%kind, "{why}");
    } else {
        tracing::debug!(%kind, ?delay, "{why}");
        links.failed(kind, why);
    }
    tokio::time::sleep(delay).await;
}

#[cfg(test)]
mod tests;
