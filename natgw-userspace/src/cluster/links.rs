//! What the connections to the API server show, seen where the requests pass.
//!
//! kube's watcher says when a watch fails but not when it works again: a watch that resumes is silent until something
//! changes. And it resumes at once when a server ends a watch, so a server that ends every watch at once would be asked
//! without end. Both are seen best at the HTTP level, so this is a layer of the client: it notes answers by kind, and
//! keeps watches of a kind apart.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use http::{Method, Request, Response};
use kube::client::Body;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tower::{Layer, Service};

use super::watched::group;
use crate::core::objects::Kind;

/// So many watches of a kind may begin within [`WINDOW`].
const BURST: usize = 5;
/// See [`BURST`].
const WINDOW: Duration = Duration::from_secs(10);

/// What is known of one kind's connection.
#[derive(Debug, Clone, Default)]
struct Link {
    /// Since when it fails, and why as last said.
    failing: Option<(Instant, String)>,
    /// When the last watches began.
    begun: Vec<Instant>,
    counted: WatchCount,
}

/// What the watch of a kind has come to, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WatchCount {
    /// Complete lists that were begun: the first, and one after every watch that could not be resumed.
    pub lists: u64,
    /// Lists and watches that failed.
    pub errors: u64,
}

#[derive(Debug, Default)]
struct Shared {
    links: Mutex<BTreeMap<Kind, Link>>,
    changed: Notify,
}

/// The connections, shared between the client that makes them and whoever reports on them.
#[derive(Debug, Clone, Default)]
pub(super) struct Links {
    shared: Arc<Shared>,
}

impl Links {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Kind, Link>> {
        self.shared.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The watch of `kind` failed.
    pub(super) fn failed(&self, kind: Kind, why: String) {
        let mut links = self.lock();
        let link = links.entry(kind).or_default();
        let since = link.failing.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        link.failing = Some((since, why));
        link.counted.errors += 1;
        drop(links);
        self.shared.changed.notify_one();
    }

    /// A complete list of `kind` was begun.
    pub(super) fn listing(&self, kind: Kind) {
        self.lock().entry(kind).or_default().counted.lists += 1;
    }

    /// What was counted so far, by kind.
    #[must_use]
    pub(super) fn counted(&self) -> BTreeMap<Kind, WatchCount> {
        self.lock().iter().map(|(kind, link)| (*kind, link.counted)).collect()
    }

    /// The server answered a request for `kind`.
    fn answered(&self, kind: Kind) {
        let recovered = self.lock().get_mut(&kind).is_some_and(|link| link.failing.take().is_some());
        if recovered {
            self.shared.changed.notify_one();
        }
    }

    /// Returns when a connection failed or works again since the last call. Cancel-safe.
    pub(super) async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    /// What fails now, by kind: since when, and why.
    #[must_use]
    pub(super) fn failing(&self) -> BTreeMap<Kind, (Instant, String)> {
        self.lock().iter().filter_map(|(kind, link)| Some((*kind, link.failing.clone()?))).collect()
    }

    /// When a further watch of `kind` may begin; counts it as begun.
    fn begin(&self, kind: Kind, now: Instant) -> Instant {
        let mut links = self.lock();
        let begun = &mut links.entry(kind).or_default().begun;
        begun.retain(|time| *time + WINDOW > now);
        let at = match begun.len().checked_sub(BURST).and_then(|index| begun.get(index)) {
            Some(earlier) => (*earlier + WINDOW).max(now),
            None => now,
        };
        begun.push(at);
        at
    }
}

/// The kind that a request is about, if it is one of ours.
fn kind_of<B>(request: &Request<B>) -> Option<Kind> {
    let mut parts = request.uri().path().rsplit('/');
    let plural = parts.next()?;
    let ours = request.method() == Method::GET && parts.any(|part| part == group());
    Kind::ALL.into_iter().find(|kind| ours && kind.plural() == plural)
}

fn is_watch<B>(request: &Request<B>) -> bool {
    request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"))
}

impl<S> Layer<S> for Links {
    type Service = Linked<S>;

    fn layer(&self, inner: S) -> Linked<S> {
        Linked { links: self.clone(), inner }
    }
}

/// See [`Links`].
#[derive(Debug, Clone)]
pub(super) struct Linked<S> {
    links: Links,
    inner: S,
}

impl<S, B> Service<Request<Body>> for Linked<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let kind = kind_of(&request);
        let now = Instant::now();
        let at = kind.filter(|_| is_watch(&request)).map_or(now, |kind| self.links.begin(kind, now));
        let links = self.links.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            if at > now {
                sleep_until(at).await;
            }
            let response = answer.await?;
            if let Some(kind) = kind.filter(|_| response.status().is_success()) {
                links.answered(kind);
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, uri: &str) -> Request<()> {
        Request::builder().method(method).uri(uri).body(()).expect("valid")
    }

    #[test]
    fn requests_are_told_apart_by_kind() {
        let base = "https://10.0.0.1/apis/kubeovn.io/v1";
        let get = |path: &str| kind_of(&request(Method::GET, &format!("{base}/{path}")));
        assert_eq!(get("iptables-eips?watch=true"), Some(Kind::IptablesEip));
        assert_eq!(get("subnets"), Some(Kind::Subnet));
        assert_eq!(get("vpcs"), None);
        assert_eq!(kind_of(&request(Method::PATCH, &format!("{base}/iptables-eips"))), None);
        assert_eq!(kind_of(&request(Method::GET, "https://10.0.0.1/apis/other.io/v1/subnets")), None);
        assert!(is_watch(&request(Method::GET, "/a?resourceVersion=1&watch=true")));
        assert!(!is_watch(&request(Method::GET, "/a?limit=500")));
    }

    #[test]
    fn a_server_that_ends_every_watch_is_asked_rarely() {
        let links = Links::default();
        let start = Instant::now();
        let mut now = start;
        for _ in 0..50 {
            now = links.begin(Kind::Subnet, now);
        }
        assert_eq!(links.begin(Kind::IptablesEip, start), start, "kinds do not wait for each other");
        let elapsed = now - start;
        assert!(elapsed >= WINDOW * 9, "50 watches within {elapsed:?}");
    }

    #[test]
    fn a_failure_lasts_until_an_answer_and_keeps_its_beginning() {
        let links = Links::default();
        links.failed(Kind::Subnet, "refused".to_owned());
        let since = links.failing()[&Kind::Subnet].0;
        links.failed(Kind::Subnet, "reset".to_owned());
        assert_eq!(links.failing()[&Kind::Subnet], (since, "reset".to_owned()));
        assert_eq!(links.counted()[&Kind::Subnet], WatchCount { lists: 0, errors: 2 });
        links.answered(Kind::Subnet);
        assert!(links.failing().is_empty());
    }

    #[tokio::test]
    async fn news_that_came_before_the_wait_is_not_lost() {
        let links = Links::default();
        links.failed(Kind::Subnet, "refused".to_owned());
        links.changed().await;
    }
}
