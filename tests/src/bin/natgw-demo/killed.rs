//! The daemon is killed in the middle of its traffic and started again.

use std::{net::SocketAddrV4, time::Duration};

use natgw_tests::{
    clock, command,
    maps::MapDump,
    probe::{IcmpProbe, MILLISECOND, UdpEcho, UdpProbe},
    snmp::Counters,
    tcp::{TcpServer, Transfer},
    topology::{SERVER, SERVER2, Topology},
};
use serde_json::Value;

use crate::{
    checks::{TCP_PORT, UDP_PORT, lossless},
    progress,
    report::{Report, Restart},
    stage::Stage,
};

/// How long traffic runs before the kill, without a daemon, and after the restart.
const PHASE: Duration = Duration::from_secs(1);
/// What the recovery table allows for a restart.
const READY: Duration = Duration::from_secs(1);

/// Kills, restarts, and counts.
pub(crate) fn run(stage: &mut Stage, report: &mut Report) {
    progress("traffic: TCP transfers and 1 kHz probes through SNAT, DNAT and FIP");
    let traffic = match Traffic::start(stage) {
        Ok(traffic) => traffic,
        Err(error) => return report.add("traffic", Err(error)),
    };
    let before = MapDump::rules(&stage.gateway);
    clock::pass(PHASE);
    progress("one session of the table, by bpftool:");
    report.session = session(stage, traffic.snat.local());
    report.add(
        "session shown by bpftool",
        report
            .session
            .clone()
            .ok_or_else(|| "not found".to_owned())
            .map(|_| "bpftool map dump pinned .../maps/SESSIONS".to_owned()),
    );
    if let Some(text) = &report.session {
        progress(text);
    }
    progress(&format!("SIGKILL for natgw (pid {})", stage.daemon.pid()));
    stage.daemon.kill9();
    clock::pass(PHASE);
    progress("starting natgw again");
    stage.daemon = stage.gateway.spawn();
    let ready = stage.daemon.wait_ready();
    clock::pass(PHASE);
    let after = MapDump::rules(&stage.gateway);
    let restart = traffic.stop(&stage.net, report);
    let writes = ready.number("map_writes");
    let took = stage.daemon.ready_after();
    report.add("packets lost 0", verdict(restart.lost == 0, format!("{} of {} lost", restart.lost, restart.sent)));
    report.add("connections reset 0", verdict(restart.resets == 0, format!("{} resets", restart.resets)));
    report.add(
        "map writes at restart 0",
        verdict(writes == Some(0), writes.map_or_else(|| "not said".to_owned(), |writes| format!("{writes} writes"))),
    );
    let difference = before.difference(&after);
    report.add("maps unchanged", verdict(difference.is_empty(), format!("{} entries differ", difference.len())));
    report.add("ready within a second", verdict(took < READY, format!("{} ms", took.as_millis())));
    report.restart = Some(Restart { map_writes: writes, ready_ms: took.as_millis(), ..restart });
}

fn verdict(holds: bool, detail: String) -> Result<String, String> {
    if holds { Ok(detail) } else { Err(detail) }
}

struct Traffic {
    udp: [UdpProbe; 2],
    ping: IcmpProbe,
    snat: Transfer,
    dnat: Transfer,
    fip: Transfer,
    resets: i64,
    // The far ends, dropped last.
    _servers: [TcpServer; 3],
    _echoes: [UdpEcho; 2],
}

impl Traffic {
    fn start(stage: &Stage) -> Result<Self, String> {
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
            resets: resets(net),
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

    fn stop(self, net: &Topology, report: &mut Report) -> Restart {
        let mut restart = Restart::default();
        let resets = resets(net) - self.resets;
        restart.resets = u64::try_from(resets).unwrap_or_default();
        let [snat, dnat] = self.udp;
        for (name, probe) in [
            ("killed: SNAT, 1 kHz UDP", snat.stop()),
            ("killed: DNAT, 1 kHz UDP", dnat.stop()),
            ("killed: FIP, 1 kHz ping", self.ping.stop()),
        ] {
            restart.sent += probe.sent;
            restart.lost += probe.lost();
            let gap = probe.max_gap.as_millis();
            report.add(name, lossless(&probe, "through the kill").map(|text| format!("{text}, longest gap {gap} ms")));
        }
        for (name, transfer) in
            [("killed: SNAT, TCP", self.snat), ("killed: DNAT, TCP", self.dnat), ("killed: FIP, TCP", self.fip)]
        {
            let done = transfer.stop();
            let text = format!("{} MiB, longest stall {} ms", done.bytes >> 20, done.longest_stall.as_millis());
            report.add(name, done.failure.map_or(Ok(text), Err));
        }
        restart
    }
}

/// Connections that any host of the network has seen reset.
fn resets(net: &Topology) -> i64 {
    let hosts = net.hosts().into_iter().chain([&net.gw]);
    hosts.map(Counters::read).map(|counters| counters.get("Tcp.EstabResets") + counters.get("Tcp.OutRsts")).sum()
}

/// The session of the connection from `local`, as bpftool prints it.
fn session(stage: &Stage, local: SocketAddrV4) -> Option<String> {
    let pin = stage.gateway.pins().join("maps/SESSIONS").display().to_string();
    let dump = command::run("bpftool", &["-j", "map", "dump", "pinned", &pin]);
    let entries: Value = serde_json::from_str(&dump).ok()?;
    let is = |value: &Value, bytes: &[u8]| {
        value
            .as_array()
            .is_some_and(|list| list.iter().map(Value::as_u64).eq(bytes.iter().map(|b| Some(u64::from(*b)))))
    };
    let found = entries.as_array()?.iter().map(|entry| entry.get("formatted").unwrap_or(entry)).find(|entry| {
        is(&entry["value"]["int_addr"], &local.ip().octets())
            && is(&entry["value"]["int_port"], &local.port().to_be_bytes())
            && entry["key"]["proto"] == 6
    })?;
    Some(format!("  key   {}\n  value {}", found["key"], found["value"]))
}
