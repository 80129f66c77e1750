//! A watch that is refused with 410 instead of being told so by an event. No API server of the tests does it (they answer
//! 200 and send an event), so this one is made up.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use http::{Request, Response};
use kube::client::Body;
use serde_json::json;
use tokio::sync::mpsc;
use tower::Service;

use super::*;

#[derive(Debug, Clone)]
struct Forgetful;

impl Service<Request<Body>> for Forgetful {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let (code, body) = if watches {
            let gone = "too old resource version: 7";
            (410, json!({"kind": "Status", "status": "Failure", "message": gone, "reason": "Expired", "code": 410}))
        } else {
            (200, json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": []}))
        };
        let answer = Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
        ready(Ok(answer.expect("a response")))
    }
}

#[tokio::test]
async fn a_watch_that_is_refused_as_too_old_is_listed_again() {
    let client = Client::new(Forgetful, "default");
    let (sender, mut heard) = mpsc::channel(16);
    let task = tokio::spawn(watch(Kind::Subnet, client, Selection::default(), Links::default(), sender));
    let lists = timeout(Duration::from_secs(10), async {
        for _ in 0..2 {
            while !matches!(heard.recv().await, Some((Kind::Subnet, Told::Event(Event::InitDone)))) {}
        }
    });
    lists.await.expect("two complete lists");
    task.abort();
}
