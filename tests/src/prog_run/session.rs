//! Sessions as rows write them: before the packet, and as they must be afterwards.

use natgw_common::{
    abi::{FlowKey, Origin, QueryRole, Session, SessionKey},
    tcp_state::TcpState,
};

/// Address and port.
pub type End = ([u8; 4], u16);

const SECOND: u64 = 1_000_000_000;

/// A time of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Before the packet: its moment. Afterwards: any moment of the run.
    Now,
    /// So many seconds before the packet, to the nanosecond.
    Seconds(u64),
    /// Dead: being removed by another CPU.
    Dead,
}

impl Age {
    /// The timestamp, when the packet comes at `now`.
    #[must_use]
    pub fn before(self, now: u64) -> u64 {
        match self {
            Self::Now => now,
            Self::Seconds(seconds) => now - seconds * SECOND,
            Self::Dead => now | Session::DEAD,
        }
    }

    fn matches(self, found: u64, (from, to): (u64, u64)) -> bool {
        match self {
            Self::Now => (from..=to).contains(&found),
            Self::Seconds(_) | Self::Dead => found == self.before(from),
        }
    }
}

/// A session with its index entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Protocol number.
    pub proto: u8,
    /// Who asks, for ICMP.
    pub role: QueryRole,
    /// The internal host.
    pub int: End,
    /// The peer as the internal host sees it.
    pub seen: End,
    /// The elastic IP and its port.
    pub ext: End,
    /// The peer.
    pub peer: End,
    /// The rule kind.
    pub origin: Origin,
    /// TCP state, 0 for other protocols.
    pub state: u32,
    /// When its last packet came.
    pub last: Age,
    /// When it was made.
    pub created: Age,
    /// Whether `SESSIONS` has it.
    pub session: bool,
    /// Whether `FLOWS` leads to it.
    pub index: bool,
}

impl Flow {
    fn new(proto: u8, origin: Origin, int: End, ext: End, peer: End) -> Self {
        Self {
            proto,
            role: if proto == 1 { QueryRole::Internal } else { QueryRole::None },
            int,
            seen: peer,
            ext,
            peer,
            origin,
            state: if proto == 6 { TcpState::Established as u32 } else { 0 },
            last: Age::Now,
            created: Age::Now,
            session: true,
            index: true,
        }
    }

    /// A session of an SNAT rule.
    #[must_use]
    pub fn snat(proto: u8, int: End, ext: End, peer: End) -> Self {
        Self::new(proto, Origin::Snat, int, ext, peer)
    }

    /// A session of a DNAT rule.
    #[must_use]
    pub fn dnat(proto: u8, int: End, ext: End, peer: End) -> Self {
        Self::new(proto, Origin::Dnat, int, ext, peer)
    }

    /// A session of a floating IP.
    #[must_use]
    pub fn fip(proto: u8, int: End, ext: End, peer: End) -> Self {
        Self::new(proto, Origin::Fip, int, ext, peer)
    }

    /// A session of `client`, who `dialled` an EIP and is `shown` as another to the `server`.
    #[must_use]
    pub fn hairpin(proto: u8, client: End, dialled: End, shown: End, server: End) -> Self {
        Self { seen: dialled, ..Self::new(proto, Origin::Hairpin, client, shown, server) }
    }

    /// The same in another TCP state.
    #[must_use]
    pub fn state(self, state: TcpState) -> Self {
        Self { state: state as u32, ..self }
    }

    /// The same, asked by the peer.
    #[must_use]
    pub fn asked_by_peer(self) -> Self {
        Self { role: QueryRole::Peer, ..self }
    }

    /// The same, made and last seen `seconds` ago.
    #[must_use]
    pub fn aged(self, seconds: u64) -> Self {
        Self { last: Age::Seconds(seconds), created: Age::Seconds(seconds), ..self }
    }

    /// The same, last seen at `age`.
    #[must_use]
    pub fn last(self, age: Age) -> Self {
        Self { last: age, ..self }
    }

    /// The same without its `FLOWS` entry.
    #[must_use]
    pub fn without_index(self) -> Self {
        Self { index: false, ..self }
    }

    /// Only its `FLOWS` entry.
    #[must_use]
    pub fn only_index(self) -> Self {
        Self { session: false, ..self }
    }

    /// Its key in `SESSIONS`.
    #[must_use]
    pub fn key(&self) -> SessionKey {
        SessionKey {
            ext_addr: self.ext.0,
            peer_addr: self.peer.0,
            ext_port: self.ext.1.to_be_bytes(),
            peer_port: self.peer.1.to_be_bytes(),
            proto: self.proto,
            role: self.role as u8,
            _pad: [0; 2],
        }
    }

    /// Its key in `FLOWS`.
    #[must_use]
    pub fn flow_key(&self) -> FlowKey {
        FlowKey {
            int_addr: self.int.0,
            peer_addr: self.seen.0,
            int_port: self.int.1.to_be_bytes(),
            peer_port: self.seen.1.to_be_bytes(),
            proto: self.proto,
            role: self.role as u8,
            _pad: [0; 2],
        }
    }

    /// Its value in `SESSIONS`, when the packet comes at `now`.
    #[must_use]
    pub fn value(&self, now: u64) -> Session {
        Session {
            last_seen_ns: self.last.before(now),
            created_ns: self.created.before(now),
            state: self.state,
            int_addr: self.int.0,
            peer_addr: self.seen.0,
            int_port: self.int.1.to_be_bytes(),
            peer_port: self.seen.1.to_be_bytes(),
            origin: self.origin as u32,
            tag: self.key().tag(),
        }
    }

    /// Whether `found` is what this says, after a run within `span`.
    #[must_use]
    pub fn matches(&self, found: &Session, span: (u64, u64)) -> bool {
        let expected = Session { last_seen_ns: found.last_seen_ns, created_ns: found.created_ns, ..self.value(span.0) };
        expected == *found
            && self.last.matches(found.last_seen_ns, span)
            && self.created.matches(found.created_ns, span)
    }
}
