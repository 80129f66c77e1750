//! The IPv4 header (RFC 791).

use super::{Half, half};

/// Where a packet stands in a fragmented datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fragment {
    /// It is whole.
    No,
    /// The first piece: it has the transport header.
    First,
    /// A later piece: it has none.
    Later,
}

/// An IPv4 header without its options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv4 {
    /// Bytes of header, 20 to 60.
    pub header_len: u32,
    /// The total length field; 0 in the kernel's packets over 64 KiB (BIG TCP).
    pub total_len: u32,
    /// Don't fragment.
    pub dont_fragment: bool,
    /// Position in a fragmented datagram.
    pub fragment: Fragment,
    /// Time to live.
    pub ttl: u8,
    /// Protocol number.
    pub proto: u8,
    /// The header checksum field, as it lies in memory.
    pub checksum: [u8; 2],
    /// Type of service, for route look-ups.
    pub tos: u8,
    /// Source address.
    pub src: [u8; 4],
    /// Destination address.
    pub dst: [u8; 4],
}

impl Ipv4 {
    /// Bytes of a header without options.
    pub const MIN_LEN: u32 = 20;

    /// Reads the five words of a header; `None` if it is not version 4 or shorter than 20 bytes.
    #[must_use]
    #[inline(always)]
    pub const fn from_words(words: [u32; 5]) -> Option<Self> {
        let [version_ihl, tos, ..] = words[0].to_ne_bytes();
        let header_len = (version_ihl & 0x0f) as u32 * 4;
        if version_ihl >> 4 != 4 || header_len < Self::MIN_LEN {
            return None;
        }
        let flags = u16::from_be_bytes(half(words[1], Half::Second));
        let [ttl, proto, ..] = words[2].to_ne_bytes();
        Some(Self {
            header_len,
            total_len: u16::from_be_bytes(half(words[0], Half::Second)) as u32,
            dont_fragment: flags & 0x4000 != 0,
            fragment: match (flags & 0x1fff, flags & 0x2000) {
                (0, 0) => Fragment::No,
                (0, _) => Fragment::First,
                (_, _) => Fragment::Later,
            },
            ttl,
            proto,
            checksum: half(words[2], Half::Second),
            tos,
            src: words[3].to_ne_bytes(),
            dst: words[4].to_ne_bytes(),
        })
    }
}
