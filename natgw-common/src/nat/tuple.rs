//! Addresses and ports of a packet, and the map keys made of them.

use super::Fixed;
use crate::{
    abi::{FlowKey, QueryRole, SessionKey},
    wire::{Inner, Packet, Transport},
};

/// Source and destination of a packet. The identifier of an ICMP query is the asker's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    /// Source address.
    pub src: [u8; 4],
    /// Destination address.
    pub dst: [u8; 4],
    /// Source port.
    pub sport: [u8; 2],
    /// Destination port.
    pub dport: [u8; 2],
}

impl Tuple {
    /// The tuple of `packet`.
    #[must_use]
    #[inline(always)]
    pub const fn of(packet: &Packet) -> Self {
        Self { src: packet.ip.src, dst: packet.ip.dst, sport: packet.sport, dport: packet.dport }
    }

    /// The tuple of a quoted packet.
    #[must_use]
    #[inline(always)]
    pub const fn of_inner(inner: &Inner) -> Self {
        Self { src: inner.ip.src, dst: inner.ip.dst, sport: inner.sport, dport: inner.dport }
    }

    /// The same flow seen from the other end.
    #[must_use]
    #[inline(always)]
    pub const fn reversed(self) -> Self {
        Self { src: self.dst, dst: self.src, sport: self.dport, dport: self.sport }
    }

    /// The `FLOWS` key of a packet that an internal host sends with this tuple.
    #[must_use]
    #[inline(always)]
    pub const fn flow_key(self, proto: u8, transport: Transport) -> FlowKey {
        FlowKey {
            int_addr: self.src,
            peer_addr: self.dst,
            int_port: self.sport,
            peer_port: self.dport,
            proto,
            role: role(transport, QueryRole::Internal, QueryRole::Peer),
            _pad: [0; 2],
        }
    }

    /// The `SESSIONS` key of a packet that a peer sends with this tuple.
    #[must_use]
    #[inline(always)]
    pub const fn session_key(self, proto: u8, transport: Transport) -> SessionKey {
        SessionKey {
            ext_addr: self.dst,
            peer_addr: self.src,
            ext_port: self.dport,
            peer_port: self.sport,
            proto,
            role: role(transport, QueryRole::Peer, QueryRole::Internal),
            _pad: [0; 2],
        }
    }

    /// What an outward packet of the session `key` becomes: from the EIP to the peer.
    #[must_use]
    #[inline(always)]
    pub const fn outward(key: &SessionKey) -> Self {
        Self { src: key.ext_addr, dst: key.peer_addr, sport: key.ext_port, dport: key.peer_port }
    }

    /// What an inward packet of the session `fixed` becomes: from the peer, as the internal host knows it, to the host.
    #[must_use]
    #[inline(always)]
    pub const fn inward(fixed: &Fixed) -> Self {
        Self { src: fixed.peer_addr, dst: fixed.int_addr, sport: fixed.peer_port, dport: fixed.int_port }
    }
}

/// The asker of the query that a packet belongs to: `request` if the packet is one, `reply` if it is an answer.
#[inline(always)]
const fn role(transport: Transport, request: QueryRole, reply: QueryRole) -> u8 {
    match transport {
        Transport::QueryRequest => request as u8,
        Transport::QueryReply => reply as u8,
        Transport::Tcp(_) | Transport::Udp | Transport::IcmpError | Transport::Other => QueryRole::None as u8,
    }
}
