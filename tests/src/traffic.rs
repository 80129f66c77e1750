//! One of everything in flight: SNAT, DNAT, FIP and hairpin, as probes that count and transfers that compare.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use crate::{
    Proto, Rules, Topology, clock,
    lab::{EIP1, EIP2},
    maps::MapDump,
    probe::{IcmpProbe, MILLISECOND, ProbeReport, UdpEcho, UdpProbe},
    resets::{self, Resets},
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

/// The connection that is translated without a session.
const STATELESS: &str = "FIP by TCP";
/// How long to wait for a retransmission after a short interruption.
const PATIENCE: Duration = Duration::from_secs(15);

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
    resets: Resets,
    // Dropped last: the far ends.
    _servers: Vec<TcpServer>,
    _echoes: Vec<UdpEcho>,
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
        let resets = Resets::now(net);
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
            (STATELESS, Transfer::start(&net.server2, at(EIP2, 8080))),
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
        self.flow_probes(100);
        for (_, transfer) in &self.tcp {
            transfer.wait_bytes(500_000);
        }
    }

    /// Waits until every probe is answered (again).
    ///
    /// # Panics
    /// When one is not.
    pub fn wait_back(&self) {
        self.flow_probes(1);
    }

    fn flow_probes(&self, answers: u64) {
        for (_, probe) in &self.udp {
            probe.wait_answers(answers);
        }
        for (_, probe) in &self.icmp {
            probe.wait_answers(answers);
        }
    }

    /// Ends it and counts. All of it has to flow at the end.
    ///
    /// # Panics
    /// When it does not flow.
    #[must_use]
    pub fn end(self, net: &Topology) -> Seen {
        self.flow();
        let mut seen = Seen { resets: self.resets.since(net), ..Seen::default() };
        seen.probes(self.udp, self.icmp);
        for (what, transfer) in self.tcp {
            let report = transfer.stop();
            seen.broken.extend(report.failure.map(|why| format!("{what} after {} bytes: {why}", report.bytes)));
        }
        seen
    }

    /// Ends it after all sessions were lost. The probes flow again, and so does the connection that needs no session. Of
    /// the others each goes on if its client spoke first, and was reset if its server did: how many went on comes with
    /// what was seen.
    ///
    /// # Panics
    /// When what needs no session does not flow.
    #[must_use]
    pub fn end_without_sessions(self, net: &Topology) -> (Seen, usize) {
        self.flow_probes(100);
        let before: Vec<u64> = self.tcp.iter().map(|(_, transfer)| transfer.bytes()).collect();
        for (_, transfer) in self.tcp.iter().filter(|(what, _)| *what == STATELESS) {
            transfer.wait_bytes(500_000);
        }
        let went_on = || self.tcp.iter().zip(&before).filter(|((_, transfer), before)| transfer.bytes() > **before);
        let decided = || went_on().count() + self.tcp.iter().filter(|(_, transfer)| transfer.has_ended()).count();
        // Nobody may be left in silence: whoever is refused has to hear of it.
        clock::eventually("each connection goes on or was reset", PATIENCE, || decided() >= before.len());
        let went_on = went_on().count();
        let mut seen = Seen { resets: self.resets.since(net), ..Seen::default() };
        seen.probes(self.udp, self.icmp);
        for (_, transfer) in self.tcp {
            transfer.abandon();
        }
        (seen, went_on)
    }

    /// Ends it and asserts that nothing was lost, reordered, reset or changed.
    ///
    /// # Panics
    /// When not.
    pub fn assert_unharmed(self, net: &Topology) {
        self.end(net).assert_unharmed();
    }

    /// Ends it after an interruption: packets were lost, but everything flows again and no connection was reset.
    ///
    /// # Panics
    /// When not.
    pub fn assert_survived(self, net: &Topology) {
        self.end(net).assert_survived();
    }

    /// Ends it and asserts that nothing was lost, reordered or changed.
    ///
    /// # Panics
    /// When not.
    pub fn assert_no_loss(self, net: &Topology) {
        let seen = Seen { resets: Vec::new(), ..self.end(net) };
        seen.assert_unharmed();
    }
}

/// What became of [`Traffic`].
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Probes sent.
    pub sent: u64,
    /// Those that never came back.
    pub lost: u64,
    /// Probes of which one was lost, came twice, late or changed.
    pub disturbed: Vec<String>,
    /// Counters of resets that have grown, and by how much.
    pub resets: Vec<(String, u64)>,
    /// Transfers that did not end as they should.
    pub broken: Vec<String>,
}

impl Seen {
    /// Ends the probes and counts them.
    fn probes(&mut self, udp: Vec<(&'static str, UdpProbe)>, icmp: Vec<(&'static str, IcmpProbe)>) {
        for (what, probe) in udp {
            self.probe(what, &probe.stop());
        }
        for (what, probe) in icmp {
            self.probe(what, &probe.stop());
        }
    }

    fn probe(&mut self, what: &str, report: &ProbeReport) {
        self.sent += report.sent;
        self.lost += report.lost();
        if let Err(why) = report.lossless() {
            self.disturbed.push(format!("{what}: {why}"));
        }
    }

    /// Connections reset. One reset is seen by several counters.
    #[must_use]
    pub fn resets(&self) -> u64 {
        resets::count(&self.resets)
    }

    /// Asserts that nothing was lost, reordered, reset or changed.
    ///
    /// # Panics
    /// When something was.
    pub fn assert_unharmed(&self) {
        assert!(self.disturbed.is_empty(), "{:?}", self.disturbed);
        self.assert_survived();
    }

    /// Asserts that no connection was reset and no byte changed.
    ///
    /// # Panics
    /// When one was.
    pub fn assert_survived(&self) {
        assert!(self.resets.is_empty(), "connections were reset: {:?}", self.resets);
        assert!(self.broken.is_empty(), "{:?}", self.broken);
    }
}

/// Asserts that the rule maps are as they were.
///
/// # Panics
/// When not.
pub fn assert_unchanged(before: &MapDump, after: &MapDump) {
    assert_eq!(before.difference(after), Vec::<String>::new(), "the rule maps differ");
}
