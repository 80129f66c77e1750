//! The server over real sockets on loopback: answers, limits, addresses that are taken.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::{datapath::GatewayPaths, observe::health::Loaded};

/// Nothing here takes longer, except what waits for [`REQUEST`].
const SOON: Duration = Duration::from_secs(2);

fn parts() -> (Health, Metrics) {
    let health = Health::new(["eth0", "net1"], Duration::from_secs(10), Duration::ZERO);
    let metrics = Metrics::new(GatewayPaths::new("/nowhere", "gw1").unwrap(), health.clone());
    (health, metrics)
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A server on a port of its own.
fn server() -> (SocketAddr, Health, Running) {
    let (health, metrics) = parts();
    let listener = bind(loopback(0)).unwrap();
    let address = listener.local_addr().unwrap();
    (address, health.clone(), spawn(accept(listener, Routes::new(health, metrics))))
}

/// Sends `request` and returns everything that comes back until the server closes.
async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that refuses in the middle of a request closes its side; its answer is still there.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the server closes");
    String::from_utf8(answer).unwrap()
}

async fn get(address: SocketAddr, path: &str) -> (String, String) {
    let answer = exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn health_is_answered_as_text_and_as_json() {
    let (address, health, _running) = server();
    let (head, body) = get(address, "/healthz").await;
    assert!(head.starts_with("http/1.1 200") && head.contains("connection: close"), "{head}");
    assert_eq!(body, "live\n");
    assert_eq!(get(address, "/healthz?format=json").await.1, "{\"live\":true}\n");
    let (head, body) = get(address, "/readyz").await;
    assert!(head.starts_with("http/1.1 503") && head.contains("content-type: text/plain"), "{head}");
    assert_eq!(body, "not ready\nStarting: the data plane is being loaded\n");
    health.loaded(Loaded { adopted: false, eips: 0 });
    health.read(None);
    health.interfaces([(true, true); 2]);
    health.begun();
    let (head, body) = get(address, "/readyz").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(body, "ready\n");
    health.open(Some("it is gone"));
    let accept = "GET /readyz HTTP/1.1\r\nHost: x\r\nAccept: text/html, application/json;q=0.9\r\n\r\n";
    let answer = exchange(address, accept).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("content-type: application/json"), "{answer}");
    let json: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let reasons = serde_json::json!([{ "reason": "SourceStale", "message": "for 0s: it is gone" }]);
    assert_eq!(json, serde_json::json!({ "ready": true, "stale": true, "reasons": reasons }));
}

#[tokio::test]
async fn metrics_are_openmetrics() {
    let (address, _, _running) = server();
    let (head, body) = get(address, "/metrics").await;
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    assert!(body.starts_with("# HELP natgw_") && body.ends_with("# EOF\n"), "{body}");
}

#[tokio::test]
async fn everything_else_is_refused() {
    let (address, _, _running) = server();
    let (head, body) = get(address, "/").await;
    assert!(head.starts_with("http/1.1 404"), "{head}");
    assert_eq!(body, "there are /healthz, /readyz and /metrics\n");
    let answer = exchange(address, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET, HEAD"), "{answer}");
    let answer = exchange(address, "nonsense\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn a_head_gets_the_head_of_the_answer() {
    let (address, _, _running) = server();
    let answer = exchange(address, "HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("content-length: 5"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() {
    let (address, _, _running) = server();
    let long = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(2 * BUFFER));
    let answer = exchange(address, &long).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: x\r\n".repeat(HEADERS + 1));
    let answer = exchange(address, &many).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(get(address, "/healthz").await.1, "live\n");
}

#[tokio::test]
async fn a_connection_answers_one_request() {
    let (address, _, _running) = server();
    let twice = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n".repeat(2);
    let answer = exchange(address, &twice).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
}

#[tokio::test]
async fn slow_clients_take_nothing_from_others_and_are_thrown_out() {
    let (address, _, _running) = server();
    let mut slow = Vec::new();
    for _ in 0..CONNECTIONS - 1 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /healthz HT").await.unwrap();
        slow.push(stream);
    }
    assert_eq!(get(address, "/healthz").await.1, "live\n", "the last place is free");
    // All places are taken until the first ones have been slow for too long.
    slow.push(TcpStream::connect(address).await.unwrap());
    let begun = Instant::now();
    let mut late = TcpStream::connect(address).await.unwrap();
    late.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(REQUEST + SOON, late.read_to_string(&mut answer)).await.expect("a place gets free").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer} after {:?}", begun.elapsed());
    for mut stream in slow {
        let mut rest = Vec::new();
        let closed = timeout(REQUEST + SOON, stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "a slow client is still connected after {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn an_address_that_is_none_of_this_host_is_an_error_that_names_it_and_the_way_out() {
    let (health, metrics) = parts();
    let address = "192.0.2.1:9808".parse().unwrap();
    let error = Server::start(Listen::At(address), health, metrics).expect_err("no such address").to_string();
    for part in ["192.0.2.1:9808", "--listen ADDRESS:PORT", "--listen off"] {
        assert!(error.contains(part), "`{part}` is missing in: {error}");
    }
}

#[tokio::test]
async fn an_address_of_the_predecessor_is_waited_for() {
    let (health, metrics) = parts();
    let (address, _, predecessor) = server();
    let mut server = Server::start(Listen::At(address), health, metrics).unwrap();
    assert!(matches!(server.state, State::Waiting(_)));
    let (settled, ()) = tokio::join!(server.settle(), async { drop(predecessor) });
    settled.unwrap();
    assert!(matches!(server.state, State::Running(_)));
    assert_eq!(get(address, "/healthz").await.1, "live\n");
}

#[tokio::test]
async fn an_address_that_stays_taken_is_an_error_only_if_it_was_asked_for() {
    let (address, _, _running) = server();
    let (health, metrics) = parts();
    let mut server = Server::start(Listen::At(address), health, metrics).unwrap();
    let error = server.settle().await.expect_err("it is taken").to_string();
    assert!(error.contains(&address.to_string()) && error.contains("in use"), "{error}");
    let taken = || BindError { address, source: io::ErrorKind::AddrInUse.into() };
    assert!(matches!(refused(Listen::Default, taken()), Ok(State::Off)));
    assert!(refused(Listen::At(address), taken()).is_err());
}

#[tokio::test]
async fn off_listens_nowhere() {
    let (health, metrics) = parts();
    let mut server = Server::start(Listen::Off, health, metrics).unwrap();
    server.settle().await.unwrap();
    assert!(matches!(server.state, State::Off));
}
