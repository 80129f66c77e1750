//! Frames written with etherparse, every checksum computed from nothing.

use etherparse::{
    Ethernet2Header, IcmpEchoHeader, Icmpv4Header, Icmpv4Type, IpFragOffset, IpNumber, Ipv4Header, Ipv4Options,
    TcpHeader, UdpHeader,
};

use super::places::{EXT_MAC, INT_MAC, PEER_MAC};

/// What follows the IP header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum L4 {
    /// TCP: flags are the letters of S, A, F, R, P.
    Tcp {
        /// The flags.
        flags: &'static str,
    },
    /// UDP.
    Udp,
    /// UDP whose checksum field is 0.
    UdpWithoutChecksum,
    /// An ICMP query or answer; the identifier is `sport` of the packet.
    Echo {
        /// ICMP type: 8 or 0 for echo, 13 or 14 for timestamp.
        kind: u8,
    },
    /// An ICMP error.
    Error {
        /// ICMP type.
        kind: u8,
        /// ICMP code.
        code: u8,
        /// The rest of the header: the MTU of frag-needed.
        rest: u32,
        /// The packet it is about.
        quote: Box<Quote>,
    },
    /// Any other protocol: only the payload follows.
    Raw {
        /// Its number.
        proto: u8,
    },
}

/// The packet that an ICMP error quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// The packet as its sender made it.
    pub packet: Pkt,
    /// How much of what follows its IP header is quoted; `usize::MAX` for all.
    pub bytes: usize,
    /// What follows it (RFC 4884 extensions).
    pub trailer: Vec<u8>,
}

/// An IPv4 packet in an Ethernet frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pkt {
    /// Source address.
    pub src: [u8; 4],
    /// Destination address.
    pub dst: [u8; 4],
    /// Source port, or the identifier of an ICMP query.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// Time to live.
    pub ttl: u8,
    /// Don't fragment.
    pub df: bool,
    /// DSCP and ECN.
    pub tos: u8,
    /// Fragment offset in units of 8 bytes, and whether more follow.
    pub fragment: (u16, bool),
    /// IP options, a multiple of 4 bytes.
    pub options: Vec<u8>,
    /// The transport header.
    pub l4: L4,
    /// What follows it; of a later fragment, all there is.
    pub payload: Vec<u8>,
    /// Destination hardware address.
    pub mac: [u8; 6],
}

impl Pkt {
    /// A packet with `l4`, 64 hops to live and DF, towards the internal interface.
    #[must_use]
    pub fn new(l4: L4, (src, sport): ([u8; 4], u16), (dst, dport): ([u8; 4], u16)) -> Self {
        Self {
            src,
            dst,
            sport,
            dport,
            ttl: 64,
            df: true,
            tos: 0x28,
            fragment: (0, false),
            options: Vec::new(),
            l4,
            payload: b"natgw payload".to_vec(),
            mac: INT_MAC,
        }
    }

    /// TCP with `flags`.
    #[must_use]
    pub fn tcp(flags: &'static str, src: ([u8; 4], u16), dst: ([u8; 4], u16)) -> Self {
        Self::new(L4::Tcp { flags }, src, dst)
    }

    /// UDP.
    #[must_use]
    pub fn udp(src: ([u8; 4], u16), dst: ([u8; 4], u16)) -> Self {
        Self::new(L4::Udp, src, dst)
    }

    /// An ICMP query or answer with the identifier `id`.
    #[must_use]
    pub fn echo(kind: u8, src: [u8; 4], dst: [u8; 4], id: u16) -> Self {
        Self::new(L4::Echo { kind }, (src, id), (dst, 0))
    }

    /// Another protocol.
    #[must_use]
    pub fn raw(proto: u8, src: [u8; 4], dst: [u8; 4]) -> Self {
        Self::new(L4::Raw { proto }, (src, 0), (dst, 0))
    }

    /// An ICMP error about the whole of `about`.
    #[must_use]
    pub fn error((kind, code): (u8, u8), src: [u8; 4], dst: [u8; 4], about: Self) -> Self {
        let rest = if (kind, code) == (3, 4) { 1280 } else { 0 };
        let quote = Box::new(Quote { packet: about, bytes: usize::MAX, trailer: Vec::new() });
        Self { payload: Vec::new(), df: false, ..Self::new(L4::Error { kind, code, rest, quote }, (src, 0), (dst, 0)) }
    }

    /// The same, towards the external interface.
    #[must_use]
    pub fn external(self) -> Self {
        Self { mac: EXT_MAC, ..self }
    }

    /// The same with other ends.
    #[must_use]
    pub fn with(self, (src, sport): ([u8; 4], u16), (dst, dport): ([u8; 4], u16)) -> Self {
        Self { src, dst, sport, dport, ..self }
    }

    /// The same with other addresses.
    #[must_use]
    pub fn between(self, src: [u8; 4], dst: [u8; 4]) -> Self {
        Self { src, dst, ..self }
    }

    /// The same with another time to live.
    #[must_use]
    pub fn ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
    }

    /// The same one hop later.
    #[must_use]
    pub fn hop(self) -> Self {
        Self { ttl: self.ttl - 1, ..self }
    }

    /// The same with another payload.
    #[must_use]
    pub fn payload(self, payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: payload.into(), ..self }
    }

    /// The same, padded so that the IP packet has `len` bytes.
    ///
    /// # Panics
    /// When its headers alone are longer.
    #[must_use]
    pub fn ip_len(self, len: usize) -> Self {
        let headers = self.clone().payload([]).ip().len();
        self.payload(vec![0x5a; len.checked_sub(headers).expect("longer than its headers")])
    }

    /// The same, may be fragmented.
    #[must_use]
    pub fn may_fragment(self) -> Self {
        Self { df: false, ..self }
    }

    /// The same as a fragment: offset in units of 8 bytes, and whether more follow.
    #[must_use]
    pub fn fragment(self, offset: u16, more: bool) -> Self {
        Self { df: false, fragment: (offset, more), ..self }
    }

    /// The same with IP options (a record route option, then the end of the list).
    #[must_use]
    pub fn options(self) -> Self {
        Self { options: vec![7, 7, 4, 0, 0, 0, 0, 0], ..self }
    }

    /// The same error, which quotes only `bytes` of what follows the IP header.
    ///
    /// # Panics
    /// When it is no error.
    #[must_use]
    pub fn quoting(self, bytes: usize) -> Self {
        self.change_quote(|quote| quote.bytes = bytes)
    }

    /// The same error with an RFC 4884 extension behind the quote.
    ///
    /// # Panics
    /// When it is no error.
    #[must_use]
    pub fn trailer(self, trailer: &[u8]) -> Self {
        self.change_quote(|quote| quote.trailer = trailer.to_vec())
    }

    /// The same error about a changed packet.
    ///
    /// # Panics
    /// When it is no error.
    #[must_use]
    pub fn about(self, change: impl FnOnce(Self) -> Self) -> Self {
        self.change_quote(|quote| quote.packet = change(quote.packet.clone()))
    }

    fn change_quote(mut self, change: impl FnOnce(&mut Quote)) -> Self {
        let L4::Error { quote, .. } = &mut self.l4 else { panic!("{self:?} is no ICMP error") };
        change(quote);
        self
    }

    /// The IP packet.
    ///
    /// # Panics
    /// When it cannot exist.
    #[must_use]
    pub fn ip(&self) -> Vec<u8> {
        let body = if self.fragment.0 == 0 { self.transport() } else { self.payload.clone() };
        let mut header = Ipv4Header {
            identification: 0x1234,
            dont_fragment: self.df,
            more_fragments: self.fragment.1,
            fragment_offset: IpFragOffset::try_new(self.fragment.0).expect("13 bits"),
            time_to_live: self.ttl,
            protocol: IpNumber(self.proto()),
            source: self.src,
            destination: self.dst,
            options: Ipv4Options::try_from(self.options.as_slice()).expect("whole words"),
            dscp: (self.tos >> 2).try_into().expect("six bits"),
            ecn: (self.tos & 3).try_into().expect("two bits"),
            ..Ipv4Header::default()
        };
        header.set_payload_len(body.len()).expect("below 64 KiB");
        header.header_checksum = header.calc_header_checksum();
        [header.to_bytes().as_slice(), &body].concat()
    }

    /// The frame.
    ///
    /// # Panics
    /// When it cannot exist.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let ethernet =
            Ethernet2Header { source: PEER_MAC, destination: self.mac, ether_type: etherparse::EtherType::IPV4 };
        [ethernet.to_bytes().as_slice(), &self.ip()].concat()
    }

    /// The protocol number.
    #[must_use]
    pub fn proto(&self) -> u8 {
        match self.l4 {
            L4::Tcp { .. } => 6,
            L4::Udp | L4::UdpWithoutChecksum => 17,
            L4::Echo { .. } | L4::Error { .. } => 1,
            L4::Raw { proto } => proto,
        }
    }

    fn transport(&self) -> Vec<u8> {
        let payload = self.payload.as_slice();
        match &self.l4 {
            L4::Tcp { flags } => {
                let mut header = TcpHeader::new(self.sport, self.dport, 0x0102_0304, 4096);
                header.acknowledgment_number = 0x0506_0708;
                for flag in flags.chars() {
                    match flag {
                        'S' => header.syn = true,
                        'A' => header.ack = true,
                        'F' => header.fin = true,
                        'R' => header.rst = true,
                        'P' => header.psh = true,
                        other => panic!("no TCP flag {other}"),
                    }
                }
                header.checksum = header.calc_checksum_ipv4_raw(self.src, self.dst, payload).expect("below 64 KiB");
                [header.to_bytes().as_slice(), payload].concat()
            }
            L4::Udp | L4::UdpWithoutChecksum => {
                let mut header =
                    UdpHeader::without_ipv4_checksum(self.sport, self.dport, payload.len()).expect("below 64 KiB");
                if self.l4 == L4::Udp {
                    header.checksum = header.calc_checksum_ipv4_raw(self.src, self.dst, payload).expect("below 64 KiB");
                }
                [header.to_bytes().as_slice(), payload].concat()
            }
            L4::Echo { kind } => {
                let echo = IcmpEchoHeader { id: self.sport, seq: 7 };
                icmp(*kind, 0, echo.to_bytes(), payload)
            }
            L4::Error { kind, code, rest, quote } => {
                let packet = quote.packet.ip();
                let header = 20 + quote.packet.options.len();
                let end = packet.len().min(header.saturating_add(quote.bytes));
                let body = [&packet[..end], &quote.trailer].concat();
                icmp(*kind, *code, rest.to_be_bytes(), &body)
            }
            L4::Raw { .. } => payload.to_vec(),
        }
    }
}

fn icmp(type_u8: u8, code_u8: u8, bytes5to8: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let header = Icmpv4Header::with_checksum(Icmpv4Type::Unknown { type_u8, code_u8, bytes5to8 }, payload);
    [header.to_bytes().as_slice(), payload].concat()
}
