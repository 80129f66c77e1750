//! One of everything in flight: SNAT, DNAT, FIP and hairpin, as probes that count and transfers that compare.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::{
    Proto, Rules, Topology,
    lab::{EIP1, EIP2},
    maps::MapDump,
    probe::{IcmpProbe, MILLISECOND, UdpEcho, UdpProbe},
    snmp::Counters,
    tcp::{TcpServer, Transfer},
    topology::{CLIENT, POD2, SERVER, SERVER2},
};

/// The VPC subnet.
pub const VPC_CIDR: &str = "10.0.1.0/24";

/// `address`:`port`.
#[must_use]
pub const fn at(address: Ipv4Addr, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(address, port)
}

/// The rules that [`Traffic`] uses.
#[must_use]
pub fn rules() -> Rules {
    Rules::new()
        .eip("eip1", EIP1)
        .snat("eip1", VPC_CIDR)
        .dnat("eip1", Proto::Tcp, 80, CLIENT, 8080)
        .dnat("eip1", Proto::Udp, 53, CLIENT, 5353)
        .eip("eip2", EIP2)
        .fip("eip2", POD2)
}

/// Probes at 1 kHz and TCP transfers through every kind of rule.
pub struct Traffic {
    udp: Vec<(&'static str, UdpProbe)>,
    icmp: Vec<(&'static str, IcmpProbe)>,
    tcp: Vec<(&'static str, Transfer)>,
    resets: Vec<(String, i64)>,
    // Dropped last: the far ends.
    _servers: Vec<TcpServer>,
    _echoes: Vec<UdpEcho>,
}

const RESETS: [&str; 2] = ["Tcp.EstabResets", "Tcp.OutRsts"];

fn resets(net: &Topology) -> Vec<(String, i64)> {
    // By role: a gateway whose sandbox was rebuilt has a namespace of another name.
    let hosts = net.hosts().into_iter().zip(["client", "pod2", "far", "server", "server2"]).chain([(&net.gw, "gw")]);
    hosts
        .flat_map(|(host, role)| {
            let counters = Counters::read(host);
            RESETS.map(|name| (format!("{name} of {role}"), counters.get(name)))
        })
        .collect()
}

impl Traffic {
    /// Starts it and waits until all of it flows.
    ///
    /// # Panics
    /// When it does not flow.
    #[must_use]
    pub fn start(net: &Topology) -> Self {
        let servers = vec![
            TcpServer::start(&net.server, 7001),
            TcpServer::start(&net.client, 8080),
            TcpServer::start(&net.pod2, 8080),
        ];
        let echoes = vec![UdpEcho::start(&net.server, 7002), UdpEcho::start(&net.client, 5353)];
        let resets = resets(net);
        let udp = vec![
            ("SNAT by UDP", UdpProbe::start(&net.client, at(SERVER, 7002), MILLISECOND)),
            ("DNAT by UDP", UdpProbe::start(&net.server2, at(EIP1, 53), MILLISECOND)),
        ];
        let icmp = vec![
            ("SNAT by ping", IcmpProbe::start(&net.client, SERVER2, 11, MILLISECOND)),
            ("FIP by ping", IcmpProbe::start(&net.server, EIP2, 12, MILLISECOND)),
        ];
        let tcp = vec![
            ("SNAT by TCP", Transfer::start(&net.client, at(SERVER, 7001))),
            ("DNAT by TCP", Transfer::start(&net.server, at(EIP1, 80))),
            ("FIP by TCP", Transfer::start(&net.server2, at(EIP2, 8080))),
            ("hairpin by TCP", Transfer::start(&net.client, at(EIP2, 8080))),
        ];
        let traffic = Self { udp, icmp, tcp, resets, _servers: servers, _echoes: echoes };
        traffic.flow();
        traffic
    }

    /// Waits until a good deal more of all of it has arrived.
    ///
    /// # Panics
    /// When not.
    pub fn flow(&self) {
        for (_, probe) in &self.udp {
            probe.wait_answers(100);
        }
        for (_, probe) in &self.icmp {
            probe.wait_answers(100);
        }
        for (_, transfer) in &self.tcp {
            transfer.wait_bytes(500_000);
        }
    }

    fn assert_no_resets(&self, net: &Topology) {
        let now = resets(net);
        let more: Vec<_> = now.iter().filter(|counter| !self.resets.contains(counter)).collect();
        assert!(more.is_empty(), "connections were reset: {more:?}");
    }

    /// Ends it and asserts that nothing was lost, reordered, reset or changed.
    ///
    /// # Panics
    /// When not.
    pub fn assert_unharmed(self, net: &Topology) {
        self.flow();
        self.assert_no_resets(net);
        self.assert_no_loss();
    }

    /// Ends it after an interruption: packets were lost, but everything flows again and no connection was reset.
    ///
    /// # Panics
    /// When not.
    pub fn assert_survived(self, net: &Topology) {
        self.flow();
        self.assert_no_resets(net);
        for (what, transfer) in self.tcp {
            let report = transfer.stop();
            assert_eq!(report.failure, None, "{what} after {} bytes", report.bytes);
        }
    }

    /// Ends it and asserts that nothing was lost, reordered or changed.
    ///
    /// # Panics
    /// When not.
    pub fn assert_no_loss(self) {
        self.flow();
        for (what, probe) in self.udp {
            probe.stop().assert_lossless(what);
        }
        for (what, probe) in self.icmp {
            probe.stop().assert_lossless(what);
        }
        for (what, transfer) in self.tcp {
            let report = transfer.stop();
            assert_eq!(report.failure, None, "{what} after {} bytes", report.bytes);
        }
    }
}

/// Asserts that the rule maps are as they were.
///
/// # Panics
/// When not.
pub fn assert_unchanged(before: &MapDump, after: &MapDump) {
    assert_eq!(before.difference(after), Vec::<String>::new(), "the rule maps differ");
}
