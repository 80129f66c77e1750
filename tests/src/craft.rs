//! Packets that no well-behaved host would send, written with etherparse and sent raw.

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::AsRawFd,
};

use etherparse::{Icmpv4Type, PacketBuilder};
use nix::sys::socket::bind;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::{Netns, packet};

/// An ICMP error from `source` to `destination` about the packet that begins with `inner`.
///
/// # Panics
/// Never: a `Vec` takes what is written.
#[must_use]
pub fn icmp_error(source: Ipv4Addr, destination: Ipv4Addr, kind: Icmpv4Type, inner: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ipv4(source.octets(), destination.octets(), 64)
        .icmpv4(kind)
        .write(&mut bytes, inner)
        .expect("a Vec takes it");
    bytes
}

/// A UDP datagram.
///
/// # Panics
/// Never: a `Vec` takes what is written.
#[must_use]
pub fn udp(source: SocketAddrV4, destination: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ipv4(source.ip().octets(), destination.ip().octets(), 64)
        .udp(source.port(), destination.port())
        .write(&mut bytes, payload)
        .expect("a Vec takes it");
    bytes
}

/// The same datagram with its checksum left out, as RFC 768 allows.
#[must_use]
pub fn udp_without_checksum(source: SocketAddrV4, destination: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let mut bytes = udp(source, destination, payload);
    bytes[26..28].fill(0);
    bytes
}

/// A TCP segment with these flags and no payload.
///
/// # Panics
/// Never: a `Vec` takes what is written.
#[must_use]
pub fn tcp(source: SocketAddrV4, destination: SocketAddrV4, flags: &str, sequence: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut builder = PacketBuilder::ipv4(source.ip().octets(), destination.ip().octets(), 64).tcp(
        source.port(),
        destination.port(),
        sequence,
        1024,
    );
    for flag in flags.chars() {
        builder = match flag {
            'S' => builder.syn(),
            'F' => builder.fin(),
            'R' => builder.rst(),
            'A' => builder.ack(1),
            other => panic!("no TCP flag {other:?}"),
        };
    }
    builder.write(&mut bytes, &[]).expect("a Vec takes it");
    bytes
}

/// Changes the time to live of a crafted packet and keeps its header checksum right.
#[must_use]
pub fn with_ttl(mut bytes: Vec<u8>, ttl: u8) -> Vec<u8> {
    bytes[8] = ttl;
    bytes[10..12].fill(0);
    let checksum = packet::checksum(&[&bytes[..20]]);
    bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// Sends a whole IPv4 packet from `ns`. The kernel fills nothing in that is not zero.
///
/// # Panics
/// When it cannot be sent.
pub fn send(ns: &Netns, packet: &[u8]) {
    send_all(ns, &[packet]);
}

/// Sends whole IPv4 packets from `ns`, one after the other.
///
/// # Panics
/// When one cannot be sent.
pub fn send_all<P: AsRef<[u8]> + Sync>(ns: &Netns, packets: &[P]) {
    ns.run(|| {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))
            .expect("root may open raw sockets");
        for packet in packets.iter().map(AsRef::as_ref) {
            let destination = Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]);
            socket
                .send_to(packet, &SockAddr::from(SocketAddrV4::new(destination, 0)))
                .unwrap_or_else(|error| panic!("cannot send to {destination}: {error}"));
        }
    });
}

/// Sends an IPv4 packet from the `eth0` of `ns` to a MAC address, in a frame with an 802.1Q tag of VLAN `vid`.
///
/// # Panics
/// When it cannot be sent.
pub fn send_tagged(ns: &Netns, to: &[u8; 6], vid: u8, packet: &[u8]) {
    let link = ns.link_address("eth0");
    let mut frame = Vec::from(*to);
    frame.extend_from_slice(&ns.mac("eth0"));
    frame.extend_from_slice(&[0x81, 0x00, 0x00, vid, 0x08, 0x00]);
    frame.extend_from_slice(packet);
    ns.run(|| {
        let socket = Socket::new(Domain::PACKET, Type::RAW, None).expect("root may open packet sockets");
        bind(socket.as_raw_fd(), &link).expect("a packet socket binds to its interface");
        (&socket).write_all(&frame).unwrap_or_else(|error| panic!("cannot send a frame: {error}"));
    });
}
