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
    errors::{explain, is_expired, is_refused_option},
    links::Links,
    watched::Watched,
};
use crate::core::objects::Kind;

/// Seconds after which the server ends a watch and it is resumed: a connection that died without a word is noticed.
pub(super) const WATCH_TIMEOUT: u32 = 60;
/// Objects per page of a list.
const PAGE: u32 = 2000;
/// Streaming lists are on by default from this minor version of Kubernetes 1 on.
const STREAMING_LISTS: u32 = 34;

/// An event of the watch of a kind.
pub(super) type Heard = (Kind, Event<Watched>);

/// How the objects of a kind are chosen and read.
#[derive(Debug, Clone, Default)]
pub(super) struct Selection {
    /// A label selector; `None`: all.
    pub(super) labels: Option<String>,
    /// Whether the server offers streaming lists.
    pub(super) streaming: bool,
    /// How the next list is read.
    pub(super) list: List,
}

/// How a list is read. Always the newest there is: `complete` is said after it, so it may not be of a moment ago.
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
            _ if self.streaming => config.streaming_lists(),
            List::Paged => config,
            List::Whole => Config { page_size: None, ..config },
        }
    }
}

/// Whether a server of this version offers streaming lists (KEP-3157).
#[must_use]
pub(super) fn offers_streaming_lists(major: &str, minor: &str) -> bool {
    // Providers write `27+`.
    let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().unwrap_or(0);
    number(major) > 1 || (number(major) == 1 && number(minor) >= STREAMING_LISTS)
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
                Some(Err(error)) if selection.streaming && is_refused_option(&error) => {
                    tracing::debug!(%kind, "the API server refuses a streaming list; listing in pages");
                    selection.streaming = false;
                    break;
                }
                Some(Err(error)) => pause(kind, &error, &links, delays.next()).await,
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
mod tests {
    use super::*;

    #[test]
    fn streaming_lists_are_asked_for_where_they_are_on_by_default() {
        for (major, minor, offered) in [
            ("1", "20", false),
            ("1", "33+", false),
            ("1", "34", true),
            ("1", "36+", true),
            ("2", "0", true),
            ("", "", false),
        ] {
            assert_eq!(offers_streaming_lists(major, minor), offered, "{major}.{minor}");
        }
    }
}
