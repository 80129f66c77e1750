//! The rows of the recovery table, with a real API server as the source and everything in flight.

use std::{
    net::SocketAddrV4,
    time::{Duration, Instant},
};

use natgw_tests::{
    ClusterLab, Netns, Proto, Rules, Topology,
    cluster::shared,
    cluster_lab::Pins,
    lab::{EIP1, EIP2, EIP3},
    maps::MapDump,
    probe::{MILLISECOND, UdpProbe},
    topology::{CLIENT, POD2, SERVER},
    traffic::{Traffic, at, rules},
};
use natgw_userspace::core::objects::Kind;

/// Waits until a datagram comes back, and says how long that took.
fn until_answered(ns: &Netns, target: SocketAddrV4, since: Instant) -> Duration {
    let probe = UdpProbe::start(ns, target, MILLISECOND);
    probe.wait_answers(1);
    let took = since.elapsed();
    drop(probe.stop());
    took
}

#[test]
fn r1_a_killed_container_loses_no_packet_and_its_successor_writes_no_map() {
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &rules());
    let traffic = Traffic::start(&lab.net);
    let before = MapDump::rules(&lab.gateway);
    for _ in 0..3 {
        lab.daemon_mut().kill9();
        traffic.flow();
        let mut daemon = lab.gateway.spawn();
        let ready = daemon.wait_ready();
        assert_eq!(ready.number("map_writes"), Some(0), "{}", ready.text);
        let took = daemon.ready_after();
        println!("R1: ready after {took:?}, 0 map writes");
        lab.replace_daemon(daemon);
        traffic.flow();
        assert_eq!(before.difference(&MapDump::rules(&lab.gateway)), Vec::<String>::new());
    }
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn r2_after_a_reboot_everything_is_back_by_itself() {
    let cluster = shared();
    let subnets = |gw: &str| {
        format!(
            "apiVersion: kubeovn.io/v1\nkind: Subnet\nmetadata: {{name: {gw}-other}}\nspec: {{vpc: vpc-{gw}, \
             cidrBlock: 10.0.2.0/24, gateway: 10.0.2.1, provider: ovn}}\n---\n\
             apiVersion: kubeovn.io/v1\nkind: Subnet\nmetadata: {{name: {gw}-own}}\nspec: {{vpc: vpc-{gw}, \
             cidrBlock: 10.0.1.0/24, gateway: 10.0.1.254, provider: ovn}}"
        )
    };
    let mut lab = ClusterLab::new(&cluster, &rules());
    let gw = lab.gateway.name().to_owned();
    lab.objects.set(&rules().raw(&subnets(&gw)));
    let networks = serde_json::json!({"spec": {"vpc": format!("vpc-{gw}"), "subnet": format!("{gw}-own")}});
    lab.objects.patch(Kind::VpcNatGateway, &gw, &networks);
    let route = |lab: &ClusterLab<'_>| lab.net.gw.command("ip", &["route", "show", "10.0.2.0/24"]);
    natgw_tests::clock::eventually("the VPC's other subnet has a route", Duration::from_secs(10), || {
        route(&lab).contains("via 10.0.1.254")
    });
    let traffic = Traffic::start(&lab.net);
    drop(traffic);
    lab.rebuild_sandbox(Pins::Lost);
    let since = Instant::now();
    let mut daemon = lab.gateway.spawn();
    let echo = natgw_tests::probe::UdpEcho::start(&lab.net.client, 5353);
    let took = until_answered(&lab.net.server2, at(EIP1, 53), since);
    println!("R2: DNAT answers {took:?} after the container's start, maps empty before");
    daemon.wait_ready();
    lab.replace_daemon(daemon);
    drop(echo);
    assert!(took < Duration::from_secs(3), "{took:?}");
    lab.wait_maps(|maps| maps.len("EIPS") == 2 && maps.len("DNAT") == 2 && maps.len("SNAT") == 1);
    assert!(route(&lab).contains("via 10.0.1.254"), "VPC routes are back: {}", route(&lab));
    let traffic = Traffic::start(&lab.net);
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn r3_a_pod_that_is_made_again_on_its_node_carries_the_same_connections_on() {
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &rules());
    let traffic = Traffic::start(&lab.net);
    lab.rebuild_sandbox(Pins::Kept);
    lab.start();
    traffic.assert_survived(&lab.net);
}

#[test]
fn r6_what_changed_while_the_container_was_down_is_applied_and_nothing_else() {
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &rules().eip("eip3", EIP3).dnat("eip3", Proto::Tcp, 90, CLIENT, 1));
    let traffic = Traffic::start(&lab.net);
    let before = MapDump::rules(&lab.gateway);
    lab.daemon_mut().kill9();
    lab.objects.set(&rules().dnat("eip1", Proto::Tcp, 91, POD2, 2));
    traffic.flow();
    lab.start();
    let after = MapDump::rules(&lab.gateway);
    let difference = before.difference(&after);
    assert_eq!(difference.len(), 3, "an EIP and its rule are gone, one rule is new: {difference:#?}");
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn r7_drift_is_repaired_and_an_event_says_what() {
    let cluster = shared();
    let lab = ClusterLab::new(&cluster, &rules());
    let gw = lab.gateway.name().to_owned();
    let pin = |map: &str| lab.gateway.pins().join("maps").join(map).display().to_string();
    let octets = EIP2.octets().map(|octet| octet.to_string());
    let mut delete = vec!["map", "delete", "pinned"];
    let fip_in = pin("FIP_IN");
    delete.extend([fip_in.as_str(), "key"]);
    delete.extend(octets.iter().map(String::as_str));
    natgw_tests::command::run("bpftool", &delete);
    lab.net.gw.command("ip", &["addr", "del", &format!("{EIP1}/24"), "dev", "net1"]);
    let since = Instant::now();
    lab.wait_maps(|maps| maps.len("FIP_IN") == 1);
    println!("R7: the entry is back after {:?}", since.elapsed());
    assert!(since.elapsed() < Duration::from_secs(12), "the resync interval is 10 s");
    let address = || lab.net.gw.command("ip", &["-o", "-4", "addr", "show", "dev", "net1"]);
    assert!(address().contains(&EIP1.to_string()), "{}", address());
    let events = || lab.objects.events(Kind::VpcNatGateway, &gw);
    natgw_tests::clock::eventually("an Event names the entry", Duration::from_secs(10), || {
        events().iter().any(|event| event.contains("DriftRepaired") && event.contains(&format!("FIP_IN entry {EIP2}")))
    });
    let traffic = Traffic::start(&lab.net);
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn r4_a_net1_that_comes_back_is_said_to_be_missing_and_then_carries_everything_again() {
    let cluster = shared();
    let lab = ClusterLab::new(&cluster, &rules());
    let gw = lab.gateway.name().to_owned();
    let traffic = Traffic::start(&lab.net);
    lab.net.unplug_external();
    let eip = lab.objects.name("eip1");
    let _ = lab.objects.wait_programmed(Kind::IptablesEip, &eip, "False", "InterfaceMissing");
    let missing = |condition: &serde_json::Value| condition["reason"] == "InterfaceMissing";
    let _ = lab.objects.wait_condition(Kind::VpcNatGateway, &gw, "Ready", missing);
    lab.net.plug_external();
    let _ = lab.objects.wait_condition(Kind::VpcNatGateway, &gw, "Ready", |condition| condition["status"] == "True");
    let _ = lab.objects.wait_programmed(Kind::IptablesEip, &eip, "True", "Programmed");
    traffic.assert_survived(&lab.net);
}

#[test]
fn r12_the_next_container_waits_for_the_last_one_and_takes_over_within_a_second() {
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &rules());
    let traffic = Traffic::start(&lab.net);
    let mut next = lab.gateway.spawn();
    next.wait_line(0, "who holds the lock", |line| line.text.contains("another natgw owns gateway"));
    let status = lab.daemon_mut().term();
    let since = Instant::now();
    assert!(status.success(), "{status}");
    next.wait_ready();
    println!("R12: handed over after {:?}", since.elapsed());
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    lab.replace_daemon(next);
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn r13_flows_that_began_before_their_rules_are_translated_from_the_next_packet_on() {
    let cluster = shared();
    let mut lab = ClusterLab::on(&cluster, Topology::new(), &Rules::new(), &cluster.admin_kubeconfig(), &[]);
    let echo = natgw_tests::probe::UdpEcho::start(&lab.net.server, 7002);
    let probe = UdpProbe::start(&lab.net.client, at(SERVER, 7002), MILLISECOND);
    probe.wait_answers(50);
    assert!(echo.take_peers().iter().all(|peer| peer.ip() == CLIENT), "un-translated at first");
    lab.set(&rules(), |maps| maps.len("SNAT") == 1);
    drop(echo.take_peers());
    probe.wait_answers(50);
    let seen = echo.take_peers();
    assert!(seen.iter().all(|peer| peer.ip() == EIP1), "{seen:?}");
    probe.stop().assert_lossless("SNAT by UDP");
}
