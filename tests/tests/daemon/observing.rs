//! Health, readiness and metrics of a real daemon, and `natgw probe`.

use std::{collections::BTreeMap, fs, net::TcpListener, process::Output};

use natgw_tests::{
    Gateway, Rules, Topology, command,
    gateway::natgw_binary,
    observed::{ANY_PORT, address, get, scrape},
    topology::Interfaces,
};

use crate::support::{CLIENT, EIP1, EIP2, NEVER, eventually, gateway, rules, stderr};

/// A gateway whose daemons choose a free port.
fn observed(topology: &Topology, resync: &str, more: &[&str]) -> Gateway {
    gateway(topology, resync, "").with_args(&ANY_PORT).with_args(more)
}

/// What grew between two scrapes, of the series that begin with one of `names`.
fn growth(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>, names: &[&str]) -> BTreeMap<String, u64> {
    let wanted = after.iter().filter(|(series, _)| names.iter().any(|name| series.starts_with(name)));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]
    let grown = wanted.map(|(series, value)| (series.clone(), (value - before[series]) as u64));
    grown.filter(|(_, grown)| *grown > 0).collect()
}

fn expect<const N: usize>(grown: [(&str, u64); N]) -> BTreeMap<String, u64> {
    grown.into_iter().map(|(series, grown)| (series.to_owned(), grown)).collect()
}

fn probe(what: &str, listen: &str) -> Output {
    command::output(&natgw_binary().display().to_string(), &["probe", what, "--listen", listen])
}

#[test]
fn a_missing_interface_makes_it_unready_until_it_appears() {
    let topology = Topology::builder().interfaces(Interfaces::ExternalLate).build();
    let gateway = observed(&topology, NEVER, &[]);
    gateway.write(&rules());
    let daemon = gateway.spawn();
    let address = address(&daemon);
    let missing = "not ready\nInterfaceMissing: interface `net1` does not exist; waiting for it\n";
    eventually("the first pass", || (get(address, "/readyz") == (503, missing.to_owned())).then_some(()));
    assert_eq!(get(address, "/healthz"), (200, "live\n".to_owned()));
    let (status, json) = get(address, "/readyz?format=json");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((status, json["ready"].as_bool()), (503, Some(false)), "{json}");
    assert_eq!(json["reasons"][0]["reason"], "InterfaceMissing", "{json}");
    let seen = scrape(address);
    assert!(seen["natgw_interface_present{side=\"external\"}"] < 0.5 && seen["natgw_ready"] < 0.5, "{seen:?}");
    assert!(seen["natgw_objects_programmed{kind=\"eip\"}"] < 0.5, "no address, no EIP: {seen:?}");
    topology.plug_external();
    eventually("readiness", || (get(address, "/readyz") == (200, "ready\n".to_owned())).then_some(()));
    let seen = scrape(address);
    let [desired, programmed] = ["desired", "programmed"].map(|what| {
        let count = |kind: &str| seen[&format!("natgw_objects_{what}{{kind=\"{kind}\"}}")].to_string();
        ["eip", "fip", "dnat", "snat", "route"].map(count)
    });
    assert_eq!((desired.join(" ").as_str(), &programmed), ("2 0 1 1 0", &desired));
    topology.unplug_external();
    eventually("unreadiness", || (get(address, "/readyz").0 == 503).then_some(()));
}

#[test]
fn packets_and_drops_are_counted_exactly_as_they_were_sent() {
    let topology = Topology::new();
    let gateway = observed(&topology, NEVER, &["--unmatched", "drop"]);
    gateway.write(&Rules::new().eip("e1", EIP1).fip("e1", CLIENT));
    let daemon = gateway.start();
    let address = address(&daemon);
    let names = ["natgw_packets_total", "natgw_traffic_bytes_total", "natgw_dropped"];
    let before = scrape(address);
    topology.server.command("ping", &["-c", "5", "-i", "0.01", "-W", "2", "-s", "56", EIP1]);
    let after = scrape(address);
    let expected = expect([
        ("natgw_packets_total{path=\"fip_in\"}", 5),
        ("natgw_packets_total{path=\"fip_out\"}", 5),
        ("natgw_traffic_bytes_total{path=\"fip_in\"}", 5 * 84),
        ("natgw_traffic_bytes_total{path=\"fip_out\"}", 5 * 84),
    ]);
    assert_eq!(growth(&before, &after, &names), expected);
    // No rule matches the other pod.
    let ping = ["-c", "3", "-i", "0.01", "-W", "1", "-s", "56", "203.0.113.100"];
    let output = topology.pod2.run(|| command::output("ping", &ping));
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let expected = expect([
        ("natgw_dropped_packets_total{reason=\"unmatched\"}", 3),
        ("natgw_dropped_bytes_total{reason=\"unmatched\"}", 3 * 84),
    ]);
    assert_eq!(growth(&after, &scrape(address), &names), expected);
}

#[test]
fn the_probe_tells_by_its_exit_code() {
    let topology = Topology::builder().interfaces(Interfaces::ExternalLate).build();
    let gateway = observed(&topology, NEVER, &[]);
    gateway.write(&rules());
    let mut daemon = gateway.spawn();
    let listen = address(&daemon).to_string();
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let missing = || Some(probe("ready", &listen)).filter(|output| said(output).contains("InterfaceMissing"));
    assert_eq!(eventually("the first pass", missing).status.code(), Some(1));
    let live = probe("live", &listen);
    assert_eq!((live.status.code(), said(&live)), (Some(0), "live\n".to_owned()));
    topology.plug_external();
    daemon.wait_ready();
    eventually("readiness", || (probe("ready", &listen).status.code() == Some(0)).then_some(()));
    assert!(daemon.term().success());
    let gone = probe("live", &listen);
    assert_eq!(gone.status.code(), Some(1), "{}", stderr(&gone));
    assert!(stderr(&gone).contains(&listen) && stderr(&gone).contains("is it running"), "{}", stderr(&gone));
    let off = probe("live", "off");
    assert_eq!(off.status.code(), Some(2), "{}", stderr(&off));
}

#[test]
fn a_source_that_vanishes_is_said_and_changes_neither_liveness_nor_readiness() {
    let topology = Topology::new();
    let gateway = observed(&topology, NEVER, &[]);
    gateway.write(&rules());
    let mut daemon = gateway.start();
    let first = address(&daemon);
    assert_eq!(get(first, "/readyz"), (200, "ready\n".to_owned()));
    let aside = gateway.dir().join("aside");
    fs::rename(gateway.manifests(), &aside).expect("renamed");
    let stale = |address| {
        let (status, body) = get(address, "/readyz");
        body.contains("\nstale: ").then_some((status, body))
    };
    let (status, body) = eventually("the stale source", || stale(first));
    assert_eq!(status, 200, "{body}");
    assert_eq!(get(first, "/healthz"), (200, "live\n".to_owned()));
    assert!(scrape(first)["natgw_source_staleness_seconds"] > 0.0);
    // The next one adopts and cannot read either.
    assert!(daemon.term().success());
    drop(daemon);
    let next = gateway.spawn();
    let second = address(&next);
    let (status, body) = eventually("the stale source again", || stale(second));
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("what was pinned (2 EIPs) forwards"), "{body}");
    let seen = scrape(second);
    assert!(seen["natgw_start_info{gateway=\"gw1\",adopted=\"true\"}"] > 0.5, "{seen:?}");
    assert!(seen["natgw_source_synced"] < 0.5 && seen["natgw_map_writes_total"] < 0.5, "{seen:?}");
    fs::rename(&aside, gateway.manifests()).expect("renamed");
    eventually("the source", || (get(second, "/readyz") == (200, "ready\n".to_owned())).then_some(()));
    assert!(scrape(second)["natgw_source_staleness_seconds"] < f64::EPSILON);
}

#[test]
fn a_new_gateway_is_not_ready_before_its_source_was_read() {
    let topology = Topology::new();
    let gateway = observed(&topology, NEVER, &[]);
    let daemon = gateway.spawn();
    let address = address(&daemon);
    let body = eventually("the first pass", || {
        let (status, body) = get(address, "/readyz");
        (status == 503 && body.contains("SourceNeverSynced: ")).then_some(body)
    });
    assert_eq!(body.lines().count(), 2, "{body}");
    gateway.write(&rules());
    eventually("the source", || (get(address, "/readyz") == (200, "ready\n".to_owned())).then_some(()));
}

#[test]
fn repairs_are_counted_by_what_had_drifted() {
    let topology = Topology::new();
    let gateway = observed(&topology, "200ms", &[]);
    gateway.write(&rules());
    let daemon = gateway.start();
    let address = address(&daemon);
    let before = scrape(address);
    let map = gateway.pins().join("maps/EIPS").display().to_string();
    command::run("bpftool", &["map", "delete", "pinned", &map, "key", "203", "0", "113", "11"]);
    topology.gw.ip(&["addr del 203.0.113.10/24 dev net1".into()]);
    topology.gw.sysctl("net/ipv4/conf/net1/rp_filter", "1");
    fs::remove_file(gateway.pins().join("links/ext_in")).expect("a pin can be removed");
    let expected = expect([
        ("natgw_drift_repairs_total{what=\"address\"}", 1),
        ("natgw_drift_repairs_total{what=\"map_entry\"}", 1),
        ("natgw_drift_repairs_total{what=\"program\"}", 1),
        ("natgw_drift_repairs_total{what=\"sysctl\"}", 1),
    ]);
    eventually("four repairs", || {
        (growth(&before, &scrape(address), &["natgw_drift_repairs_total"]) == expected).then_some(())
    });
    let grown = growth(&before, &scrape(address), &["natgw_map_writes_total", "natgw_reconcile_duration"]);
    assert_eq!(grown["natgw_map_writes_total"], 1, "{grown:?}");
    assert!(grown["natgw_reconcile_duration_seconds_count{cause=\"drift\"}"] >= 1, "{grown:?}");
    assert!(scrape(address)["natgw_problems"] < 0.5);
}

#[test]
fn a_sweep_tells_how_many_sessions_there_are() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "sweep = \"100ms\"").with_args(&ANY_PORT);
    gateway.write(&rules());
    let daemon = gateway.start();
    let address = address(&daemon);
    topology.client.command("ping", &["-c", "1", "-W", "2", "203.0.113.100"]);
    eventually("the session", || ((scrape(address)["natgw_sessions"] - 1.0).abs() < 0.5).then_some(()));
    assert!((scrape(address)["natgw_sessions_max"] - 4096.0).abs() < 0.5);
}

#[test]
fn an_address_that_somebody_else_has_is_an_error_that_names_it_and_the_data_plane_stays() {
    let topology = Topology::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listen = taken.local_addr().expect("an address").to_string();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    drop(gateway.start());
    let mut second = gateway.spawn_binary(&natgw_binary(), &["--listen", &listen]);
    let status = second.wait();
    let log = second.logs().closed();
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(log.contains(&format!("cannot listen on {listen}")) && log.contains("--listen off"), "{log}");
    topology.client.command("ping", &["-c", "1", "-W", "2", "203.0.113.100"]);
}

#[test]
fn the_address_goes_from_one_daemon_to_the_next() {
    let topology = Topology::new();
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let listen = free.to_string();
    let gateway = gateway(&topology, NEVER, "").with_args(&["--listen", &listen]);
    gateway.write(&Rules::new().eip("e1", EIP1).eip("e2", EIP2));
    let mut first = gateway.start();
    let mut second = gateway.spawn();
    second.wait_line(0, "who holds the lock", |line| line.message().contains("waiting for it to end"));
    assert_eq!(get(free, "/healthz").0, 200, "the first one answers");
    assert!(first.term().success());
    second.wait_ready();
    eventually("the second one's readiness", || (get(free, "/readyz").0 == 200).then_some(()));
    assert!(scrape(free)["natgw_start_info{gateway=\"gw1\",adopted=\"true\"}"] > 0.5);
}
