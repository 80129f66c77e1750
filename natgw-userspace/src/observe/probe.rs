//! `natgw probe`: asks the running daemon and tells by the exit code, for images that hold nothing but natgw.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use thiserror::Error;

use super::{listen::reachable, routes};
use crate::{
    cli::{Probe, ProbeArgs},
    exit::{Exit, Failure},
    status,
};

/// No answer is longer.
const ANSWER_MAX: u64 = 64 << 10;

/// There is no answer to judge by.
#[derive(Debug, Error)]
enum ProbeError {
    #[error("cannot reach natgw at {address}: {source}; is it running there (--listen)?")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("no answer from {address} within {}", humantime::format_duration(*.within))]
    Timeout { address: SocketAddr, within: Duration },
    #[error("no answer from {address}: {source}")]
    Read { address: SocketAddr, source: io::Error },
    #[error("what answers at {address} is not natgw: {line:?}")]
    Foreign { address: SocketAddr, line: String },
}

/// Asks, prints the answer, and says by the exit code whether it is good.
///
/// # Errors
/// There is no answer.
pub fn probe(args: &ProbeArgs) -> Result<Exit, Failure> {
    let Some(address) = args.listen.unwrap_or_default().address() else {
        return Err(Failure::new(Exit::Usage, "with --listen off there is nobody to ask"));
    };
    let path = match args.probe {
        Probe::Live => routes::LIVE,
        Probe::Ready => routes::READY,
    };
    let (well, body) =
        ask(reachable(address), path, args.timeout).map_err(|error| Failure::from_error(Exit::Failure, &error))?;
    status::print(body.as_bytes())?;
    Ok(if well { Exit::Ok } else { Exit::Failure })
}

fn ask(address: SocketAddr, path: &str, within: Duration) -> Result<(bool, String), ProbeError> {
    let end = Instant::now() + within;
    let failed = |source: io::Error| {
        if is_late(&source) { ProbeError::Timeout { address, within } } else { ProbeError::Read { address, source } }
    };
    let stream = TcpStream::connect_timeout(&address, within).map_err(|source| {
        if is_late(&source) { ProbeError::Timeout { address, within } } else { ProbeError::Connect { address, source } }
    })?;
    stream.set_write_timeout(Some(within)).map_err(failed)?;
    (&stream)
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
        .map_err(failed)?;
    let answer = read(&stream, end).map_err(failed)?;
    let answer = String::from_utf8_lossy(&answer);
    parse(&answer).ok_or_else(|| {
        let line = answer.lines().next().unwrap_or_default().chars().take(80).collect();
        ProbeError::Foreign { address, line }
    })
}

/// A socket says `EAGAIN` when its time is over.
fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Everything up to the end; every part of it in time.
fn read(stream: &TcpStream, end: Instant) -> io::Result<Vec<u8>> {
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    let mut stream = stream.take(ANSWER_MAX);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.get_ref().set_read_timeout(Some(left))?;
        match stream.read(&mut part)? {
            0 => return Ok(answer),
            read => answer.extend(part.iter().take(read)),
        }
    }
}

/// Whether the answer is good, and its body.
fn parse(answer: &str) -> Option<(bool, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut words = head.lines().next()?.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    match words.next()? {
        "200" => Some((true, body.to_owned())),
        "503" => Some((false, body.to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    const WITHIN: Duration = Duration::from_millis(200);

    /// A server that answers one request with `answer` and, if told so, does not end it.
    fn server(answer: &'static str, hang: bool) -> (SocketAddr, thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serve = move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            if hang {
                // Until the client has lost patience.
                let _ = stream.read(&mut [0; 1]);
            }
        };
        (address, thread::spawn(serve))
    }

    fn asked(answer: &'static str, hang: bool) -> Result<(bool, String), String> {
        let (address, server) = server(answer, hang);
        let outcome = ask(address, routes::READY, WITHIN).map_err(|error| error.to_string());
        server.join().unwrap();
        outcome
    }

    #[test]
    fn the_status_decides_and_the_body_is_shown() {
        assert_eq!(asked("HTTP/1.1 200 OK\r\n\r\nready\n", false), Ok((true, "ready\n".to_owned())));
        let unready = "HTTP/1.1 503 Service Unavailable\r\na: b\r\n\r\nnot ready\nNotAttached: x\n";
        assert_eq!(asked(unready, false), Ok((false, "not ready\nNotAttached: x\n".to_owned())));
    }

    #[test]
    fn what_is_no_answer_is_an_error_that_says_so() {
        for (answer, hang, expected) in [
            ("HTTP/1.1 404 Not Found\r\n\r\n", false, "not natgw: \"HTTP/1.1 404 Not Found\""),
            ("SSH-2.0-x\r\n", false, "not natgw: \"SSH-2.0-x\""),
            ("", false, "not natgw: \"\""),
            ("HTTP/1.1 200 OK\r\n\r\nrea", true, "within 200ms"),
            ("", true, "within 200ms"),
        ] {
            let error = asked(answer, hang).expect_err(answer);
            assert!(error.contains(expected), "`{expected}` is missing in: {error}");
        }
    }

    #[test]
    fn a_port_where_nobody_listens_is_named() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = ask(free, routes::LIVE, WITHIN).expect_err("nobody listens").to_string();
        assert!(error.contains(&free.to_string()) && error.contains("--listen"), "{error}");
    }
}
