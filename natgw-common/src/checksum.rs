//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624, equation 3).
//!
//! Sums are kept in the byte order of memory: the checksum is byte-order independent as long as every term and the
//! result share one order (RFC 1071 section 2B), so nothing is ever swapped.

/// A running difference `new - old` in one's complement arithmetic, unfolded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delta(u64);

impl Delta {
    /// No change.
    pub const ZERO: Self = Self(0);

    /// Adds the replacement of a 32-bit word, both as they lie in memory.
    #[must_use]
    #[inline(always)]
    pub const fn word(self, old: [u8; 4], new: [u8; 4]) -> Self {
        Self(self.0 + !u32::from_ne_bytes(old) as u64 + u32::from_ne_bytes(new) as u64)
    }

    /// Adds the replacement of a 16-bit word, both as they lie in memory.
    #[must_use]
    #[inline(always)]
    pub const fn half(self, old: [u8; 2], new: [u8; 2]) -> Self {
        Self(self.0 + !u16::from_ne_bytes(old) as u64 + u16::from_ne_bytes(new) as u64)
    }

    /// Both changes together.
    #[must_use]
    #[inline(always)]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// The difference as the kernel's `__wsum`, for `bpf_l4_csum_replace` with a size of 0.
    #[must_use]
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "folded to 32 bits just before")]
    pub const fn wsum(self) -> u32 {
        let once = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        ((once & 0xffff_ffff) + (once >> 32)) as u32
    }

    /// The checksum field `old` after this change (RFC 1624: `HC' = ~(~HC + ~m + m')`).
    #[must_use]
    #[inline(always)]
    pub const fn apply(self, old: [u8; 2]) -> [u8; 2] {
        let sum = (!u16::from_ne_bytes(old)) as u64 + self.wsum() as u64;
        (!fold(sum)).to_ne_bytes()
    }
}

/// Folds a sum to 16 bits, carries added back in.
#[must_use]
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "four folds leave at most 16 bits")]
pub const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// The full checksum over `bytes` added to `initial` (unfolded, memory order): the reference the tests compare with.
#[must_use]
pub fn full(bytes: &[u8], initial: u64) -> [u8; 2] {
    let sum = bytes.chunks(2).fold(initial, |sum, pair| {
        let low = pair.first().copied().unwrap_or(0);
        let high = pair.get(1).copied().unwrap_or(0);
        sum + u64::from(u16::from_ne_bytes([low, high]))
    });
    (!fold(sum)).to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_rfc_1071_section_3() {
        assert_eq!(full(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 0), [0x22, 0x0d]);
    }

    #[test]
    fn an_odd_last_byte_counts_as_a_high_byte() {
        assert_eq!(full(&[0x12, 0x34, 0x56], 0), full(&[0x12, 0x34, 0x56, 0x00], 0));
    }

    proptest! {
        #[test]
        fn an_incremental_update_equals_the_full_recomputation(
            mut bytes in proptest::collection::vec(any::<u8>(), 20..200),
            word in any::<[u8; 4]>(), half in any::<[u8; 2]>(), at in 0usize..4,
        ) {
            // A packet is never all zero bits, and neither is its sum: RFC 1624 section 3 on the two zeros.
            bytes[19] |= 1;
            let before = full(&bytes, 0);
            let (w, h) = (at * 4, 16);
            let delta = Delta::ZERO
                .word(bytes[w..w + 4].try_into().unwrap(), word)
                .half(bytes[h..h + 2].try_into().unwrap(), half);
            bytes[w..w + 4].copy_from_slice(&word);
            bytes[h..h + 2].copy_from_slice(&half);
            prop_assert_eq!(delta.apply(before), full(&bytes, 0));
        }

        #[test]
        fn the_order_of_two_changes_does_not_matter(a in any::<([u8; 4], [u8; 4])>(), b in any::<([u8; 2], [u8; 2])>(), sum in any::<[u8; 2]>()) {
            let one = Delta::ZERO.word(a.0, a.1).and(Delta::ZERO.half(b.0, b.1));
            let two = Delta::ZERO.half(b.0, b.1).and(Delta::ZERO.word(a.0, a.1));
            prop_assert_eq!(one.apply(sum), two.apply(sum));
        }
    }
}
