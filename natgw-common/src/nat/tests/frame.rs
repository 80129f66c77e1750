//! Frames from sentences and sentences from frames: `tcp("10.0.0.5:4000 > 8.8.8.8:80", SYN)`.

use std::fmt;

use etherparse::{IpNumber, Ipv4Header, Ipv4Options, PacketBuilder, PacketBuilderStep, ip_number};

use crate::{
    nat::Tuple,
    wire::{Packet, Transport},
};

pub(super) const ETH: usize = 14;
pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
pub(super) const ACK: u8 = 16;
const PAYLOAD: &[u8] = b"an odd number of bytes.";

/// An Ethernet frame.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Frame(pub(super) Vec<u8>);

pub(super) fn addr(text: &str) -> [u8; 4] {
    text.parse::<std::net::Ipv4Addr>().unwrap_or_else(|_| panic!("not an address: {text}")).octets()
}

/// `"10.0.0.5:4000 > 8.8.8.8:80"`; a port left out is 0.
pub(super) fn flow(text: &str) -> Tuple {
    let end = |text: &str| match text.split_once(':') {
        Some((address, port)) => (addr(address), port.parse::<u16>().unwrap().to_be_bytes()),
        None => (addr(text), [0; 2]),
    };
    let (src, dst) = text.split_once(" > ").unwrap_or_else(|| panic!("not a flow: {text}"));
    let ((src, sport), (dst, dport)) = (end(src), end(dst));
    Tuple { src, dst, sport, dport }
}

fn ip(flow: &Tuple) -> PacketBuilderStep<etherparse::IpHeaders> {
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]).ipv4(flow.src, flow.dst, 64)
}

pub(super) fn tcp_of(flow: &Tuple, flags: u8) -> Frame {
    let mut header =
        etherparse::TcpHeader::new(u16::from_be_bytes(flow.sport), u16::from_be_bytes(flow.dport), 0x0102_0304, 512);
    (header.fin, header.syn, header.rst) = (flags & FIN != 0, flags & SYN != 0, flags & RST != 0);
    header.ack = flags & ACK != 0;
    let mut bytes = Vec::new();
    ip(flow).tcp_header(header).write(&mut bytes, PAYLOAD).unwrap();
    Frame(bytes)
}

pub(super) fn udp_of(flow: &Tuple) -> Frame {
    let mut bytes = Vec::new();
    let udp = ip(flow).udp(u16::from_be_bytes(flow.sport), u16::from_be_bytes(flow.dport));
    udp.write(&mut bytes, PAYLOAD).unwrap();
    Frame(bytes)
}

/// An ICMP message with the word behind its checksum.
pub(super) fn icmp(kind: u8, code: u8, text: &str, word: [u8; 4], payload: &[u8]) -> Frame {
    let mut bytes = Vec::new();
    ip(&flow(text)).icmpv4_raw(kind, code, word).write(&mut bytes, payload).unwrap();
    Frame(bytes)
}

pub(super) fn tcp(text: &str, flags: u8) -> Frame {
    tcp_of(&flow(text), flags)
}

pub(super) fn udp(text: &str) -> Frame {
    udp_of(&flow(text))
}

pub(super) fn echo(text: &str, id: u16) -> Frame {
    let [a, b] = id.to_be_bytes();
    icmp(8, 0, text, [a, b, 0, 1], PAYLOAD)
}

pub(super) fn echo_reply(text: &str, id: u16) -> Frame {
    let [a, b] = id.to_be_bytes();
    icmp(0, 0, text, [a, b, 0, 1], PAYLOAD)
}

/// A protocol that has no ports here.
pub(super) fn raw(proto: u8, text: &str) -> Frame {
    let mut bytes = Vec::new();
    ip(&flow(text)).write(&mut bytes, IpNumber(proto), PAYLOAD).unwrap();
    Frame(bytes)
}

/// An ICMP error that quotes the IP packet `quoted`.
pub(super) fn error(kind: u8, code: u8, text: &str, quoted: &[u8]) -> Frame {
    // The word has the next-hop MTU of a "fragmentation needed", unused otherwise.
    icmp(kind, code, text, [0, 0, 0x05, 0xb4], quoted)
}

impl Frame {
    /// The packet from the IP header on.
    pub(super) fn ip(&self) -> &[u8] {
        &self.0[ETH..]
    }

    /// The IP header and `count` bytes behind it: what a router quotes.
    pub(super) fn quote(&self, count: usize) -> &[u8] {
        &self.ip()[..usize::from(self.ip()[0] & 15) * 4 + count]
    }

    pub(super) fn parse(&self) -> Packet {
        Packet::parse(self.0.as_slice(), 14).unwrap()
    }

    /// This frame with another IP header.
    pub(super) fn with_ip(&self, change: impl FnOnce(&mut Ipv4Header)) -> Self {
        let (mut header, payload) = Ipv4Header::from_slice(self.ip()).unwrap();
        change(&mut header);
        header.set_payload_len(payload.len()).unwrap();
        header.header_checksum = header.calc_header_checksum();
        let mut bytes = self.0[..ETH].to_vec();
        header.write(&mut bytes).unwrap();
        bytes.extend_from_slice(payload);
        Self(bytes)
    }

    pub(super) fn ttl(&self, ttl: u8) -> Self {
        self.with_ip(|ip| ip.time_to_live = ttl)
    }

    /// With 8 bytes of IP options (no-operations).
    pub(super) fn options(&self) -> Self {
        self.with_ip(|ip| ip.options = Ipv4Options::from([1; 8]))
    }

    pub(super) fn first_fragment(&self) -> Self {
        self.with_ip(|ip| ip.more_fragments = true)
    }

    pub(super) fn later_fragment(&self) -> Self {
        self.with_ip(|ip| ip.fragment_offset = 64u16.try_into().unwrap())
    }

    /// A UDP packet whose sender computed no checksum.
    pub(super) fn without_udp_checksum(mut self) -> Self {
        let at = self.parse().l4 as usize + 6;
        self.0[at..at + 2].fill(0);
        self
    }
}

/// `10.0.0.5:4000 > 8.8.8.8:80`, `10.0.0.5 > 8.8.8.8 id 7`, `8.8.8.8 > 10.0.0.5 error 3/1 [10.0.0.5:1 > 8.8.8.8:2]`.
impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packet = self.parse();
        match packet.transport {
            Transport::IcmpError => {
                let l4 = packet.l4 as usize;
                let outer = Named(Tuple::of(&packet), Transport::Other);
                write!(f, "{outer} error {}/{}", self.0[l4], self.0[l4 + 1])?;
                let inner =
                    packet.inner(self.0.as_slice()).map(|inner| Named(Tuple::of_inner(&inner), inner.transport));
                if let Ok(inner) = inner { write!(f, " [{inner}]") } else { Ok(()) }
            }
            Transport::Tcp(_) | Transport::Udp | Transport::QueryRequest | Transport::QueryReply | Transport::Other => {
                Named(Tuple::of(&packet), packet.transport).fmt(f)
            }
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({self})")
    }
}

struct Named(Tuple, Transport);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (src, dst) = (std::net::Ipv4Addr::from(self.0.src), std::net::Ipv4Addr::from(self.0.dst));
        let (sport, dport) = (u16::from_be_bytes(self.0.sport), u16::from_be_bytes(self.0.dport));
        match self.1 {
            Transport::Tcp(_) | Transport::Udp => write!(f, "{src}:{sport} > {dst}:{dport}"),
            Transport::QueryRequest => write!(f, "{src} > {dst} id {sport}"),
            Transport::QueryReply => write!(f, "{src} > {dst} id {dport}"),
            Transport::IcmpError | Transport::Other => write!(f, "{src} > {dst}"),
        }
    }
}

pub(super) const GRE: u8 = ip_number::GRE.0;
