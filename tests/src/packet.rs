//! Captured packets taken apart, every checksum in them recomputed from scratch.
//!
//! This is on purpose not the code of `natgw-common`: a test must not share the mistakes of what it tests.

use std::net::Ipv4Addr;

/// The Internet checksum over `pieces` (all but the last of even length).
#[must_use]
pub fn checksum(pieces: &[&[u8]]) -> u16 {
    !sum(pieces)
}

fn sum(pieces: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for piece in pieces {
        for pair in piece.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).expect("folded to 16 bits")
}

/// How a transport checksum was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// Complete and right.
    Full,
    /// `CHECKSUM_PARTIAL`: exactly the sum of the pseudo header, to be completed by the hardware.
    Partial,
    /// Wrong, inside an ICMP error. The quoted packet of a host with checksum offload had no complete checksum yet, and no
    /// translation can keep that right: only networks with [`crate::topology::Offload::Off`] can insist.
    WrongInside,
    /// UDP without a checksum.
    Absent,
    /// Cannot be told: a fragment, or an inner packet that is cut short.
    Unknown,
    /// The protocol has none.
    None,
}

/// What the transport layer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// TCP: ports, flags.
    Tcp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
        /// The flags byte.
        flags: u8,
    },
    /// UDP: ports.
    Udp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// An ICMP query or answer, or any message without a packet inside.
    IcmpEcho {
        /// Type.
        kind: u8,
        /// Identifier.
        id: u16,
        /// Sequence number.
        sequence: u16,
    },
    /// An ICMP error.
    IcmpError {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// The last two bytes of the rest of the header: the MTU of frag-needed.
        mtu: u16,
        /// What it is about.
        inner: Box<Packet>,
    },
    /// Anything else, or a fragment without transport header.
    Other,
}

/// One IPv4 packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Source.
    pub source: Ipv4Addr,
    /// Destination.
    pub destination: Ipv4Addr,
    /// Protocol number.
    pub protocol: u8,
    /// Time to live.
    pub ttl: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// Identification.
    pub id: u16,
    /// Total length by the header.
    pub len: u16,
    /// Don't fragment.
    pub dont_fragment: bool,
    /// It is one (more fragments follow, or an offset).
    pub fragment: bool,
    /// Transport layer.
    pub transport: Transport,
    /// How its checksum was.
    pub checksum: Checksum,
    /// What follows the transport header (the IPv4 header, for protocols that are not parsed), the first 32 bytes.
    pub payload: Vec<u8>,
}

impl Packet {
    /// Takes an IPv4 packet apart.
    ///
    /// # Errors
    /// What is wrong with it: a bad length, or any wrong checksum.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        Self::parse_at(bytes, Depth::Outer)
    }

    fn parse_at(bytes: &[u8], depth: Depth) -> Result<Self, String> {
        let header_len = usize::from(bytes.first().ok_or("empty")? & 0xf) * 4;
        if bytes[0] >> 4 != 4 || header_len < 20 || bytes.len() < header_len {
            return Err(format!("not an IPv4 header: {:02x?}", &bytes[..bytes.len().min(20)]));
        }
        let (header, rest) = bytes.split_at(header_len);
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
        let mut packet = Self {
            source: address(12),
            destination: address(16),
            protocol: header[9],
            ttl: header[8],
            tos: header[1],
            id: word(4),
            len: word(2),
            dont_fragment: word(6) & 0x4000 != 0,
            fragment: word(6) & 0x3fff != 0,
            transport: Transport::Other,
            checksum: Checksum::None,
            payload: Vec::new(),
        };
        if checksum(&[header]) != 0 {
            return Err(format!("wrong IPv4 header checksum {:#06x} in {packet:?}", word(10)));
        }
        // A GSO packet beyond 64 KiB (BIG TCP) would carry 0; nothing here makes one.
        let announced = usize::from(packet.len).saturating_sub(header_len);
        let whole = rest.len() >= announced;
        if !whole && depth == Depth::Outer {
            return Err(format!("the packet is cut short: {} of {announced} bytes: {packet:?}", rest.len()));
        }
        // Ethernet pads short frames.
        let rest = &rest[..rest.len().min(announced)];
        if packet.fragment && word(6) & 0x1fff != 0 {
            packet.checksum = Checksum::Unknown;
            packet.payload = head(rest);
            return Ok(packet);
        }
        let verifiable = whole && !packet.fragment;
        packet.parse_transport(rest, verifiable, depth)?;
        Ok(packet)
    }

    fn parse_transport(&mut self, rest: &[u8], verifiable: bool, depth: Depth) -> Result<(), String> {
        let word = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
        match self.protocol {
            1 if rest.len() >= 8 => {
                if verifiable && checksum(&[rest]) != 0 {
                    return Err(format!("wrong ICMP checksum {:#06x} in {self:?}", word(2)));
                }
                self.checksum = if verifiable { Checksum::Full } else { Checksum::Unknown };
                self.payload = head(&rest[8..]);
                self.transport = if matches!(rest[0], 3 | 4 | 5 | 11 | 12) {
                    let inner = Self::parse_at(&rest[8..], Depth::Inner)
                        .map_err(|error| format!("inside an ICMP error of {}: {error}", self.source))?;
                    Transport::IcmpError { kind: rest[0], code: rest[1], mtu: word(6), inner: Box::new(inner) }
                } else {
                    Transport::IcmpEcho { kind: rest[0], id: word(4), sequence: word(6) }
                };
            }
            6 if rest.len() >= 8 => {
                let flags = rest.get(13).copied().unwrap_or(0);
                self.transport = Transport::Tcp { source: word(0), destination: word(2), flags };
                let offset = rest.get(12).map_or(rest.len(), |byte| usize::from(byte >> 4) * 4);
                self.payload = head(rest.get(offset..).unwrap_or_default());
                self.checksum = self.transport_checksum(rest, 16, verifiable, depth)?;
            }
            17 if rest.len() >= 8 => {
                self.transport = Transport::Udp { source: word(0), destination: word(2) };
                self.payload = head(&rest[8..]);
                self.checksum =
                    if word(6) == 0 { Checksum::Absent } else { self.transport_checksum(rest, 6, verifiable, depth)? };
            }
            _ => self.payload = head(rest),
        }
        Ok(())
    }

    fn transport_checksum(&self, rest: &[u8], at: usize, verifiable: bool, depth: Depth) -> Result<Checksum, String> {
        if !verifiable || rest.len() < at + 2 {
            return Ok(Checksum::Unknown);
        }
        let len = u16::try_from(rest.len()).map_err(|_| "longer than IPv4 allows")?.to_be_bytes();
        let pseudo: &[&[u8]] =
            &[&self.source.octets(), &self.destination.octets(), &[0, self.protocol], &[len[0], len[1]]];
        let all: Vec<&[u8]> = pseudo.iter().copied().chain([rest]).collect();
        if checksum(&all) == 0 {
            return Ok(Checksum::Full);
        }
        let field = u16::from_be_bytes([rest[at], rest[at + 1]]);
        if field == sum(pseudo) {
            return Ok(Checksum::Partial);
        }
        match depth {
            Depth::Inner => Ok(Checksum::WrongInside),
            Depth::Outer => Err(format!("wrong transport checksum {field:#06x} in {self:?}")),
        }
    }

    /// Source and destination port (or ICMP identifier twice); 0 without.
    #[must_use]
    pub fn ports(&self) -> (u16, u16) {
        match &self.transport {
            Transport::Tcp { source, destination, .. } | Transport::Udp { source, destination } => {
                (*source, *destination)
            }
            Transport::IcmpEcho { id, .. } => (*id, *id),
            Transport::IcmpError { .. } | Transport::Other => (0, 0),
        }
    }

    /// Whether the transport checksum of the packet inside an ICMP error is provably wrong.
    #[must_use]
    pub fn is_wrong_inside(&self) -> bool {
        matches!(&self.transport, Transport::IcmpError { inner, .. } if inner.checksum == Checksum::WrongInside)
    }

    /// The packet inside, of an ICMP error of this type and code.
    #[must_use]
    pub fn icmp_error(&self, wanted_kind: u8, wanted_code: u8) -> Option<&Self> {
        match &self.transport {
            Transport::IcmpError { kind, code, inner, .. } if (*kind, *code) == (wanted_kind, wanted_code) => {
                Some(inner)
            }
            Transport::Tcp { .. }
            | Transport::Udp { .. }
            | Transport::IcmpEcho { .. }
            | Transport::IcmpError { .. }
            | Transport::Other => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    Outer,
    Inner,
}

fn head(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len().min(32)].to_vec()
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    fn udp() -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4([10, 0, 1, 2], [203, 0, 113, 100], 64)
            .udp(1000, 2000)
            .write(&mut bytes, b"seven b")
            .expect("a Vec takes it");
        bytes
    }

    #[test]
    fn a_correct_packet_is_accepted_and_every_flipped_bit_that_a_checksum_covers_is_found() {
        let good = udp();
        let packet = Packet::parse(&good).expect("etherparse writes correct packets");
        assert_eq!((packet.ports(), packet.checksum), ((1000, 2000), Checksum::Full));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Packet::parse(&bad).is_err(), "bit {bit} of byte {} is not noticed", bit / 8);
        }
    }

    #[test]
    fn a_checksum_that_holds_the_pseudo_header_only_is_partial() {
        let mut bytes = udp();
        let pseudo = sum(&[&[10, 0, 1, 2, 203, 0, 113, 100, 0, 17, 0, 15]]);
        bytes[26..28].copy_from_slice(&pseudo.to_be_bytes());
        assert_eq!(Packet::parse(&bytes).map(|packet| packet.checksum), Ok(Checksum::Partial));
    }

    #[test]
    fn an_inner_packet_is_verified_too() {
        let mut inner = udp();
        let message = |inner: &[u8]| {
            let mut bytes = Vec::new();
            let kind = etherparse::Icmpv4Type::DestinationUnreachable(etherparse::icmpv4::DestUnreachableHeader::Port);
            PacketBuilder::ipv4([203, 0, 113, 100], [10, 0, 1, 2], 64)
                .icmpv4(kind)
                .write(&mut bytes, inner)
                .expect("a Vec takes it");
            Packet::parse(&bytes)
        };
        assert!(message(&inner).is_ok());
        inner[12] ^= 1;
        assert!(
            message(&inner).expect_err("broken").contains("IPv4 header checksum"),
            "the inner IPv4 header is wrong"
        );
        inner[12] ^= 1;
        inner[20] ^= 1;
        let packet = message(&inner).expect("the outer packet is right");
        let inner = packet.icmp_error(3, 3).expect("a port-unreachable");
        assert_eq!(inner.checksum, Checksum::WrongInside, "the inner source port is wrong");
    }
}
