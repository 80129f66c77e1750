//! Bad input while packets flow: what is right keeps working, and what is wrong is named once.

use std::{collections::BTreeSet, fs};

use natgw_tests::{
    Gateway, Lab, Proto, Rules, Topology, command,
    lab::{EIP1, EIP2, EIP3},
    probe::{MILLISECOND, UdpEcho, UdpProbe},
    tcp::{self, TcpServer},
    topology::{CLIENT, Interfaces, SERVER},
};

use crate::support::{VPC_CIDR, addresses, assert_pings, assert_udp_echoes, at, udp_addresses};

fn good() -> Rules {
    Rules::new().eip("eip1", EIP1).snat("eip1", VPC_CIDR).dnat("eip1", Proto::Tcp, 80, CLIENT, 8080)
}

fn object(kind: &str, name: &str, spec: &str) -> String {
    format!("apiVersion: kubeovn.io/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{{spec}}}")
}

/// The good rules work, and `said` is a part of one error or warning for each pair.
fn assert_good_rules_work(lab: &Lab, said: &[(&str, &str)]) {
    let net = &lab.net;
    let outside = TcpServer::start(&net.server, 7001);
    let inside = TcpServer::start(&net.client, 8080);
    tcp::assert_transfers(&net.client, at(SERVER, 7001), 10_000);
    assert_eq!(addresses(&outside.take_peers()), BTreeSet::from([EIP1]));
    tcp::assert_transfers(&net.server, at(EIP1, 80), 10_000);
    assert_eq!(addresses(&inside.take_peers()), BTreeSet::from([SERVER]));
    let lines = lab.daemon().logs().lines();
    for (who, what) in said {
        let found = lines.iter().filter(|line| line.text.contains(who) && line.text.contains(what)).count();
        assert_eq!(found, 1, "`{who}` and `{what}` must be said once:\n{}", lab.daemon().logs().text());
    }
}

#[test]
fn wrong_objects_are_named_and_hinder_no_other() {
    let rules = good()
        .raw(&object(
            "IptablesDnatRule",
            "no-port",
            "eip: eip1, externalPort: \"http\", protocol: tcp, internalIp: 10.0.1.2, internalPort: \"80\"",
        ))
        .raw(&object(
            "IptablesDnatRule",
            "no-protocol",
            "eip: eip1, externalPort: \"81\", protocol: icmp, internalIp: 10.0.1.2, internalPort: \"80\"",
        ))
        .raw(&object("IptablesFIPRule", "no-eip", "eip: eip9, internalIp: 10.0.1.3"))
        .raw(&object("IptablesSnatRule", "no-cidr", "eip: eip1, internalCIDR: 10.0.1.0/33"))
        .raw(&object("IptablesEIP", "no-address", "v4ip: 203.0.113.300, natGwDp: gw1"))
        .raw(&object("IptablesEIP", "elsewhere", "v4ip: 203.0.113.99, natGwDp: another-gateway"))
        .raw(&object("IptablesFIPRule", "typo", "eip: eip9, internalIP: 10.0.1.3"));
    let lab = Lab::new(&rules);
    assert_good_rules_work(
        &lab,
        &[
            ("IptablesDnatRule/no-port", "externalPort"),
            ("IptablesDnatRule/no-protocol", "protocol"),
            ("IptablesFIPRule/no-eip", "eip9"),
            ("IptablesSnatRule/no-cidr", "internalCIDR"),
            ("IptablesEIP/no-address", "v4ip"),
        ],
    );
}

#[test]
fn a_broken_file_hinders_no_other_file_and_its_repair_is_followed() {
    let lab = Lab::new(&good());
    let broken = lab.gateway.manifests().join("broken.yaml");
    let mark = lab.daemon().logs().mark();
    fs::write(&broken, "apiVersion: kubeovn.io/v1\nkind: IptablesEIP\nmetadata: {name: eip2\nspec: [")
        .expect("writable");
    let said = lab.daemon().wait_line(mark, "an error about broken.yaml", |line| line.text.contains("broken.yaml"));
    assert!(said.text.contains("broken.yaml:"), "file and line: {}", said.text);
    assert_good_rules_work(&lab, &[]);
    let mark = lab.daemon().logs().mark();
    let draft = lab.gateway.dir().join("draft");
    let good = ["IptablesEIP/eip2", "IptablesFIPRule/fip2"].map(|name| name.split_once('/').expect("kind/name"));
    let specs = ["v4ip: 203.0.113.11, natGwDp: gw1", "eip: eip2, internalIp: 10.0.1.3"];
    let yaml: Vec<String> = good.iter().zip(specs).map(|((kind, name), spec)| object(kind, name, spec)).collect();
    fs::write(&draft, yaml.join("\n---\n")).expect("writable");
    fs::rename(&draft, &broken).expect("writable");
    lab.daemon().wait_message(mark, "reconciled");
    let echo = UdpEcho::start(&lab.net.pod2, 5353);
    assert_udp_echoes(&lab.net.server, at(EIP2, 5353));
    assert_eq!(udp_addresses(&echo), BTreeSet::from([SERVER]));
    assert_good_rules_work(&lab, &[]);
}

#[test]
fn of_two_claims_on_one_port_the_older_wins_and_the_younger_is_named() {
    let lab = Lab::new(&good().raw(
        "apiVersion: kubeovn.io/v1\nkind: IptablesDnatRule\nmetadata: {name: younger, creationTimestamp: \"2027-01-01T00:00:00Z\"}\n\
         spec: {eip: eip1, externalPort: 80, protocol: TCP, internalIp: 10.0.1.3, internalPort: 8080}",
    ));
    let pod2 = TcpServer::start(&lab.net.pod2, 8080);
    assert_good_rules_work(&lab, &[("IptablesDnatRule/younger", "dnat-eip1-tcp-80")]);
    assert_eq!(pod2.take_peers(), []);
}

#[test]
fn an_upper_case_protocol_a_number_as_port_and_a_bare_source_address_are_right() {
    let lab = Lab::new(
        &Rules::new()
            .eip("eip1", EIP1)
            .eip("eip3", EIP3)
            .raw(&object(
                "IptablesDnatRule",
                "loud",
                "eip: eip1, externalPort: 80, protocol: TCP, internalIp: 10.0.1.2, internalPort: 8080",
            ))
            .raw(&object("IptablesSnatRule", "bare", "eip: eip3, internalCIDR: 10.0.1.3"))
            .snat("eip1", VPC_CIDR),
    );
    assert_good_rules_work(&lab, &[]);
    let outside = TcpServer::start(&lab.net.server, 7003);
    tcp::assert_transfers(&lab.net.pod2, at(SERVER, 7003), 1000);
    assert_eq!(addresses(&outside.take_peers()), BTreeSet::from([EIP3]), "the bare address is a /32");
}

#[test]
fn a_missing_interface_is_waited_for_and_named() {
    let net = Topology::builder().interfaces(Interfaces::ExternalLate).build();
    let gateway = Gateway::new(&net.gw);
    gateway.write(&good());
    let mut daemon = gateway.spawn();
    daemon.wait_line(0, "that net1 is missing", |line| line.text.contains("net1") && line.text.contains("wait"));
    let mark = daemon.logs().mark();
    net.plug_external();
    let seen = daemon.wait_line(mark, "net1 is present", |line| {
        line.message() == "interface is present" && line.text.contains("net1")
    });
    let ready = daemon.wait_ready();
    assert!(ready.at - seen.at < std::time::Duration::from_millis(500), "ready soon after: {:?}", ready.at - seen.at);
    net.wait_links();
    let echo = UdpEcho::start(&net.server, 7002);
    assert_udp_echoes(&net.client, at(SERVER, 7002));
    assert_eq!(udp_addresses(&echo), BTreeSet::from([EIP1]));
    assert_pings(&net.server, EIP1, 40);
}

#[test]
fn a_pinned_map_of_another_layout_is_refused_and_the_old_data_plane_goes_on() {
    let mut lab = Lab::new(&good());
    let _echo = UdpEcho::start(&lab.net.server, 7002);
    let probe = UdpProbe::start(&lab.net.client, at(SERVER, 7002), MILLISECOND);
    probe.wait_answers(50);
    lab.daemon_mut().kill9();
    let pin = lab.gateway.pins().join("maps/DNAT");
    let path = pin.display().to_string();
    fs::remove_file(&pin).expect("the map was pinned");
    command::run(
        "bpftool",
        &["map", "create", &path, "type", "hash", "key", "12", "value", "8", "entries", "64", "name", "DNAT"],
    );
    let mut refused = lab.gateway.spawn();
    let status = refused.wait();
    assert!(!status.success(), "the daemon must not start:\n{}", refused.logs().text());
    let said = refused.logs().closed();
    assert!(said.contains("DNAT") && said.contains("key") && said.contains("12"), "it says what differs: {said}");
    probe.wait_answers(100);
    probe.stop().assert_lossless("the old data plane, with a daemon refused beside it");
}
