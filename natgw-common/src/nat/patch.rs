//! The checksums of a rewritten packet, all by incremental update (RFC 1624): what was wrong before stays wrong, so
//! that the receiver still notices (RFC 3022 section 4.1).

use super::{ErrorRewrite, Tuple};
use crate::{
    checksum::Delta,
    wire::{Fragment, Inner, Ipv4, Packet, Transport, proto},
};

/// DCCP (RFC 4340) and UDP-Lite (RFC 3828): checksums over the pseudo-header where UDP has its own.
const DCCP: u8 = 33;
const UDP_LITE: u8 = 136;

/// The header checksum of `ip` with other addresses and another TTL.
#[must_use]
#[inline(always)]
pub const fn ip_checksum(ip: &Ipv4, src: [u8; 4], dst: [u8; 4], ttl: u8) -> [u8; 2] {
    Delta::ZERO.word(ip.src, src).word(ip.dst, dst).half([ip.ttl, ip.proto], [ttl, ip.proto]).apply(ip.checksum)
}

/// How the transport header of a packet changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportPatch {
    /// Offset of the checksum in the transport header; `None` when there is none to update.
    pub checksum: Option<u32>,
    /// Whether a checksum of 0 means "none" and must not appear (RFC 768).
    pub zero_is_none: bool,
    /// Change of the pseudo-header: zero for ICMP, which has none.
    pub addresses: Delta,
    /// Change of the ports, or of the identifier.
    pub ports: Delta,
    /// Where the ports are in the transport header, if they change: offset and new bytes.
    pub store: Option<(u32, [u8; 4])>,
}

impl TransportPatch {
    /// What `packet` needs to get the addresses and ports of `to`.
    #[must_use]
    #[inline(always)]
    pub fn new(packet: &Packet, to: &Tuple) -> Self {
        let none =
            Self { checksum: None, zero_is_none: false, addresses: Delta::ZERO, ports: Delta::ZERO, store: None };
        if packet.ip.fragment == Fragment::Later {
            return none;
        }
        let old = Tuple::of(packet);
        let addresses = Delta::ZERO.word(old.src, to.src).word(old.dst, to.dst);
        let moved = old.sport != to.sport || old.dport != to.dport;
        let (checksum, zero_is_none) = match packet.ip.proto {
            proto::TCP => (16, false),
            proto::UDP | UDP_LITE => (6, true),
            DCCP => (6, false),
            proto::ICMP if moved => {
                let (from, into, id) = query_id(packet.transport, &old, to);
                return Self {
                    checksum: Some(2),
                    ports: Delta::ZERO.half(from, into),
                    // The identifier is the first half of the second word; the sequence number behind it stays.
                    store: Some((4, [id[0], id[1], 0, 0])),
                    ..none
                };
            }
            _ => return none,
        };
        let ports = Delta::ZERO.half(old.sport, to.sport).half(old.dport, to.dport);
        let store = [to.sport[0], to.sport[1], to.dport[0], to.dport[1]];
        Self {
            checksum: Some(checksum),
            zero_is_none,
            addresses,
            ports: if moved { ports } else { Delta::ZERO },
            store: if moved { Some((0, store)) } else { None },
        }
    }
}

/// Old and new identifier of an ICMP query, and the new one again to store.
#[inline(always)]
const fn query_id(transport: Transport, old: &Tuple, to: &Tuple) -> ([u8; 2], [u8; 2], [u8; 2]) {
    match transport {
        Transport::QueryReply => (old.dport, to.dport, to.dport),
        Transport::QueryRequest | Transport::Tcp(_) | Transport::Udp | Transport::IcmpError | Transport::Other => {
            (old.sport, to.sport, to.sport)
        }
    }
}

/// How the packet quoted by an ICMP error changes, and the error's own checksum with it.
///
/// A quoted checksum of UDP-Lite or DCCP is left as it is, and so no longer fits the quoted addresses: hosts match
/// these errors by addresses and ports and verify no checksum, which eight quoted bytes would not allow anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorPatch {
    /// New checksum of the quoted IP header.
    pub ip_checksum: [u8; 2],
    /// Offset in the frame and new value of the quoted transport checksum.
    pub transport_checksum: Option<(u32, [u8; 2])>,
    /// Offset in the frame and new value of each quoted port or identifier.
    pub ports: [Option<(u32, [u8; 2])>; 2],
    /// Change of the ICMP checksum that covers all of the above.
    pub icmp: Delta,
}

impl ErrorPatch {
    /// What the quoted packet `inner` needs to become `to.inner`.
    #[must_use]
    #[inline(always)]
    pub fn new(inner: &Inner, to: &ErrorRewrite) -> Self {
        let old = Tuple::of_inner(inner);
        let new = to.inner;
        let addresses = Delta::ZERO.word(old.src, new.src).word(old.dst, new.dst);
        let ip_checksum = addresses.apply(inner.ip.checksum);
        let header = addresses.and(Delta::ZERO.half(inner.ip.checksum, ip_checksum));
        let (ports, moved, pseudo) = match inner.transport {
            Transport::Tcp(_) | Transport::Udp => (
                [Some((inner.l4, new.sport)), Some((inner.l4 + 2, new.dport))],
                Delta::ZERO.half(old.sport, new.sport).half(old.dport, new.dport),
                addresses,
            ),
            Transport::QueryRequest | Transport::QueryReply => {
                let (from, into, id) = query_id(inner.transport, &old, &new);
                ([Some((inner.l4 + 4, id)), None], Delta::ZERO.half(from, into), Delta::ZERO)
            }
            Transport::IcmpError | Transport::Other => ([None, None], Delta::ZERO, Delta::ZERO),
        };
        let transport_checksum = inner.checksum.map(|(offset, field)| {
            let value = pseudo.and(moved).apply(field);
            let zero = inner.transport == Transport::Udp && matches!(value, [0, 0]);
            (offset, if zero { [0xff, 0xff] } else { value })
        });
        let checksum = match (inner.checksum, transport_checksum) {
            (Some((_, from)), Some((_, into))) => Delta::ZERO.half(from, into),
            _ => Delta::ZERO,
        };
        Self { ip_checksum, transport_checksum, ports, icmp: header.and(moved).and(checksum) }
    }
}
