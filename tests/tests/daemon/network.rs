//! Addresses, routes, announcements and drift.

use std::{
    fs,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use natgw_tests::{Rules, Topology, command};

use crate::support::{
    EIP1, EIP2, NEVER, addresses, eventually, gateway, listen_for_announcements, mac, programmed_eips, routes, rules,
    second_gateway, set,
};

const ALL: [&str; 3] = ["203.0.113.1/24", "203.0.113.10/24", "203.0.113.11/24"];

#[test]
fn removing_the_first_address_of_the_subnet_keeps_its_siblings_and_the_routes() {
    let topology = Topology::new();
    // As with noDefaultEIP: the interface has no address of its own, so the first EIP is the primary one.
    topology.gw.ip(&["addr flush dev net1".into()]);
    topology.gw.ip(&["route add default via 203.0.113.254 dev net1 onlink".into()]);
    let gateway = gateway(&topology, NEVER, "external = { subnet = \"203.0.113.0/24\" }");
    gateway.write(&Rules::new().eip("e1", EIP1).eip("e2", EIP2));
    let daemon = gateway.start();
    assert_eq!(addresses(&topology.gw, "net1"), set(["203.0.113.10/24", "203.0.113.11/24"]));
    let mark = daemon.logs().mark();
    gateway.write(&Rules::new().eip("e2", EIP2));
    daemon.wait_message(mark, "reconciled");
    assert_eq!(addresses(&topology.gw, "net1"), set(["203.0.113.11/24"]));
    let default = set(["default via 203.0.113.254 dev net1"]);
    assert_eq!(routes(&topology.gw), default);
    topology.server.command("ping", &["-c", "1", "-W", "2", EIP2]);
    // The last address takes every route of the interface along, unless they are put back.
    let mark = daemon.logs().mark();
    gateway.write(&Rules::new());
    daemon.wait_message(mark, "reconciled");
    assert!(addresses(&topology.gw, "net1").is_empty());
    assert_eq!(routes(&topology.gw), default);
    let mark = daemon.logs().mark();
    gateway.write(&Rules::new().eip("e1", EIP1));
    daemon.wait_message(mark, "reconciled");
    topology.server.command("ping", &["-c", "1", "-W", "2", EIP1]);
}

#[test]
fn an_address_removed_by_hand_comes_back_at_once() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let daemon = gateway.start();
    let mark = daemon.logs().mark();
    topology.gw.ip(&["addr del 203.0.113.10/24 dev net1".into()]);
    let line =
        daemon.wait_line(mark, "the repair", |line| line.message().starts_with("repaired: address 203.0.113.10"));
    assert_eq!(addresses(&topology.gw, "net1"), set(ALL), "{}", line.text);
}

#[test]
fn an_eip_of_a_subnet_that_appears_later_takes_its_prefix() {
    let topology = Topology::new();
    topology.gw.ip(&["addr flush dev net1".into()]);
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let _daemon = gateway.start();
    assert_eq!(addresses(&topology.gw, "net1"), set(["203.0.113.10/32", "203.0.113.11/32"]));
    topology.gw.ip(&["addr add 203.0.113.1/24 dev net1".into()]);
    eventually("the prefix of the subnet", || (addresses(&topology.gw, "net1") == set(ALL)).then_some(()));
}

#[test]
fn an_address_that_natgw_did_not_add_is_never_removed() {
    let topology = Topology::new();
    topology.gw.ip(&["addr add 203.0.113.10/24 dev net1".into(), "addr add 203.0.113.77/24 dev net1".into()]);
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let daemon = gateway.start();
    let mark = daemon.logs().mark();
    gateway.write(&Rules::new());
    daemon.wait_message(mark, "reconciled");
    assert_eq!(addresses(&topology.gw, "net1"), set(["203.0.113.1/24", "203.0.113.10/24", "203.0.113.77/24"]));
}

#[test]
fn every_eip_is_announced_three_times_at_the_start_and_when_it_is_added() {
    let topology = Topology::new();
    topology.gw.wait_links();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let listener = listen_for_announcements(&topology.server, Duration::from_millis(5500));
    let _daemon = gateway.start();
    gateway.write(&rules().eip("e3", "203.0.113.12"));
    let seen = listener.join().expect("the listener ends");
    let mac = mac(&topology.gw, "net1");
    for address in [Ipv4Addr::new(203, 0, 113, 10), Ipv4Addr::new(203, 0, 113, 11), Ipv4Addr::new(203, 0, 113, 12)] {
        let of_it: Vec<_> = seen.iter().filter(|one| one.address == address).collect();
        assert_eq!(of_it.len(), 3, "{address}: {seen:?}");
        assert!(of_it.iter().all(|one| one.mac == mac), "{address}: {seen:?}");
        let span = of_it[2].at - of_it[0].at;
        assert!((1500..3000).contains(&span.as_millis()), "{address}: three times within {span:?}");
    }
}

#[test]
fn a_new_mac_announces_every_eip_again() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let _daemon = gateway.start();
    let listener = listen_for_announcements(&topology.server, Duration::from_millis(3500));
    topology.gw.ip(&["link set net1 address 02:00:00:00:00:99".into()]);
    let seen = listener.join().expect("the listener ends");
    let with_new_mac = seen.iter().filter(|one| one.mac == [2, 0, 0, 0, 0, 0x99]).count();
    assert!(with_new_mac >= 6, "two EIPs, three times: {seen:?}");
}

#[test]
fn vpc_routes_are_set_repaired_and_removed_and_others_stay() {
    let topology = Topology::new();
    topology.gw.ip(&["route add 10.7.0.0/16 via 10.0.1.254 dev eth0".into()]);
    let gateway = gateway(&topology, NEVER, "");
    let foreign = "10.7.0.0/16 via 10.0.1.254 dev eth0";
    let default = "default via 203.0.113.254 dev net1";
    gateway.write(&rules().route("10.8.0.0/16", "10.0.1.254").route("10.9.0.0/16", "gateway"));
    let daemon = gateway.start();
    let [eight, nine] = ["10.8.0.0/16 via 10.0.1.254 dev eth0", "10.9.0.0/16 via 10.0.1.254 dev eth0"];
    assert_eq!(routes(&topology.gw), set([default, foreign, eight, nine]));
    let mark = daemon.logs().mark();
    topology.gw.ip(&["route del 10.8.0.0/16".into()]);
    daemon.wait_line(mark, "the repair", |line| line.message().starts_with("repaired: route 10.8.0.0/16"));
    assert_eq!(routes(&topology.gw), set([default, foreign, eight, nine]));
    let mark = daemon.logs().mark();
    gateway.write(&rules().route("10.8.0.0/16", "10.0.1.3"));
    daemon.wait_message(mark, "reconciled");
    assert_eq!(routes(&topology.gw), set([default, foreign, "10.8.0.0/16 via 10.0.1.3 dev eth0"]));
    // A link that was down has lost its routes.
    topology.gw.ip(&["link set eth0 down".into(), "link set eth0 up".into()]);
    eventually("the route after the link", || {
        routes(&topology.gw).contains("10.8.0.0/16 via 10.0.1.3 dev eth0").then_some(())
    });
}

#[test]
fn an_unknown_subnet_gateway_is_explained_and_the_configured_one_is_used() {
    let topology = Topology::new();
    let unknown = gateway(&topology, NEVER, "");
    unknown.write(&rules().route("10.9.0.0/16", "gateway"));
    let daemon = unknown.start();
    daemon.wait_line(0, "how to give the gateway", |line| line.message().contains("subnet_gateway"));
    drop(daemon);
    drop(unknown);
    let known = gateway(&topology, NEVER, "internal = { subnet_gateway = \"10.0.1.254\" }");
    known.write(&rules().route("10.9.0.0/16", "gateway"));
    let _daemon = known.start();
    assert!(routes(&topology.gw).contains("10.9.0.0/16 via 10.0.1.254 dev eth0"));
}

#[test]
fn a_map_entry_and_a_program_removed_by_hand_are_repaired_by_the_periodic_check() {
    let topology = Topology::new();
    let gateway = gateway(&topology, "200ms", "");
    gateway.write(&rules());
    let daemon = gateway.start();
    let mark = daemon.logs().mark();
    let map = gateway.pins().join("maps/EIPS").display().to_string();
    command::run("bpftool", &["map", "delete", "pinned", &map, "key", "203", "0", "113", "11"]);
    daemon
        .wait_line(mark, "the repair of the map", |line| line.message().contains("repaired: EIPS entry 203.0.113.11"));
    assert_eq!(programmed_eips(&gateway), set([EIP1, EIP2]));
    let mark = daemon.logs().mark();
    std::fs::remove_file(gateway.pins().join("links/ext_in")).expect("a pin can be removed");
    daemon
        .wait_line(mark, "the repair of the hook", |line| line.message().contains("repaired: program ext_in on net1"));
    topology.client.command("ping", &["-c", "1", "-W", "2", "203.0.113.100"]);
}

#[test]
fn sysctls_that_the_data_plane_needs_are_set_and_kept() {
    let topology = Topology::new();
    let gateway = gateway(&topology, "200ms", "");
    gateway.write(&rules());
    let daemon = gateway.start();
    let read = |key: &str| topology.gw.read_sysctl(&format!("net/ipv4/{key}"));
    for (key, value) in [
        ("ip_forward", "1"),
        ("conf/all/rp_filter", "0"),
        ("conf/net1/rp_filter", "0"),
        ("conf/eth0/rp_filter", "0"),
        ("conf/net1/accept_local", "1"),
        ("conf/eth0/accept_local", "1"),
        ("conf/all/send_redirects", "0"),
        ("conf/net1/promote_secondaries", "1"),
    ] {
        assert_eq!(read(key), value, "{key}");
    }
    let mark = daemon.logs().mark();
    topology.gw.sysctl("net/ipv4/conf/net1/rp_filter", "1");
    daemon
        .wait_line(mark, "the repair", |line| line.message().contains("repaired: sysctl net/ipv4/conf/net1/rp_filter"));
    assert_eq!(read("conf/net1/rp_filter"), "0");
}

#[test]
fn a_gateway_that_is_refused_on_an_interface_leaves_its_addresses_and_routes_alone() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules().route("10.8.0.0/16", "10.0.1.254"));
    let daemon = gateway.start();
    let (before, routed) = (addresses(&topology.gw, "net1"), routes(&topology.gw));
    let mark = daemon.logs().mark();
    let others = Rules::new().eip("other", "203.0.113.50").route("10.9.0.0/16", "10.0.1.254");
    for attach in ["tcx", "clsact"] {
        let other = second_gateway(&gateway, &topology, &others, &["--attach", attach]);
        other.wait_line(0, "why it is refused", |line| line.message().contains("already carries the programs"));
        other.wait_message(0, "reconciled");
        assert_eq!(addresses(&topology.gw, "net1"), before);
        assert_eq!(routes(&topology.gw), routed);
    }
    assert!(daemon.logs().lines()[mark..].is_empty(), "no fight:\n{}", daemon.logs().text());
}

#[test]
fn a_fight_about_an_address_is_slow_and_said_now_and_then() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let daemon = gateway.start();
    let mark = daemon.logs().mark();
    let end = Instant::now() + Duration::from_secs(3);
    let mut removed = 0;
    while Instant::now() < end {
        removed += usize::from(
            topology
                .gw
                .run(|| command::output("ip", &["addr", "del", "203.0.113.10/24", "dev", "net1"]).status.success()),
        );
    }
    eventually("the address", || addresses(&topology.gw, "net1").contains("203.0.113.10/24").then_some(()));
    assert!((3..=17).contains(&removed), "put back {removed} times in 3 s");
    let said = daemon.logs().lines()[mark..].len();
    assert!(said <= 10, "{said} lines:\n{}", daemon.logs().text());
}

#[test]
fn a_route_of_somebody_else_is_never_replaced() {
    let topology = Topology::new();
    topology.gw.ip(&["route add 10.7.0.0/16 via 203.0.113.254 dev net1".into()]);
    let before = topology.gw.command("ip", &["route"]);
    let gateway = gateway(&topology, NEVER, "");
    let blocked = ["0.0.0.0/0", "10.7.0.0/16", "203.0.113.0/24", "10.0.1.0/24"];
    gateway.write(&blocked.iter().fold(rules(), |rules, dest| rules.route(*dest, "10.0.1.254")));
    let daemon = gateway.start();
    for dest in blocked {
        let line = daemon.wait_line(0, dest, |line| line.message().contains(&format!("route {dest}: ")));
        assert!(line.message().contains("VpcNatGateway/gw1: spec.routes"), "{}", line.text);
    }
    assert_eq!(topology.gw.command("ip", &["route"]), before);
    let mark = daemon.logs().mark();
    topology.gw.ip(&["route del 10.7.0.0/16 via 203.0.113.254 dev net1".into()]);
    daemon.wait_message(mark, "route set");
    assert!(routes(&topology.gw).contains("10.7.0.0/16 via 10.0.1.254 dev eth0"));
}

#[test]
fn the_last_address_takes_no_route_of_any_kind_along() {
    let topology = Topology::new();
    topology.gw.ip(&["addr flush dev net1".into()]);
    let gateway = gateway(&topology, NEVER, "external = { subnet = \"203.0.113.0/24\" }");
    gateway.write(&Rules::new().eip("e1", EIP1));
    let daemon = gateway.start();
    topology.gw.ip(&[
        "route add default nexthop via 203.0.113.254 dev net1 nexthop via 203.0.113.253 dev net1".into(),
        "route add 10.77.0.0/16 via 203.0.113.254 dev net1 table 777".into(),
        "route add 10.78.0.0/16 via 203.0.113.254 dev net1 src 10.0.1.1".into(),
        "route add 10.79.0.0/16 via 203.0.113.254 dev net1 src 203.0.113.10 metric 5".into(),
    ]);
    let mark = daemon.logs().mark();
    gateway.write(&Rules::new());
    daemon.wait_message(mark, "reconciled");
    assert!(addresses(&topology.gw, "net1").is_empty());
    let main = topology.gw.command("ip", &["route"]);
    for part in
        ["via 203.0.113.254 dev net1 weight", "via 203.0.113.253 dev net1 weight", "src 10.0.1.1", "10.79.0.0/16"]
    {
        assert!(main.contains(part), "{part}: {main}");
    }
    assert!(!main.contains("203.0.113.10"), "{main}");
    assert!(topology.gw.command("ip", &["route", "show", "table", "777"]).contains("10.77.0.0/16"));
}

#[test]
fn pins_removed_under_a_daemon_end_it_and_its_restart_repairs() {
    for attach in ["tcx", "clsact"] {
        let topology = Topology::new();
        let gateway = gateway(&topology, "200ms", "").with_args(&["--attach", attach]);
        gateway.write(&Rules::new().eip("e1", EIP1).fip("e1", "10.0.1.2"));
        let mut daemon = gateway.start();
        topology.client.command("ping", &["-c", "1", "-W", "2", "203.0.113.100"]);
        fs::remove_dir_all(gateway.pins()).expect("removable");
        assert_eq!(daemon.wait().code(), Some(1), "{}", daemon.logs().text());
        eventually("why", || daemon.logs().text().contains("a restart makes them anew").then_some(()));
        let _restarted = gateway.start();
        assert_eq!(programmed_eips(&gateway), set([EIP1]));
        assert!(gateway.natgw(&["status"]).status.success());
        topology.client.command("ping", &["-c", "1", "-W", "2", "203.0.113.100"]);
        topology.server.command("ping", &["-c", "1", "-W", "2", EIP1]);
    }
}

#[test]
fn eips_leave_an_interface_that_is_the_external_one_no_more() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let daemon = gateway.start();
    topology.gw.ip(&["link set net1 down".into(), "link set net1 name old".into(), "link set old up".into()]);
    topology.gw.ip(&["link add net1 type dummy".into(), "link set net1 up".into()]);
    eventually("the EIPs on the new interface alone", || {
        let there = set(["203.0.113.10/32", "203.0.113.11/32"]);
        let moved =
            addresses(&topology.gw, "old") == set(["203.0.113.1/24"]) && addresses(&topology.gw, "net1") == there;
        moved.then_some(())
    });
    drop(daemon);
    let gateway = gateway.with_args(&["--external-interface", "old"]);
    let _daemon = gateway.start();
    assert_eq!(addresses(&topology.gw, "old"), set(ALL));
    assert!(addresses(&topology.gw, "net1").is_empty());
}
