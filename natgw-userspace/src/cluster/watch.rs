//! One task per kind that lists, watches and starts again, and passes on what it hears.

use std::{pin::pin, time::Duration};

use futures::StreamExt as _;
use kube::{
    Api, Client,
    runtime::watcher::{self, Config, Event, watcher},
};
use tokio::sync::mpsc::Sender;

use super::{
    delays::Delays,
    errors::{explain, is_expired},
    links::Links,
    watched::Watched,
};
use crate::core::objects::Kind;

/// Seconds after which the server ends a watch and it is resumed: a connection that died without a word is noticed.
pub(super) const WATCH_TIMEOUT: u32 = 60;
/// Objects per page of a list.
const PAGE: u32 = 2000;

/// An event of the watch of a kind.
pub(super) type Heard = (Kind, Event<Watched>);

/// How the objects of a kind are chosen and read.
#[derive(Debug, Clone, Default)]
pub(super) struct Selection {
    /// A label selector; `None`: all.
    pub(super) labels: Option<String>,
    /// How the next list is read.
    pub(super) list: List,
}

/// How a list is read. Always the newest there is: `complete` is said after it, so it may not be of a moment ago. That
/// also rules out kube's streaming lists (ADR 0016), which begin wherever the server's memory happens to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum List {
    /// In pages: what nobody waits for is kind to the memory of both sides.
    #[default]
    Paged,
    /// In one answer, in two thirds of the time. For a gateway that has nothing yet.
    Whole,
}

impl Selection {
    fn config(&self) -> Config {
        let mut config = Config::default().timeout(WATCH_TIMEOUT).page_size(PAGE);
        if let Some(labels) = &self.labels {
            config = config.labels(labels);
        }
        match self.list {
            List::Paged => config,
            List::Whole => Config { page_size: None, ..config },
        }
    }
}

/// Watches until the receiver is gone.
pub(super) async fn watch(kind: Kind, client: Client, mut selection: Selection, links: Links, heard: Sender<Heard>) {
    let api: Api<Watched> = Api::all_with(client, &kind);
    // Gateways start together after an outage; they should not ask together.
    let mut delays = Delays::default();
    loop {
        let mut events = pin!(watcher(api.clone(), selection.config()));
        let mut listed = false;
        loop {
            match events.next().await {
                // The watch could not be resumed: nobody waits any more.
                Some(Ok(Event::Init)) if listed && selection.list == List::Whole => {
                    selection.list = List::Paged;
                    break;
                }
                // The beginning of an attempt is no success.
                Some(Ok(event)) => {
                    if matches!(event, Event::Init) {
                        links.listing(kind);
                    } else {
                        delays.reset();
                        listed |= matches!(event, Event::InitDone);
                    }
                    if heard.send((kind, event)).await.is_err() {
                        return;
                    }
                }
                Some(Err(error)) => {
                    pause(kind, &error, &links, delays.next()).await;
                    // One answer with everything may be more than this connection carries in time.
                    if selection.list == List::Whole && matches!(error, watcher::Error::InitialListFailed(_)) {
                        selection.list = List::Paged;
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
