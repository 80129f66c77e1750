//! Test data whose every byte depends on its position, so that loss, repetition and reordering are all seen.

use std::sync::OnceLock;

/// A prime length: no power-of-two shift of the stream looks like the stream.
const PERIOD: usize = 1_048_583;

/// Longest piece that [`at`] returns.
pub const CHUNK: usize = 64 * 1024;

fn pattern() -> &'static [u8] {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    PATTERN.get_or_init(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut bytes = Vec::with_capacity(PERIOD + CHUNK);
        while bytes.len() < PERIOD {
            // xorshift64*
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes());
        }
        bytes.truncate(PERIOD);
        bytes.extend_from_within(..CHUNK);
        bytes
    })
}

/// The `len` bytes (at most [`CHUNK`]) of the stream at `position`.
///
/// # Panics
/// When `len` is longer.
#[must_use]
pub fn at(position: u64, len: usize) -> &'static [u8] {
    assert!(len <= CHUNK, "a piece is at most {CHUNK} bytes");
    let start = usize::try_from(position % PERIOD as u64).expect("a remainder of a usize fits one");
    &pattern()[start..start + len]
}

/// Whether `bytes` (of any length) are the stream at `position`.
#[must_use]
pub fn is(position: u64, bytes: &[u8]) -> bool {
    let mut position = position;
    bytes.chunks(CHUNK).all(|piece| {
        let same = piece == at(position, piece.len());
        position += piece.len() as u64;
        same
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shifted_stream_is_not_the_stream() {
        assert!(is(5, at(5, 1000)));
        assert!(!is(6, at(5, 1000)));
        assert!(!is(5 + 65_536, at(5, 1000)));
    }
}
