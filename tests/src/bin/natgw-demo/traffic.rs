//! Probes and transfers through every kind of rule, while something happens to the gateway.

use std::net::SocketAddrV4;

use natgw_tests::{
    probe::{IcmpProbe, MILLISECOND, ProbeReport, UdpEcho, UdpProbe},
    resets::{self, Resets},
    tcp::{TcpServer, Transfer, TransferReport},
    topology::{SERVER, SERVER2, Topology},
};

use crate::{
    checks::{TCP_PORT, UDP_PORT, lossless},
    report::Report,
    stage::Stage,
};

const FIP: &str = "FIP, TCP";

/// What runs.
pub(crate) struct Traffic {
    udp: [UdpProbe; 2],
    ping: IcmpProbe,
    snat: Transfer,
    dnat: Transfer,
    fip: Transfer,
    resets: Resets,
    // The far ends, dropped last.
    _servers: [TcpServer; 3],
    _echoes: [UdpEcho; 2],
}

/// What became of it.
pub(crate) struct Seen {
    probes: [(&'static str, ProbeReport); 3],
    transfers: Vec<(&'static str, TransferReport)>,
    /// Connections reset.
    pub(crate) resets: u64,
}

impl Traffic {
    pub(crate) fn start(stage: &Stage) -> Result<Self, String> {
        let net = &stage.net;
        let tcp = stage.rules.tcp.ok_or("the manifests have no TCP port mapping")?;
        let udp = stage.rules.udp.ok_or("the manifests have no UDP port mapping")?;
        let (eip, pod) = stage.rules.fip.ok_or("the manifests have no floating IP")?;
        let servers = [
            TcpServer::start(&net.server, TCP_PORT),
            TcpServer::start(stage.pod(*tcp.inside.ip())?, tcp.inside.port()),
            TcpServer::start(stage.pod(pod)?, TCP_PORT),
        ];
        let echoes =
            [UdpEcho::start(&net.server2, UDP_PORT), UdpEcho::start(stage.pod(*udp.inside.ip())?, udp.inside.port())];
        Ok(Self {
            resets: Resets::now(net),
            udp: [
                UdpProbe::start(&net.client, SocketAddrV4::new(SERVER2, UDP_PORT), MILLISECOND),
                UdpProbe::start(&net.server2, udp.outside, MILLISECOND),
            ],
            ping: IcmpProbe::start(&net.server, eip, 200, MILLISECOND),
            snat: Transfer::start(&net.client, SocketAddrV4::new(SERVER, TCP_PORT)),
            dnat: Transfer::start(&net.server, tcp.outside),
            fip: Transfer::start(&net.server2, SocketAddrV4::new(eip, TCP_PORT)),
            _servers: servers,
            _echoes: echoes,
        })
    }

    /// The client's end of the connection through the source NAT.
    pub(crate) fn snat_client(&self) -> SocketAddrV4 {
        self.snat.local()
    }

    /// Waits until every probe is answered (again).
    pub(crate) fn wait_answers(&self) {
        for probe in &self.udp {
            probe.wait_answers(1);
        }
        self.ping.wait_answers(1);
    }

    /// Waits until every connection has moved another half a megabyte.
    pub(crate) fn wait_bytes(&self) {
        for transfer in [&self.snat, &self.dnat, &self.fip] {
            transfer.wait_bytes(500_000);
        }
    }

    pub(crate) fn stop(self, net: &Topology) -> Seen {
        let resets = resets::count(&self.resets.since(net));
        let transfers = vec![("SNAT, TCP", self.snat.stop()), ("DNAT, TCP", self.dnat.stop()), (FIP, self.fip.stop())];
        Seen { probes: stop(self.udp, self.ping), transfers, resets }
    }

    /// Stops it after all sessions were lost: only the connection through the floating IP has to go on.
    pub(crate) fn stop_without_sessions(self, net: &Topology) -> Seen {
        self.fip.wait_bytes(500_000);
        let resets = resets::count(&self.resets.since(net));
        let transfers = vec![(FIP, self.fip.stop())];
        self.snat.abandon();
        self.dnat.abandon();
        Seen { probes: stop(self.udp, self.ping), transfers, resets }
    }
}

fn stop([snat, dnat]: [UdpProbe; 2], ping: IcmpProbe) -> [(&'static str, ProbeReport); 3] {
    [("SNAT, 1 kHz UDP", snat.stop()), ("DNAT, 1 kHz UDP", dnat.stop()), ("FIP, 1 kHz ping", ping.stop())]
}

impl Seen {
    /// Packets that the probes sent, and those that never came back.
    pub(crate) fn packets(&self) -> (u64, u64) {
        self.probes.iter().fold((0, 0), |(sent, lost), (_, probe)| (sent + probe.sent, lost + probe.lost()))
    }

    /// One check for each probe: nothing was lost.
    pub(crate) fn report_lossless(&self, during: &str, report: &mut Report) {
        for (name, probe) in &self.probes {
            let gap = probe.max_gap.as_millis();
            let text = lossless(probe, "through it").map(|text| format!("{text}, longest gap {gap} ms"));
            report.add(&format!("{during}: {name}"), text);
        }
    }

    /// One check for each connection: every byte arrived, none was reset.
    pub(crate) fn report_transfers(self, during: &str, report: &mut Report) {
        for (name, done) in self.transfers {
            let text = format!("{} MiB, longest stall {} ms", done.bytes >> 20, done.longest_stall.as_millis());
            report.add(&format!("{during}: {name}"), done.failure.map_or(Ok(text), Err));
        }
    }
}
