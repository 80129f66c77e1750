//! Packets as the NAT sees them, without their bytes: those are `natgw-common`'s own tests.

use natgw_common::{
    nat::Tuple,
    tcp_state::TcpEvent,
    wire::{Fragment, Inner, Ipv4, Packet, Transport, proto},
};

use super::universe::Addr;

/// Where a packet comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Vpc,
    Outside,
}

/// A packet on its way into the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) side: Side,
    pub(super) packet: Packet,
    /// What an ICMP error quotes.
    pub(super) inner: Option<Inner>,
}

/// What a packet is, besides its addresses and ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Syn,
    Fin,
    Udp,
    Echo,
    EchoReply,
    Gre,
    /// The first or a later piece of a UDP datagram.
    FirstPiece,
    LaterPiece,
}

const GRE: u8 = 47;

impl Kind {
    const fn parts(self) -> (u8, Transport, Fragment) {
        match self {
            Self::Syn => (proto::TCP, Transport::Tcp(TcpEvent::Syn), Fragment::No),
            Self::Fin => (proto::TCP, Transport::Tcp(TcpEvent::Fin), Fragment::No),
            Self::Udp => (proto::UDP, Transport::Udp, Fragment::No),
            Self::Echo => (proto::ICMP, Transport::QueryRequest, Fragment::No),
            Self::EchoReply => (proto::ICMP, Transport::QueryReply, Fragment::No),
            Self::Gre => (GRE, Transport::Other, Fragment::No),
            Self::FirstPiece => (proto::UDP, Transport::Udp, Fragment::First),
            Self::LaterPiece => (proto::UDP, Transport::Other, Fragment::Later),
        }
    }

    /// What an answer to it looks like.
    pub(super) const fn answer(self) -> Self {
        match self {
            Self::Echo => Self::EchoReply,
            Self::EchoReply => Self::Echo,
            Self::Syn | Self::Fin | Self::Udp | Self::Gre | Self::FirstPiece | Self::LaterPiece => self,
        }
    }
}

fn header(src: Addr, dst: Addr, proto: u8, fragment: Fragment) -> Ipv4 {
    Ipv4 {
        header_len: 20,
        total_len: 60,
        dont_fragment: false,
        fragment,
        ttl: 64,
        proto,
        checksum: [0; 2],
        tos: 0,
        src,
        dst,
    }
}

impl Sent {
    /// A packet of `kind`; ports that it does not have are ignored.
    pub(super) fn new(side: Side, kind: Kind, to: Tuple) -> Self {
        let (proto, transport, fragment) = kind.parts();
        let (sport, dport) = match transport {
            Transport::Tcp(_) | Transport::Udp => (to.sport, to.dport),
            Transport::QueryRequest => (to.sport, [0; 2]),
            Transport::QueryReply => ([0; 2], to.dport),
            Transport::IcmpError | Transport::Other => ([0; 2], [0; 2]),
        };
        let ip = header(to.src, to.dst, proto, fragment);
        Self { side, packet: Packet { l3: 14, l4: 34, ip_len: 60, ip, transport, sport, dport }, inner: None }
    }

    /// An ICMP error from `src` to `dst` about a UDP packet.
    pub(super) fn error(side: Side, src: Addr, dst: Addr, about: Tuple) -> Self {
        let ip = header(src, dst, proto::ICMP, Fragment::No);
        let quoted = header(about.src, about.dst, proto::UDP, Fragment::No);
        let inner = Inner {
            l3: 42,
            l4: 62,
            ip: quoted,
            transport: Transport::Udp,
            sport: about.sport,
            dport: about.dport,
            checksum: None,
        };
        let transport = Transport::IcmpError;
        let packet = Packet { l3: 14, l4: 34, ip_len: 60, ip, transport, sport: [0; 2], dport: [0; 2] };
        Self { side, packet, inner: Some(inner) }
    }
}
