//! What is on the wire: IPv4 (RFC 791), TCP, UDP and ICMP (RFC 792), as far as a NAT reads it.
//!
//! Headers are read as 32-bit words in memory order and taken apart with shifts, which is what the verifier and the
//! compiler both handle best; nothing here trusts a length that the packet claims for itself.

mod ipv4;
mod packet;
#[cfg(test)]
mod tests;
mod transport;

pub use ipv4::{Fragment, Ipv4};
pub use packet::{Inner, Packet};
pub use transport::{IcmpClass, Transport, icmp_class, tcp_event};

/// IP protocol numbers (IANA) that get special treatment.
pub mod proto {
    /// ICMP
    pub const ICMP: u8 = 1;
    /// TCP
    pub const TCP: u8 = 6;
    /// UDP
    pub const UDP: u8 = 17;
}

/// Read access to a frame.
pub trait PacketRead {
    /// `N` words at `offset` from the start of the frame, as they lie in memory; `None` past its end.
    fn words<const N: usize>(&self, offset: u32) -> Option<[u32; N]>;

    /// Bytes in the frame.
    fn len(&self) -> u32;

    /// Whether the frame is empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl PacketRead for [u8] {
    fn words<const N: usize>(&self, offset: u32) -> Option<[u32; N]> {
        let start = usize::try_from(offset).ok()?;
        let bytes = self.get(start..start.checked_add(N.checked_mul(4)?)?)?;
        let mut words = [0u32; N];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_ne_bytes(chunk.try_into().ok()?);
        }
        Some(words)
    }

    fn len(&self) -> u32 {
        u32::try_from(<[u8]>::len(self)).unwrap_or(u32::MAX)
    }
}

/// The `n`-th 16-bit half of a word, in memory order.
#[must_use]
#[inline(always)]
pub(crate) const fn half(word: u32, second: Half) -> [u8; 2] {
    let bytes = word.to_ne_bytes();
    match second {
        Half::First => [bytes[0], bytes[1]],
        Half::Second => [bytes[2], bytes[3]],
    }
}

/// Which half of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    /// Bytes 0 and 1.
    First,
    /// Bytes 2 and 3.
    Second,
}
