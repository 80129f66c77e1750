//! Any bytes at all: no panic, no read past the end, no offset past the packet.

use std::cell::Cell;

use proptest::prelude::*;

use super::*;

/// A frame that counts how far it was read successfully.
struct Watched<'a> {
    bytes: &'a [u8],
    end: Cell<usize>,
}

impl PacketRead for Watched<'_> {
    fn words<const N: usize>(&self, offset: u32) -> Option<[u32; N]> {
        let words = self.bytes.words(offset)?;
        self.end.set(self.end.get().max(offset as usize + N * 4));
        Some(words)
    }
    fn len(&self) -> u32 {
        PacketRead::len(self.bytes)
    }
}

/// Random bytes, most of them made to look like an IPv4 packet of a protocol that is parsed further.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let shape = (any::<u8>(), prop_oneof![Just(1u8), Just(6), Just(17), any::<u8>()], 5u8..16, any::<bool>());
    (proptest::collection::vec(any::<u8>(), 0..160), shape).prop_map(|(mut bytes, (random, proto, words, quotes))| {
        if bytes.len() >= 20 && random > 20 {
            bytes[0] = 0x40 | if random > 128 { 5 } else { words };
            let len = u16::try_from(bytes.len()).unwrap();
            bytes[2..4].copy_from_slice(&len.to_be_bytes());
            bytes[6..8].fill(0);
            bytes[9] = proto;
        }
        if quotes && bytes.len() >= 50 && random > 128 {
            (bytes[9], bytes[20], bytes[28]) = (1, 3, 0x40 | words);
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn whatever_is_parsed_lies_inside_the_packet(bytes in hostile(), l3 in 0u32..8) {
        let frame = Watched { bytes: &bytes, end: Cell::new(0) };
        let Ok(packet) = Packet::parse(&frame, l3) else { return Ok(()) };
        let end = l3 + packet.ip_len;
        prop_assert!(end as usize <= bytes.len());
        prop_assert!(packet.l4 <= end && packet.l4 >= l3 + 20);
        prop_assert!(frame.end.get() <= end as usize, "read to {} of {end}", frame.end.get());
        if packet.transport != Transport::Other {
            prop_assert!(packet.l4 + 8 <= end);
        }
        if packet.transport != Transport::IcmpError {
            return Ok(());
        }
        if let Ok(inner) = packet.inner(&frame) {
            prop_assert!(inner.l4 + 8 <= end && inner.l3 == packet.l4 + 8);
            prop_assert!(inner.transport != Transport::IcmpError);
            if let Some((offset, value)) = inner.checksum {
                prop_assert!(offset + 2 <= end);
                let at = offset as usize;
                prop_assert_eq!([bytes[at], bytes[at + 1]], value);
            }
        }
    }

    #[test]
    fn a_packet_cut_anywhere_is_refused_or_read_alike(cut in 0usize..32, l3 in 0u32..20) {
        let mut frame = vec![0; l3 as usize];
        frame.extend_from_slice(&QUERY);
        frame.truncate(l3 as usize + cut);
        prop_assert_eq!(Packet::parse(frame.as_slice(), l3), Err(DropReason::MalformedIpv4));
    }

    #[test]
    fn an_offset_past_the_frame_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64), l3 in any::<u32>()) {
        prop_assume!(l3 as usize + 20 > bytes.len());
        prop_assert_eq!(Packet::parse(bytes.as_slice(), l3), Err(DropReason::MalformedIpv4));
    }
}
