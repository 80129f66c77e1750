//! TCP flags and ICMP types, sorted by what a NAT has to do with them.

use crate::tcp_state::TcpEvent;

/// What follows the IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP, with the part this segment plays.
    Tcp(TcpEvent),
    /// UDP.
    Udp,
    /// An ICMP query from its asker: the identifier is the source port.
    QueryRequest,
    /// The answer to an ICMP query: the identifier is the destination port.
    QueryReply,
    /// An ICMP error about another packet.
    IcmpError,
    /// Anything else; it has no ports, or none are at hand (a later fragment).
    Other,
}

/// Classes of ICMP messages (RFC 792, RFC 5508 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IcmpClass {
    /// A query with an identifier.
    Request,
    /// The answer to one.
    Reply,
    /// An error that quotes a packet.
    Error,
    /// Everything else.
    Other,
}

/// The class of ICMP type `kind`. A redirect (5) quotes a packet too, but is only good on one link: not an error here.
#[must_use]
#[inline(always)]
pub const fn icmp_class(kind: u8) -> IcmpClass {
    match kind {
        // echo, timestamp, information, address mask
        8 | 13 | 15 | 17 => IcmpClass::Request,
        0 | 14 | 16 | 18 => IcmpClass::Reply,
        // destination unreachable, source quench, time exceeded, parameter problem
        3 | 4 | 11 | 12 => IcmpClass::Error,
        _ => IcmpClass::Other,
    }
}

/// The event of a TCP flags byte.
#[must_use]
#[inline(always)]
pub const fn tcp_event(flags: u8) -> TcpEvent {
    const FIN: u8 = 1;
    const SYN: u8 = 2;
    const RST: u8 = 4;
    if flags & RST != 0 {
        TcpEvent::Rst
    } else if flags & SYN != 0 {
        TcpEvent::Syn
    } else if flags & FIN != 0 {
        TcpEvent::Fin
    } else {
        TcpEvent::Data
    }
}
