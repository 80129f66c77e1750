//! The requests that are answered, and how.

use std::{convert::Infallible, time::Instant};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Bytes,
    header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};
use serde::Serialize;

use super::{
    Health, Metrics, metrics,
    readiness::{Finding, Readiness},
};

/// The answer to whether the loop turns.
pub(super) const LIVE: &str = "/healthz";
/// The answer to whether the gateway forwards.
pub(super) const READY: &str = "/readyz";
/// The metrics.
pub(super) const METRICS: &str = "/metrics";

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// What is served.
#[derive(Debug, Clone)]
pub(super) struct Routes {
    health: Health,
    metrics: Metrics,
}

/// A body with its type.
type Body = (&'static str, String);

/// `/healthz` as JSON.
#[derive(Debug, Serialize)]
struct LiveAnswer {
    live: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// `/readyz` as JSON.
#[derive(Debug, Serialize)]
struct ReadyAnswer<'a> {
    ready: bool,
    stale: bool,
    reasons: &'a [Finding],
}

impl Routes {
    pub(super) fn new(health: Health, metrics: Metrics) -> Self {
        Self { health, metrics }
    }

    /// Answers one request. hyper leaves the body away when it is a HEAD.
    pub(super) async fn answer<B>(&self, request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = response(StatusCode::METHOD_NOT_ALLOWED, (TEXT, "only GET and HEAD\n".to_owned()));
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Ok(response);
        }
        let json = wants_json(&request);
        Ok(match request.uri().path() {
            LIVE => self.live(json),
            READY => self.ready(json),
            METRICS => self.scrape().await,
            _ => {
                let text = format!("there are {LIVE}, {READY} and {METRICS}\n");
                response(StatusCode::NOT_FOUND, (TEXT, text))
            }
        })
    }

    fn live(&self, json: bool) -> Response<Full<Bytes>> {
        let hangs = self.health.state().hangs(Instant::now());
        let message = hangs.map(|age| format!("the daemon's loop has not turned for {} s", age.as_secs()));
        let live = message.is_none();
        let text = message.as_ref().map_or_else(|| "live\n".to_owned(), |text| format!("not live\n{text}\n"));
        response(status(live), body(json, text, &LiveAnswer { live, message }))
    }

    fn ready(&self, json: bool) -> Response<Full<Bytes>> {
        let readiness = Readiness::of(&self.health.state(), Instant::now());
        let reasons = &readiness.reasons;
        let answer = ReadyAnswer { ready: readiness.ready, stale: readiness.is_stale(), reasons };
        response(status(readiness.ready), body(json, readiness.to_string(), &answer))
    }

    async fn scrape(&self) -> Response<Full<Bytes>> {
        let metrics = self.metrics.clone();
        // Maps are read: neither the loop nor other answers wait for it.
        match tokio::task::spawn_blocking(move || metrics.encode()).await {
            Ok(text) => response(StatusCode::OK, (metrics::CONTENT_TYPE, text)),
            Err(error) => response(StatusCode::INTERNAL_SERVER_ERROR, (TEXT, format!("{error}\n"))),
        }
    }
}

fn wants_json<B>(request: &Request<B>) -> bool {
    let asked = request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "format=json"));
    let accept = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    asked || accept.flat_map(|value| value.split(',')).any(|one| one.split(';').next().map(str::trim) == Some(JSON))
}

const fn status(well: bool) -> StatusCode {
    if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn body(json: bool, text: String, answer: &impl Serialize) -> Body {
    if !json {
        return (TEXT, text);
    }
    // Structures of strings and flags can always be written.
    let mut json = serde_json::to_string(answer).unwrap_or_default();
    json.push('\n');
    (JSON, json)
}

fn response(status: StatusCode, (kind, text): Body) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
