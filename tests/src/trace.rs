//! traceroute: who answers when the time to live ends, and what the answer is about.

use std::{
    io::Read,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    time::{Duration, Instant},
};

use socket2::SockAddr;

use crate::{
    Netns,
    packet::{Packet, Transport},
    probe::{echo_request, raw_icmp},
};

/// First UDP port of a trace, as traceroute(8) has it.
const FIRST_PORT: u16 = 33_434;
/// The UDP source port and ICMP identifier of a trace.
const TRACE_ID: u16 = 40_404;
const PATIENCE: Duration = Duration::from_secs(3);

/// What a trace sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// UDP to ports that nobody serves.
    Udp,
    /// ICMP echo requests.
    Icmp,
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Hop {
    /// Who answered.
    pub from: Ipv4Addr,
    /// The whole answer; its checksums, and those of the packet inside, are right.
    pub answer: Packet,
}

impl Hop {
    /// The packet that a time-exceeded (11/0) or port-unreachable (3/3) is about.
    ///
    /// # Panics
    /// When it is another answer.
    #[must_use]
    pub fn inner(&self) -> &Packet {
        self.answer
            .icmp_error(11, 0)
            .or_else(|| self.answer.icmp_error(3, 3))
            .unwrap_or_else(|| panic!("neither time exceeded nor port unreachable: {:?}", self.answer))
    }

    /// Whether it is the destination's own answer.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.answer.icmp_error(11, 0).is_none()
    }
}

/// The hops from `ns` to `destination`, the destination's own answer last.
///
/// # Panics
/// When a hop does not answer, or answers with a broken packet.
#[must_use]
pub fn trace(ns: &Netns, destination: Ipv4Addr, via: Via) -> Vec<Hop> {
    let mut hops = Vec::new();
    for ttl in 1..=10 {
        let hop = probe(ns, destination, via, ttl)
            .unwrap_or_else(|| panic!("nobody answers at hop {ttl} to {destination} ({via:?}); so far {hops:?}"));
        let last = hop.is_last();
        hops.push(hop);
        if last {
            return hops;
        }
    }
    panic!("{destination} is more than 10 hops away: {hops:?}")
}

/// The addresses of [`trace`].
#[must_use]
pub fn addresses(hops: &[Hop]) -> Vec<Ipv4Addr> {
    hops.iter().map(|hop| hop.from).collect()
}

fn probe(ns: &Netns, destination: Ipv4Addr, via: Via, ttl: u8) -> Option<Hop> {
    let icmp = raw_icmp(ns);
    let port = FIRST_PORT + u16::from(ttl);
    match via {
        Via::Udp => ns.run(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, TRACE_ID)).expect("the trace's port is free");
            socket.set_ttl(u32::from(ttl)).expect("a UDP socket has a TTL");
            socket.send_to(b"natgw trace", (destination, port)).expect("there is a route");
        }),
        Via::Icmp => {
            icmp.set_ttl_v4(u32::from(ttl)).expect("a raw socket has a TTL");
            let request = echo_request(TRACE_ID, u16::from(ttl), b"natgw trace");
            icmp.send_to(&request, &SockAddr::from(SocketAddrV4::new(destination, 0))).expect("there is a route");
        }
    }
    let deadline = Instant::now() + PATIENCE;
    let mut reader = &icmp;
    let mut buffer = [0; 2048];
    while Instant::now() < deadline {
        let Ok(len) = reader.read(&mut buffer) else { continue };
        let answer = Packet::parse(&buffer[..len]).unwrap_or_else(|error| panic!("a broken answer: {error}"));
        if is_answer(&answer, via, port, ttl) {
            assert!(!answer.is_wrong_inside(), "the checksum of the packet inside is wrong: {answer:?}");
            return Some(Hop { from: answer.source, answer });
        }
    }
    None
}

fn is_answer(answer: &Packet, via: Via, port: u16, ttl: u8) -> bool {
    match (&answer.transport, via) {
        (Transport::IcmpEcho { kind: 0, id: TRACE_ID, sequence }, Via::Icmp) => *sequence == u16::from(ttl),
        // About the packet that this host sent, not about the one that travelled on the other side of the gateway:
        // a wrong source port or identifier inside means that the error was not translated back.
        (Transport::IcmpError { inner, .. }, Via::Udp) => inner.ports() == (TRACE_ID, port),
        (Transport::IcmpError { inner, .. }, Via::Icmp) => {
            matches!(inner.transport, Transport::IcmpEcho { id: TRACE_ID, sequence, .. } if sequence == u16::from(ttl))
        }
        (Transport::IcmpEcho { .. } | Transport::Tcp { .. } | Transport::Udp { .. } | Transport::Other, _) => false,
    }
}
