//! The ways to run the gateway: redirect or not, TCX or clsact, with `--netns` or inside the namespace. And what none
//! of them needs: netfilter.

use std::{fs, io};

use natgw_tests::{
    Lab, Proto, Rules, Topology,
    lab::{EIP1, EIP2},
    topology::{CLIENT, POD2},
};

use crate::{support::VPC_CIDR, vlan_macvlan::check};

fn rules() -> Rules {
    Rules::new()
        .eip("eip1", EIP1)
        .snat("eip1", VPC_CIDR)
        .dnat("eip1", Proto::Tcp, 80, CLIENT, 8080)
        .dnat("eip1", Proto::Udp, 53, CLIENT, 5353)
        .eip("eip2", EIP2)
        .fip("eip2", POD2)
}

#[test]
fn every_rule_works_when_the_kernel_routes_translated_packets() {
    let lab = Lab::on(Topology::new(), &rules(), &["--redirect", "off"]);
    check(&lab);
}

#[test]
fn every_rule_works_when_the_daemon_runs_inside_the_namespace() {
    let mut lab = Lab::new(&rules());
    lab.daemon_mut().kill9();
    let mut daemon = lab.gateway.spawn_inside();
    let ready = daemon.wait_ready();
    assert_eq!(ready.number("map_writes"), Some(0), "it adopts what the one outside has left: {}", ready.text);
    lab.replace_daemon(daemon);
    check(&lab);
}

#[test]
fn every_rule_works_with_clsact_filters() {
    let lab = Lab::on(Topology::new(), &rules(), &["--attach", "clsact"]);
    assert_eq!(lab.daemon().wait_message(0, "ready").field("attach").and_then(|v| v.as_str()), Some("clsact"));
    check(&lab);
    for (interface, hook) in [("eth0", "ingress"), ("net1", "ingress"), ("net1", "egress")] {
        let filters = lab.net.gw.command("tc", &["filter", "show", "dev", interface, hook]);
        assert!(filters.contains("natgw_"), "{interface} {hook}: {filters}");
    }
    assert!(!lab.gateway.pins().join("links/int_in").exists(), "there is no TCX link to pin");
}

#[test]
fn every_rule_works_with_clsact_filters_and_without_redirect() {
    let lab = Lab::on(Topology::new(), &rules(), &["--attach", "clsact", "--redirect", "off"]);
    check(&lab);
}

#[test]
fn no_connection_is_tracked_and_no_netfilter_rule_exists_in_the_gateway() {
    let lab = Lab::new(&rules());
    check(&lab);
    // A kernel that has not loaded the module does not have its file: then there is nothing at all.
    let read = |path: &str| match lab.net.gw.run(|| fs::read_to_string(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        text => Some(text.unwrap_or_else(|error| panic!("cannot read {path}: {error}")).trim().to_owned()),
    };
    let tracked = read("/proc/sys/net/netfilter/nf_conntrack_count");
    assert!(tracked.as_deref().is_none_or(|count| count == "0"), "{tracked:?} connections");
    let tables = lab.net.gw.command("nft", &["list", "ruleset"]);
    assert_eq!(tables.trim(), "", "no table either");
    let legacy = read("/proc/thread-self/net/ip_tables_names");
    assert!(legacy.as_deref().is_none_or(str::is_empty), "nor a legacy one: {legacy:?}");
}

#[test]
fn the_daemon_sets_the_sysctls_that_it_needs_and_the_eips_addresses() {
    let lab = Lab::new(&rules());
    for (key, value) in [
        ("ip_forward", "1"),
        ("conf/all/rp_filter", "0"),
        ("conf/eth0/rp_filter", "0"),
        ("conf/net1/rp_filter", "0"),
        ("conf/eth0/accept_local", "1"),
        ("conf/all/send_redirects", "0"),
        ("conf/eth0/send_redirects", "0"),
        ("conf/net1/send_redirects", "0"),
    ] {
        assert_eq!(lab.net.gw.read_sysctl(&format!("net/ipv4/{key}")), value, "{key}");
    }
    let addresses = lab.net.gw.command("ip", &["-o", "-4", "addr", "show", "dev", "net1"]);
    for eip in [EIP1, EIP2] {
        assert!(addresses.contains(&format!("{eip}/24")), "the connected subnet's prefix length: {addresses}");
    }
}

#[test]
fn detach_removes_programs_pins_addresses_and_leaves_a_router() {
    let mut lab = Lab::new(&rules());
    check(&lab);
    lab.detach();
    let addresses = lab.net.gw.command("ip", &["-o", "-4", "addr", "show", "dev", "net1"]);
    assert!(!addresses.contains(&EIP1.to_string()) && addresses.contains("203.0.113.1/24"), "{addresses}");
    let echo = natgw_tests::probe::UdpEcho::start(&lab.net.server, 7002);
    crate::support::assert_udp_echoes(&lab.net.client, crate::support::at(natgw_tests::topology::SERVER, 7002));
    assert_eq!(crate::support::udp_addresses(&echo), [CLIENT].into());
}
