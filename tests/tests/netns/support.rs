//! Short forms that several themes share.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    time::Duration,
};

use natgw_common::abi::Counter;
use natgw_tests::{
    Lab, Netns, Tally,
    capture::{Capture, Captured, Way, passed},
    clock, oracle,
    packet::Packet,
    payload,
    probe::{IcmpProbe, MILLISECOND, UdpEcho, UdpProbe},
    snmp,
    topology::Topology,
};

/// The VPC subnet.
pub(crate) const VPC_CIDR: &str = "10.0.1.0/24";

/// `address`:`port`.
pub(crate) const fn at(address: Ipv4Addr, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(address, port)
}

/// The addresses of `peers`, each once.
pub(crate) fn addresses<'a>(peers: impl IntoIterator<Item = &'a SocketAddrV4>) -> BTreeSet<Ipv4Addr> {
    peers.into_iter().map(|peer| *peer.ip()).collect()
}

/// The IPv4 addresses of UDP peers, each once.
pub(crate) fn udp_addresses(echo: &UdpEcho) -> BTreeSet<Ipv4Addr> {
    echo.take_peers()
        .into_iter()
        .map(|peer| match peer {
            SocketAddr::V4(peer) => *peer.ip(),
            SocketAddr::V6(peer) => panic!("an IPv6 peer {peer} in an IPv4 test"),
        })
        .collect()
}

/// Datagrams of many sizes come back from `target` exactly as sent.
pub(crate) fn assert_udp_echoes(ns: &Netns, target: SocketAddrV4) {
    let socket = udp_socket(ns, 0);
    socket.connect(target).expect("there is a route");
    for len in [0, 1, 2, 3, 17, 512, 1001, 1472] {
        assert_eq!(exchange(&socket, len), Ok(()), "{len} bytes from {} to {target}", ns.name());
    }
}

/// One datagram of `len` bytes there and back over a connected socket.
pub(crate) fn exchange(socket: &UdpSocket, len: usize) -> Result<(), String> {
    let message = payload::at(len as u64, len);
    let mut buffer = vec![0; 65_536];
    socket.send(message).map_err(|error| format!("send: {error}"))?;
    let got = socket.recv(&mut buffer).map_err(|error| format!("receive: {error}"))?;
    if buffer[..got] == *message { Ok(()) } else { Err(format!("{got} wrong bytes")) }
}

/// A UDP socket in `ns` that waits at most two seconds (see `clock::patience`).
pub(crate) fn udp_socket(ns: &Netns, port: u16) -> UdpSocket {
    let socket = ns.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))).expect("the port is free");
    socket.set_read_timeout(Some(clock::patience(Duration::from_secs(2)))).expect("a UDP socket has a timeout");
    socket
}

/// `count` datagrams at 1 kHz, none lost.
pub(crate) fn assert_udp_flows(ns: &Netns, target: SocketAddrV4, count: u64) {
    let probe = UdpProbe::start(ns, target, MILLISECOND);
    probe.wait_answers(count);
    probe.stop().assert_lossless(&format!("UDP from {} to {target}", ns.name()));
}

/// 200 pings at 1 kHz, none lost or reordered. Slower on a slow machine: there a thread may send the next from another
/// processor before the first one got to its packet.
pub(crate) fn assert_pings(ns: &Netns, target: Ipv4Addr, id: u16) {
    let probe = IcmpProbe::start(ns, target, id, clock::patience(MILLISECOND));
    probe.wait_answers(200);
    probe.stop().assert_lossless(&format!("ping from {} to {target}", ns.name()));
}

/// No kernel of the network has refused a checksum or touched a fragment.
pub(crate) fn assert_all_clean(net: &Topology) {
    for host in net.hosts().into_iter().chain([&net.gw, &net.router, &net.vpc]) {
        snmp::assert_clean(host, "a host");
    }
}

/// What `host` received on its `eth0`.
pub(crate) fn received(captured: &[Captured]) -> Vec<Packet> {
    passed(captured, "eth0", Way::In)
}

/// Waits until `condition` holds, for state that the kernel does not announce.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    clock::eventually(what, Duration::from_secs(5), condition);
}

/// A capture in the gateway's namespace, to be compared with natgw's own counters.
pub(crate) struct Counted<'a> {
    lab: &'a Lab,
    before: Tally,
    capture: Capture,
}

impl<'a> Counted<'a> {
    pub(crate) fn start(lab: &'a Lab) -> Self {
        let before = lab.tally();
        Self { lab, before, capture: Capture::start(&lab.net.gw) }
    }

    /// Waits until nothing flows any more, and asserts that natgw has counted each packet that came in by an interface
    /// as the kind that `kind` says, and nothing else. Both see a packet before anything splits it: a GSO packet is one.
    pub(crate) fn assert(self, kind: impl Fn(&str, &Packet) -> Counter) -> Vec<Captured> {
        self.wait_silence();
        let captured = self.capture.stop();
        let mut seen = BTreeMap::new();
        for interface in ["eth0", "net1"] {
            for packet in passed(&captured, interface, Way::In) {
                *seen.entry(kind(interface, &packet)).or_insert(0) += 1;
            }
        }
        if !oracle::selected() {
            assert_eq!(self.lab.tally().since(&self.before), seen, "what natgw has counted, and what came in");
        }
        captured
    }

    fn wait_silence(&self) {
        // Longer than a delayed acknowledgement: the last of a closed connection.
        const SILENCE: Duration = Duration::from_millis(250);
        eventually("the traffic ends", || {
            let then = self.lab.tally();
            clock::pass(SILENCE);
            self.lab.tally() == then
        });
    }
}
