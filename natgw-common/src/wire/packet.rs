//! A packet as the NAT sees it: addresses, ports, and where its headers are.

use super::{Fragment, Half, IcmpClass, Ipv4, PacketRead, Transport, half, icmp_class, proto, tcp_event};
use crate::abi::DropReason;

/// A parsed IPv4 packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Offset of the IP header.
    pub l3: u32,
    /// Offset of the transport header.
    pub l4: u32,
    /// Bytes from the IP header on.
    pub ip_len: u32,
    /// The IP header.
    pub ip: Ipv4,
    /// What follows it.
    pub transport: Transport,
    /// Source port, or the identifier of a query request; zero when there is none.
    pub sport: [u8; 2],
    /// Destination port, or the identifier of a query reply; zero when there is none.
    pub dport: [u8; 2],
}

/// The packet that an ICMP error quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inner {
    /// Offset of the quoted IP header.
    pub l3: u32,
    /// Offset of the quoted transport header.
    pub l4: u32,
    /// The quoted IP header.
    pub ip: Ipv4,
    /// What follows it: never [`Transport::IcmpError`] (an error about an error is not translated).
    pub transport: Transport,
    /// As in [`Packet`].
    pub sport: [u8; 2],
    /// As in [`Packet`].
    pub dport: [u8; 2],
    /// The quoted transport checksum and where it is, if it is there and in use (a UDP checksum of 0 is not).
    pub checksum: Option<(u32, [u8; 2])>,
}

const NO_PORT: [u8; 2] = [0; 2];

impl Packet {
    /// Reads the IPv4 packet whose header is at `l3`.
    ///
    /// # Errors
    ///
    /// [`DropReason::MalformedIpv4`] when the header contradicts itself or the frame, [`DropReason::TruncatedL4`]
    /// when the ports (or the first 8 bytes of ICMP) are cut off.
    #[inline(always)]
    pub fn parse<P: PacketRead + ?Sized>(frame: &P, l3: u32) -> Result<Self, DropReason> {
        let words = frame.words::<5>(l3).ok_or(DropReason::MalformedIpv4)?;
        let ip = Ipv4::from_words(words).ok_or(DropReason::MalformedIpv4)?;
        let present = frame.len() - l3;
        // BIG TCP (Linux 6.3, b1a78b9b98862): a GSO packet over 64 KiB has a total length of 0.
        let ip_len = if ip.total_len == 0 && present > 0xffff { present } else { ip.total_len };
        if ip_len < ip.header_len || ip_len > present {
            return Err(DropReason::MalformedIpv4);
        }
        let mut packet = Self {
            l3,
            l4: l3 + ip.header_len,
            ip_len,
            ip,
            transport: Transport::Other,
            sport: NO_PORT,
            dport: NO_PORT,
        };
        let (needed, is_tcp) = match ip.proto {
            proto::TCP => (20, true),
            proto::UDP | proto::ICMP => (8, false),
            _ => return Ok(packet),
        };
        match ip.fragment {
            Fragment::Later => return Ok(packet),
            // RFC 1858: a first fragment must carry the ports; no stack sends TCP in less.
            Fragment::No | Fragment::First => {}
        }
        if ip_len < ip.header_len + needed {
            return Err(DropReason::TruncatedL4);
        }
        let [first, second] = frame.words::<2>(packet.l4).ok_or(DropReason::TruncatedL4)?;
        if is_tcp {
            let [offset_flags] = frame.words::<1>(packet.l4 + 12).ok_or(DropReason::TruncatedL4)?;
            packet.transport = Transport::Tcp(tcp_event(offset_flags.to_ne_bytes()[1]));
        } else if ip.proto == proto::UDP {
            packet.transport = Transport::Udp;
        }
        (packet.transport, packet.sport, packet.dport) = if ip.proto == proto::ICMP {
            icmp(first, second)
        } else {
            (packet.transport, half(first, Half::First), half(first, Half::Second))
        };
        Ok(packet)
    }

    /// Reads the packet quoted by the ICMP error `self`.
    ///
    /// # Errors
    ///
    /// [`DropReason::IcmpErrorMalformed`] when it is not IPv4, cut short, or itself an ICMP error.
    #[inline(always)]
    pub fn inner<P: PacketRead + ?Sized>(&self, frame: &P) -> Result<Inner, DropReason> {
        const BAD: DropReason = DropReason::IcmpErrorMalformed;
        let end = self.l3 + self.ip_len;
        let l3 = self.l4 + 8;
        let ip = Ipv4::from_words(frame.words::<5>(l3).ok_or(BAD)?).ok_or(BAD)?;
        let l4 = l3 + ip.header_len;
        let mut inner =
            Inner { l3, l4, ip, transport: Transport::Other, sport: NO_PORT, dport: NO_PORT, checksum: None };
        if l4 + 8 > end {
            return Err(BAD);
        }
        if matches!(ip.fragment, Fragment::Later) {
            return Ok(inner);
        }
        let [first, second] = frame.words::<2>(l4).ok_or(BAD)?;
        let ports = (half(first, Half::First), half(first, Half::Second));
        match ip.proto {
            proto::TCP => {
                inner.transport = Transport::Tcp(crate::tcp_state::TcpEvent::Data);
                (inner.sport, inner.dport) = ports;
                // Only 8 bytes are promised (RFC 792); the checksum is at 16, read with the window before it.
                if l4 + 18 <= end {
                    inner.checksum = frame.words::<1>(l4 + 14).map(|[w]| (l4 + 16, half(w, Half::Second)));
                }
            }
            proto::UDP => {
                inner.transport = Transport::Udp;
                (inner.sport, inner.dport) = ports;
                let field = half(second, Half::Second);
                if field != [0, 0] {
                    inner.checksum = Some((l4 + 6, field));
                }
            }
            proto::ICMP => {
                (inner.transport, inner.sport, inner.dport) = icmp(first, second);
                if inner.transport == Transport::IcmpError {
                    return Err(BAD);
                }
                inner.checksum = Some((l4 + 2, half(first, Half::Second)));
            }
            _ => {}
        }
        Ok(inner)
    }
}

/// Transport and ports of an ICMP header's two words.
#[inline(always)]
const fn icmp(first: u32, second: u32) -> (Transport, [u8; 2], [u8; 2]) {
    let id = half(second, Half::First);
    match icmp_class(first.to_ne_bytes()[0]) {
        IcmpClass::Request => (Transport::QueryRequest, id, NO_PORT),
        IcmpClass::Reply => (Transport::QueryReply, NO_PORT, id),
        IcmpClass::Error => (Transport::IcmpError, NO_PORT, NO_PORT),
        IcmpClass::Other => (Transport::Other, NO_PORT, NO_PORT),
    }
}
