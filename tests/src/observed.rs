//! Health, readiness and metrics of a running daemon, asked for over HTTP as kubelet and Prometheus do.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use crate::{Daemon, daemon::PATIENCE};

/// The argument with which a daemon serves at a free port.
pub const ANY_PORT: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// Where the daemon serves.
///
/// # Panics
/// When it does not.
#[must_use]
pub fn address(daemon: &Daemon) -> SocketAddr {
    let line = daemon.wait_message(0, "health and metrics are served");
    line.field("address").and_then(serde_json::Value::as_str).expect("the line names it").parse().expect("an address")
}

/// Status and body.
///
/// # Panics
/// When there is no answer.
#[must_use]
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the daemon accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket has a timeout");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: natgw\r\n\r\n").expect("the daemon reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the daemon answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_owned())
}

/// Every series with its value, as it is written.
///
/// # Panics
/// When there is no answer, or another one.
#[must_use]
pub fn scrape(address: SocketAddr) -> BTreeMap<String, f64> {
    let (status, body) = get(address, "/metrics");
    assert_eq!(status, 200, "{body}");
    let samples = body.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            (series.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}
