//! The sessions, streamed: there may be a million.

use std::{
    io::{self, Write},
    net::Ipv4Addr,
    time::Duration,
};

use natgw_common::{
    abi::{Origin, Session, SessionKey, Timeouts},
    nat::idle_limit,
    tcp_state::TcpState,
};
use nix::time::{ClockId, clock_gettime};
use serde::Serialize;

use super::rules::protocol;
use crate::{
    cli::SessionsArgs,
    exit::{Exit, Failure},
};

const TCP: u8 = 6;

/// What ages are measured by: the clock of the programs and the limits they apply.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    now_ns: u64,
    timeouts: Timeouts,
}

impl Clock {
    pub(super) fn now(timeouts: Timeouts) -> Result<Self, Failure> {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
            .map_err(|error| Failure::new(Exit::Failure, format!("cannot read the clock: {error}")))?;
        let now_ns = u64::try_from(Duration::from(now).as_nanos()).unwrap_or(u64::MAX);
        Ok(Self { now_ns, timeouts })
    }
}

/// Which sessions are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filter {
    eip: Option<Ipv4Addr>,
    internal: Option<Ipv4Addr>,
    peer: Option<Ipv4Addr>,
    proto: Option<u8>,
}

impl From<&SessionsArgs> for Filter {
    fn from(args: &SessionsArgs) -> Self {
        Self { eip: args.eip, internal: args.internal, peer: args.peer, proto: args.proto }
    }
}

impl Filter {
    pub(super) fn matches(&self, key: &SessionKey, session: &Session) -> bool {
        let is = |wanted: Option<Ipv4Addr>, found: &[&[u8; 4]]| {
            wanted.is_none_or(|wanted| found.iter().any(|addr| **addr == wanted.octets()))
        };
        // Behind a hairpin the client's peer is the EIP it dialled.
        is(self.eip, &[&key.ext_addr, &session.peer_addr])
            && is(self.internal, &[&session.int_addr])
            && is(self.peer, &[&key.peer_addr, &session.peer_addr])
            && self.proto.is_none_or(|proto| proto == key.proto)
    }
}

/// One session as it is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    protocol: String,
    origin: &'static str,
    internal: String,
    external: String,
    peer: String,
    /// The peer as the internal host sees it, when that is another address (hairpin).
    #[serde(skip_serializing_if = "Option::is_none")]
    dialled: Option<String>,
    state: &'static str,
    idle_seconds: u64,
    expires_seconds: u64,
}

impl Row {
    pub(super) fn new(key: &SessionKey, session: &Session, clock: &Clock) -> Self {
        let end = |addr: [u8; 4], port: [u8; 2]| format!("{}:{}", Ipv4Addr::from(addr), u16::from_be_bytes(port));
        let peer = end(key.peer_addr, key.peer_port);
        let seen = end(session.peer_addr, session.peer_port);
        let idle_ns = clock.now_ns.saturating_sub(session.last_seen_ns);
        let limit_ns = idle_limit(&clock.timeouts, key.proto, session.state);
        let dead = session.last_seen_ns == 0;
        let seconds = |ns: u64| Duration::from_nanos(ns).as_secs();
        Self {
            protocol: protocol(key.proto),
            origin: Origin::from_u32(session.origin).map_or("unknown", Origin::name),
            internal: end(session.int_addr, session.int_port),
            external: end(key.ext_addr, key.ext_port),
            dialled: (seen != peer).then_some(seen),
            peer,
            state: match (dead, key.proto) {
                (true, _) => "dead",
                (false, TCP) => TcpState::from_u32(session.state).map_or("unknown", TcpState::name),
                (false, _) => "-",
            },
            idle_seconds: if dead { 0 } else { seconds(idle_ns) },
            expires_seconds: if dead { 0 } else { seconds(limit_ns.saturating_sub(idle_ns)) },
        }
    }
}

type Rows<'a> = dyn Iterator<Item = io::Result<Row>> + 'a;

fn write_line(out: &mut dyn Write, cells: [&str; 8]) -> io::Result<()> {
    let [protocol, origin, internal, external, peer, state, idle, expires] = cells;
    writeln!(
        out,
        "{protocol:<5} {origin:<8} {internal:<21} {external:<21} {peer:<21} {state:<16} {idle:>8} {expires:>8}"
    )
}

/// Fixed columns, written while the table is walked.
pub(super) fn write_table(out: &mut dyn Write, rows: impl Iterator<Item = io::Result<Row>>) -> io::Result<()> {
    let rows: &mut Rows<'_> = &mut { rows };
    write_line(out, ["PROTO", "ORIGIN", "INTERNAL", "EXTERNAL", "PEER", "STATE", "IDLE", "EXPIRES"])?;
    for row in rows {
        let row = row?;
        let (idle, expires) = (format!("{}s", row.idle_seconds), format!("{}s", row.expires_seconds));
        write_line(
            out,
            [&row.protocol, row.origin, &row.internal, &row.external, &row.peer, row.state, &idle, &expires],
        )?;
    }
    Ok(())
}

/// A JSON array with one session per line.
pub(super) fn write_json(out: &mut dyn Write, rows: impl Iterator<Item = io::Result<Row>>) -> io::Result<()> {
    let rows: &mut Rows<'_> = &mut { rows };
    let mut separator = "[\n";
    for row in rows {
        write!(out, "{separator}  {}", serde_json::to_string(&row?)?)?;
        separator = ",\n";
    }
    out.write_all(if separator == "[\n" { b"[]\n" } else { b"\n]\n" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EIP: [u8; 4] = [203, 0, 113, 10];
    const POD: [u8; 4] = [10, 0, 0, 5];
    const PEER: [u8; 4] = [198, 51, 100, 7];
    const SECOND: u64 = 1_000_000_000;

    fn session() -> (SessionKey, Session) {
        let key = SessionKey {
            ext_addr: EIP,
            peer_addr: PEER,
            ext_port: 40_000u16.to_be_bytes(),
            peer_port: [1, 187],
            proto: 6,
            role: 0,
            _pad: [0; 2],
        };
        let session = Session {
            last_seen_ns: 90 * SECOND,
            created_ns: SECOND,
            state: TcpState::Established as u32,
            int_addr: POD,
            peer_addr: PEER,
            int_port: [0x15, 0xb3],
            peer_port: [1, 187],
            origin: Origin::Snat as u32,
            tag: 0,
        };
        (key, session)
    }

    fn clock() -> Clock {
        Clock { now_ns: 100 * SECOND, timeouts: Timeouts::DEFAULT }
    }

    fn row() -> Row {
        let (key, session) = session();
        Row::new(&key, &session, &clock())
    }

    #[test]
    fn a_session_shows_both_tuples_its_state_and_its_ages() {
        let mut out = Vec::new();
        write_table(&mut out, [Ok(row())].into_iter()).expect("written");
        let text = String::from_utf8(out).expect("text");
        let cells: Vec<&str> = text.lines().nth(1).expect("a row").split_whitespace().collect();
        let expected =
            ["tcp", "snat", "10.0.0.5:5555", "203.0.113.10:40000", "198.51.100.7:443", "established", "10s", "7430s"];
        assert_eq!(cells, expected);
    }

    #[test]
    fn json_is_an_array_also_when_empty() {
        let mut out = Vec::new();
        write_json(&mut out, [Ok(row()), Ok(row())].into_iter()).expect("written");
        let json: serde_json::Value = serde_json::from_slice(&out).expect("valid JSON");
        assert_eq!(json[1]["external"], "203.0.113.10:40000");
        assert_eq!(json[0]["expires_seconds"], 7430);
        out.clear();
        write_json(&mut out, std::iter::empty()).expect("written");
        assert_eq!(out, b"[]\n");
    }

    #[test]
    fn filters_must_all_match() {
        let (key, session) = session();
        let matches = |filter: Filter| filter.matches(&key, &session);
        assert!(matches(Filter::default()));
        assert!(matches(Filter {
            eip: Some(EIP.into()),
            internal: Some(POD.into()),
            peer: Some(PEER.into()),
            proto: Some(6)
        }));
        assert!(!matches(Filter { eip: Some(POD.into()), ..Filter::default() }));
        assert!(!matches(Filter { internal: Some(EIP.into()), ..Filter::default() }));
        assert!(!matches(Filter { proto: Some(17), ..Filter::default() }));
    }

    #[test]
    fn a_dead_session_is_called_dead() {
        let (key, session) = session();
        let row = Row::new(&key, &Session { last_seen_ns: 0, ..session }, &clock());
        assert_eq!((row.state, row.idle_seconds, row.expires_seconds), ("dead", 0, 0));
    }
}
