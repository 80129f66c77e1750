//! The packet that an ICMP error quotes.

use etherparse::PacketBuilder;

use super::{super::Inner, *};

const BAD: Result<Inner, DropReason> = Err(DropReason::IcmpErrorMalformed);

/// An ICMP error that quotes `quoted`, and what was read of it.
fn quote(quoted: &[u8]) -> Result<Inner, DropReason> {
    let mut bytes = Vec::new();
    let step = PacketBuilder::ipv4([192, 0, 2, 1], [203, 0, 113, 1], 64).icmpv4_raw(3, 1, [0; 4]);
    step.write(&mut bytes, quoted).unwrap();
    // Padding that must not be taken for a longer quotation.
    bytes.extend_from_slice(&[0x55; 40]);
    Packet::parse(bytes.as_slice(), 0).unwrap().inner(bytes.as_slice())
}

fn tcp() -> Vec<u8> {
    let mut bytes = Vec::new();
    let step = PacketBuilder::ipv4([10, 0, 0, 5], [8, 8, 8, 8], 64).tcp(4000, 80, 7, 512).syn();
    step.write(&mut bytes, b"payload").unwrap();
    bytes
}

fn icmp(kind: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let step = PacketBuilder::ipv4([10, 0, 0, 5], [8, 8, 8, 8], 64).icmpv4_raw(kind, 0, [0x12, 0x34, 0, 1]);
    step.write(&mut bytes, b"payload").unwrap();
    bytes
}

#[test]
fn the_tcp_checksum_is_found_only_when_it_was_quoted() {
    let whole = tcp();
    for len in 28..=whole.len() {
        let inner = quote(&whole[..len]).unwrap();
        assert_eq!((inner.l3, inner.l4), (28, 48));
        assert_eq!((inner.sport, inner.dport), (4000u16.to_be_bytes(), 80u16.to_be_bytes()));
        let there = (len >= 38).then_some((64, [whole[36], whole[37]]));
        assert_eq!(inner.checksum, there, "{len} bytes quoted");
    }
}

#[test]
fn fewer_than_eight_bytes_of_transport_are_refused() {
    let whole = tcp();
    for len in 0..28 {
        assert_eq!(quote(&whole[..len]), BAD, "{len}");
    }
}

#[test]
fn a_udp_checksum_of_0_is_none() {
    let mut query = QUERY;
    assert_eq!(quote(&query).unwrap().checksum, Some((54, [0xbe, 0xef])));
    query[26..28].fill(0);
    assert_eq!(quote(&query).unwrap().checksum, None);
}

#[test]
fn queries_have_their_identifier_and_errors_about_errors_are_refused() {
    let request = quote(&icmp(8)).unwrap();
    assert_eq!((request.transport, request.sport, request.dport), (Transport::QueryRequest, [0x12, 0x34], [0, 0]));
    let reply = quote(&icmp(0)).unwrap();
    assert_eq!((reply.transport, reply.sport, reply.dport), (Transport::QueryReply, [0, 0], [0x12, 0x34]));
    for kind in [3, 4, 11, 12] {
        assert_eq!(quote(&icmp(kind)), BAD);
    }
    assert_eq!(quote(&icmp(5)).unwrap().transport, Transport::Other);
}

#[test]
fn options_are_walked() {
    let mut quoted = vec![0x48];
    quoted.extend_from_slice(&QUERY[1..20]);
    quoted.extend_from_slice(&[1; 12]);
    quoted.extend_from_slice(&QUERY[20..]);
    let inner = quote(&quoted).unwrap();
    assert_eq!((inner.l4, inner.sport, inner.checksum), (60, [0x9c, 0x40], Some((66, [0xbe, 0xef]))));
    // Options that would reach past the quotation.
    quoted[0] = 0x4f;
    assert_eq!(quote(&quoted), BAD);
}

#[test]
fn a_later_fragment_has_addresses_only() {
    let mut query = QUERY;
    query[6..8].copy_from_slice(&[0x20, 0x10]);
    let inner = quote(&query).unwrap();
    assert_eq!((inner.transport, inner.sport, inner.dport), (Transport::Other, [0, 0], [0, 0]));
    assert_eq!(inner.checksum, None);
}

#[test]
fn what_is_not_ipv4_is_refused() {
    for first in [0x65, 0x44, 0x00] {
        let mut query = QUERY;
        query[0] = first;
        assert_eq!(quote(&query), BAD);
    }
}
