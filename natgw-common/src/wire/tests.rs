//! The parser on good, truncated and hostile bytes. Good packets are built by `etherparse`, or are literal bytes.

mod hostile;
mod inner;

use etherparse::{IpNumber, PacketBuilder};

use super::{Fragment, IcmpClass, Ipv4, Packet, PacketRead, Transport, icmp_class, proto, tcp_event};
use crate::{abi::DropReason, tcp_state::TcpEvent};

/// A DNS query as it was captured: IPv4 with 28 bytes of headers, from 10.0.0.5:40000 to 8.8.8.8:53.
const QUERY: [u8; 32] = [
    0x45, 0x10, 0x00, 0x20, 0x12, 0x34, 0x40, 0x00, 0x40, 0x11, 0x0e, 0x67, 10, 0, 0, 5, 8, 8, 8, 8, 0x9c, 0x40, 0x00,
    0x35, 0x00, 0x0c, 0xbe, 0xef, 1, 2, 3, 4,
];

#[test]
fn every_field_of_a_literal_packet_is_read() {
    let packet = Packet::parse(QUERY.as_slice(), 0).unwrap();
    let ip = Ipv4 {
        header_len: 20,
        total_len: 32,
        dont_fragment: true,
        fragment: Fragment::No,
        ttl: 64,
        proto: proto::UDP,
        checksum: [0x0e, 0x67],
        tos: 0x10,
        src: [10, 0, 0, 5],
        dst: [8, 8, 8, 8],
    };
    let expected =
        Packet { l3: 0, l4: 20, ip_len: 32, ip, transport: Transport::Udp, sport: [0x9c, 0x40], dport: [0, 0x35] };
    assert_eq!(packet, expected);
}

#[test]
fn the_header_may_stand_anywhere() {
    for l3 in [0u32, 4, 14, 18, 100] {
        let mut frame = vec![0xff; l3 as usize];
        frame.extend_from_slice(&QUERY);
        let packet = Packet::parse(frame.as_slice(), l3).unwrap();
        assert_eq!((packet.l3, packet.l4, packet.sport), (l3, l3 + 20, [0x9c, 0x40]));
    }
}

#[test]
fn padding_behind_the_packet_is_not_part_of_it() {
    let mut frame = QUERY.to_vec();
    frame.extend_from_slice(&[0xaa; 28]);
    assert_eq!(Packet::parse(frame.as_slice(), 0).unwrap().ip_len, 32);
}

#[test]
fn a_packet_over_64_kib_has_a_total_length_of_0() {
    let mut frame = QUERY.to_vec();
    frame[2..4].fill(0);
    assert_eq!(Packet::parse(frame.as_slice(), 0), Err(DropReason::MalformedIpv4), "only when it really is that long");
    frame.resize(70_000, 0);
    assert_eq!(Packet::parse(frame.as_slice(), 0).unwrap().ip_len, 70_000);
}

#[test]
fn lengths_and_versions_that_contradict_themselves_are_refused() {
    for (at, value, why) in [
        (0, 0x65, "version 6"),
        (0, 0x44, "a header of 16 bytes"),
        (0, 0x40, "a header of none"),
        (0, 0x4f, "a header longer than the packet"),
        (3, 19, "a total length below the header's"),
        (3, 33, "a total length over what is there"),
        (2, 0xff, "a total length far over what is there"),
    ] {
        let mut frame = QUERY;
        frame[at] = value;
        assert_eq!(Packet::parse(frame.as_slice(), 0), Err(DropReason::MalformedIpv4), "{why}");
    }
}

#[test]
fn a_transport_header_cut_short_is_refused_and_other_protocols_need_none() {
    let cut = |proto: u8, len: usize| {
        let mut bytes = Vec::new();
        let step = PacketBuilder::ipv4([10, 0, 0, 5], [8, 8, 8, 8], 64);
        step.write(&mut bytes, IpNumber(proto), &vec![0x50; len]).unwrap();
        Packet::parse(bytes.as_slice(), 0).map(|packet| packet.transport)
    };
    for (proto, needed) in [(proto::TCP, 20), (proto::UDP, 8), (proto::ICMP, 8), (47, 0), (132, 0)] {
        for len in 0..needed {
            assert_eq!(cut(proto, len), Err(DropReason::TruncatedL4), "{proto} with {len}");
        }
        assert!(cut(proto, needed).is_ok(), "{proto}");
    }
}

#[test]
fn fragments_know_their_place() {
    for (flags, fragment) in [
        (0x0000u16, Fragment::No),
        (0x4000, Fragment::No),
        (0x8000, Fragment::No),
        (0x2000, Fragment::First),
        (0x2001, Fragment::Later),
        (0x0001, Fragment::Later),
        (0x1fff, Fragment::Later),
    ] {
        let mut frame = QUERY;
        frame[6..8].copy_from_slice(&flags.to_be_bytes());
        let packet = Packet::parse(frame.as_slice(), 0).unwrap();
        assert_eq!(packet.ip.fragment, fragment, "{flags:#06x}");
        assert_eq!(packet.ip.dont_fragment, flags & 0x4000 != 0);
        // What looks like ports in a later fragment is payload.
        let ports = if fragment == Fragment::Later { ([0; 2], [0; 2]) } else { ([0x9c, 0x40], [0, 0x35]) };
        assert_eq!((packet.sport, packet.dport), ports);
        assert_eq!(packet.transport == Transport::Other, fragment == Fragment::Later);
    }
}

#[test]
fn options_move_the_transport_header() {
    let mut frame = vec![0x46];
    frame.extend_from_slice(&QUERY[1..20]);
    frame.extend_from_slice(&[1; 4]);
    frame.extend_from_slice(&QUERY[20..]);
    frame[3] = 36;
    let packet = Packet::parse(frame.as_slice(), 0).unwrap();
    assert_eq!((packet.l4, packet.sport, packet.ip.header_len), (24, [0x9c, 0x40], 24));
}

#[test]
fn every_combination_of_tcp_flags_has_an_event() {
    for flags in 0..=255u8 {
        let (fin, syn, rst) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
        let expected = match (rst, syn, fin) {
            (true, _, _) => TcpEvent::Rst,
            (_, true, _) => TcpEvent::Syn,
            (_, _, true) => TcpEvent::Fin,
            _ => TcpEvent::Data,
        };
        assert_eq!(tcp_event(flags), expected, "{flags:#010b}");
    }
}

#[test]
fn every_icmp_type_has_a_class() {
    for kind in 0..=255u8 {
        let expected = match kind {
            8 | 13 | 15 | 17 => IcmpClass::Request,
            0 | 14 | 16 | 18 => IcmpClass::Reply,
            3 | 4 | 11 | 12 => IcmpClass::Error,
            _ => IcmpClass::Other,
        };
        assert_eq!(icmp_class(kind), expected, "{kind}");
    }
}

#[test]
fn the_identifier_is_the_askers_port() {
    let icmp = |kind: u8| {
        let mut bytes = Vec::new();
        let step = PacketBuilder::ipv4([10, 0, 0, 5], [8, 8, 8, 8], 64).icmpv4_raw(kind, 0, [0x12, 0x34, 0, 1]);
        step.write(&mut bytes, &[]).unwrap();
        let packet = Packet::parse(bytes.as_slice(), 0).unwrap();
        (packet.transport, packet.sport, packet.dport)
    };
    assert_eq!(icmp(8), (Transport::QueryRequest, [0x12, 0x34], [0, 0]));
    assert_eq!(icmp(0), (Transport::QueryReply, [0, 0], [0x12, 0x34]));
    assert_eq!(icmp(3), (Transport::IcmpError, [0, 0], [0, 0]));
    assert_eq!(icmp(5), (Transport::Other, [0, 0], [0, 0]), "a redirect");
}

#[test]
fn words_are_read_as_they_lie_and_never_past_the_end() {
    let bytes: Vec<u8> = (0..12).collect();
    assert_eq!(bytes.as_slice().words::<1>(1).map(|[w]| w.to_ne_bytes()), Some([1, 2, 3, 4]));
    assert!(bytes.as_slice().words::<3>(0).is_some());
    for (offset, fits) in [(0, true), (4, true), (5, false), (12, false), (u32::MAX, false)] {
        assert_eq!(bytes.as_slice().words::<2>(offset).is_some(), fits, "{offset}");
    }
    assert!(!PacketRead::is_empty(bytes.as_slice()) && PacketRead::is_empty([].as_slice()));
}
