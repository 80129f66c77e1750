//! Following the manifests: quickly, as a difference, and without losing anything to a mistake.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::symlink,
    time::Instant,
};

use natgw_tests::{Gateway, Rules, Topology, command};

use crate::support::{
    CLIENT, EIP1, EIP2, NEVER, addresses, eventually, gateway, median, natgw_json, programmed_eips, rules, set,
};

#[test]
fn a_change_is_in_the_maps_within_100_ms_and_only_the_difference_is_written() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let daemon = gateway.start();
    let mut took = Vec::new();
    for round in 0..5 {
        let mark = daemon.logs().mark();
        let written = Instant::now();
        gateway.write(&rules().eip("e3", format!("203.0.113.{}", 20 + round)));
        let line = daemon.wait_message(mark, "reconciled");
        took.push(line.at - written);
        // One EIP comes; the one of the round before goes.
        assert_eq!(line.number("writes"), Some(if round == 0 { 1 } else { 2 }), "{}", line.text);
        assert_eq!(line.number("eips"), Some(3), "{}", line.text);
    }
    assert!(median(took.clone()).as_millis() < 100, "from the write to `reconciled`: {took:?}");
    assert_eq!(programmed_eips(&gateway), set([EIP1, EIP2, "203.0.113.24"]));
}

#[test]
fn broken_yaml_is_said_with_its_place_and_changes_nothing() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let daemon = gateway.start();
    let before = addresses(&topology.gw, "net1");
    let mark = daemon.logs().mark();
    fs::write(gateway.manifests().join("rules.yaml"), "apiVersion: v1\nkind: [\n").expect("written");
    let error = daemon.wait_line(mark, "the syntax error", |line| line.text.contains("ManifestSyntax"));
    assert!(error.message().contains("rules.yaml:"), "file and line are missing: {}", error.text);
    let after = daemon.wait_message(mark, "reconciled");
    assert_eq!(after.number("writes"), Some(0), "{}", after.text);
    assert_eq!(programmed_eips(&gateway), set([EIP1, EIP2]));
    assert_eq!(addresses(&topology.gw, "net1"), before);
    gateway.write(&rules());
    daemon.wait_line(mark, "that it is resolved", |line| {
        line.message().starts_with("resolved:") && line.text.contains("ManifestSyntax")
    });
}

#[test]
fn a_mistake_is_said_once_however_often_it_is_looked_at() {
    let topology = Topology::new();
    let gateway = gateway(&topology, "100ms", "");
    gateway.write(&rules().dnat("no-such-eip", natgw_tests::Proto::Tcp, 81, "10.0.1.2", 81));
    let daemon = gateway.start();
    for round in 0..3 {
        let mark = daemon.logs().mark();
        gateway.write(
            &rules()
                .dnat("no-such-eip", natgw_tests::Proto::Tcp, 81, "10.0.1.2", 81)
                .eip("e3", format!("203.0.113.{}", 30 + round)),
        );
        daemon.wait_message(mark, "reconciled");
    }
    let lines = daemon.logs().lines();
    let said = lines.iter().filter(|line| line.text.contains("EipMissing") && !line.message().starts_with("resolved"));
    assert_eq!(said.count(), 1, "{}", daemon.logs().text());
    assert_eq!(programmed_eips(&gateway).len(), 3, "the others are programmed");
    let mark = daemon.logs().mark();
    gateway.write(&rules());
    daemon.wait_line(mark, "that it is resolved", |line| line.message().starts_with("resolved:"));
}

#[test]
fn removing_everything_removes_everything() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let daemon = gateway.start();
    let mark = daemon.logs().mark();
    gateway.write(&Rules::new());
    let line = daemon.wait_message(mark, "reconciled");
    assert_eq!(line.number("errors"), Some(0), "{}", line.text);
    assert!(programmed_eips(&gateway).is_empty());
    assert_eq!(addresses(&topology.gw, "net1"), set(["203.0.113.1/24"]), "the CNI's address is not natgw's");
}

/// A connection from outside through the DNAT rule of [`rules`], both ends.
fn dnat_connection(topology: &Topology) -> (TcpStream, TcpStream) {
    let inside: SocketAddr = format!("{CLIENT}:8080").parse().expect("an address");
    let outside: SocketAddr = format!("{EIP2}:80").parse().expect("an address");
    let listener = topology.client.run(|| TcpListener::bind(inside)).expect("the pod listens");
    let dialled = topology.server.run(|| TcpStream::connect(outside)).expect("the DNAT rule works");
    let (accepted, _) = listener.accept().expect("the connection arrives");
    (dialled, accepted)
}

fn dnat_sessions(gateway: &Gateway) -> usize {
    natgw_json(gateway, &["sessions", "--eip", EIP2, "--proto", "tcp"]).as_array().map_or(0, Vec::len)
}

#[test]
fn removing_a_rule_ends_its_sessions_and_no_others() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let daemon = gateway.start();
    topology.client.command("ping", &["-c", "1", "-W", "2", "203.0.113.100"]);
    let _ends = dnat_connection(&topology);
    assert_eq!(dnat_sessions(&gateway), 1);
    let mark = daemon.logs().mark();
    gateway.write(&Rules::new().eip("e1", EIP1).eip("e2", EIP2).snat("e1", "10.0.1.0/24"));
    let line = daemon.wait_message(mark, "reconciled");
    assert_eq!(line.number("ended_sessions"), Some(1), "{}", line.text);
    assert_eq!(dnat_sessions(&gateway), 0);
    assert_eq!(natgw_json(&gateway, &["sessions", "--eip", EIP1]).as_array().map(Vec::len), Some(1));
}

#[test]
fn sessions_whose_rule_went_while_no_daemon_ran_end_after_the_start() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let mut first = gateway.start();
    let _ends = dnat_connection(&topology);
    first.kill9();
    // As if it had been killed between removing the rule and ending its sessions.
    let map = gateway.pins().join("maps/DNAT").display().to_string();
    let key = ["203", "0", "113", "11", "0", "80", "6", "0"];
    command::run("bpftool", &[&["map", "delete", "pinned", &map, "key"], &key[..]].concat());
    gateway.write(&Rules::new().eip("e1", EIP1).eip("e2", EIP2));
    assert_eq!(dnat_sessions(&gateway), 1);
    let _second = gateway.start();
    eventually("the end of the session", || (dnat_sessions(&gateway) == 0).then_some(()));
}

#[test]
fn a_link_above_the_manifests_that_leads_elsewhere_is_followed_by_the_periodic_check() {
    let topology = Topology::new();
    let gateway = gateway(&topology, "200ms", "");
    let root = gateway.dir().join("checkout");
    for (version, rules) in [("v1", rules()), ("v2", rules().eip("e3", "203.0.113.30"))] {
        fs::create_dir_all(root.join(version).join("manifests")).expect("a directory");
        rules.write(&root.join(version).join("manifests"));
    }
    symlink("v1", root.join("current")).expect("a link");
    fs::remove_dir(gateway.manifests()).expect("it is empty");
    symlink("checkout/current/manifests", gateway.manifests()).expect("a link");
    let daemon = gateway.start();
    symlink("v2", root.join("next")).expect("a link");
    let mark = daemon.logs().mark();
    fs::rename(root.join("next"), root.join("current")).expect("renamable");
    let line = daemon.wait_message(mark, "reconciled");
    assert_eq!(line.number("eips"), Some(3), "{}", line.text);
    assert!(!daemon.logs().text().contains("drift repaired"), "{}", daemon.logs().text());
}

#[test]
fn manifests_replaced_by_an_empty_directory_change_nothing() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let daemon = gateway.start();
    let before = addresses(&topology.gw, "net1");
    let mark = daemon.logs().mark();
    fs::create_dir(gateway.dir().join("empty")).expect("a directory");
    fs::rename(gateway.manifests(), gateway.dir().join("aside")).expect("renamable");
    fs::rename(gateway.dir().join("empty"), gateway.manifests()).expect("renamable");
    daemon.wait_line(mark, "that the directory is another one", |line| line.message().contains("without any object"));
    daemon.wait_message(mark, "reconciled");
    assert_eq!(programmed_eips(&gateway), set([EIP1, EIP2]));
    assert_eq!(addresses(&topology.gw, "net1"), before);
    let mark = daemon.logs().mark();
    gateway.write(&rules().eip("e3", "203.0.113.30"));
    daemon.wait_message(mark, "reconciled");
    assert_eq!(programmed_eips(&gateway).len(), 3);
}
