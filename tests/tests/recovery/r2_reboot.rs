//! R2: the node was rebooted. The pod object is the same, its namespace is new and the bpffs is empty.

use std::{net::SocketAddrV4, time::Instant};

use natgw_common::abi::DropReason;
use natgw_tests::{
    ClusterLab, clock,
    cluster::shared,
    cluster_lab::Pins,
    daemon::PATIENCE,
    maps::MapDump,
    recovery::Outcome,
    tcp::{TcpServer, assert_transfers},
    topology::FAR,
    traffic::{Traffic, assert_unchanged, at, rules},
};
use natgw_userspace::core::objects::Kind;

/// The subnets of the gateway's VPC: its own, and another one behind the VPC's router.
fn subnets(gw: &str) -> String {
    let subnet = |name: &str, cidr: &str, gateway: &str| {
        format!(
            "apiVersion: kubeovn.io/v1\nkind: Subnet\nmetadata: {{name: {gw}-{name}}}\n\
             spec: {{vpc: vpc-{gw}, cidrBlock: {cidr}, gateway: {gateway}, provider: ovn}}"
        )
    };
    [subnet("other", "10.0.2.0/24", "10.0.2.1"), subnet("own", "10.0.1.0/24", "10.0.1.254")].join("\n---\n")
}

fn routed(lab: &ClusterLab<'_>) -> bool {
    lab.net.gw.command("ip", &["route", "show", "10.0.2.0/24"]).contains("via 10.0.1.254")
}

#[test]
fn r2_after_a_reboot_everything_is_back_by_itself() {
    let mut outcome = Outcome::of("R2");
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &rules());
    let gw = lab.gateway.name().to_owned();
    lab.objects.set(&rules().raw(&subnets(&gw)));
    let networks = serde_json::json!({"spec": {"vpc": format!("vpc-{gw}"), "subnet": format!("{gw}-own")}});
    lab.objects.patch(Kind::VpcNatGateway, &gw, &networks);
    clock::eventually("the VPC's other subnet has a route", PATIENCE, || routed(&lab));
    let traffic = Traffic::start(&lab.net);
    let before = MapDump::rules(&lab.gateway);

    // What is left of connections whose sessions are gone.
    lab.drops.allow(&[DropReason::FlowConflict, DropReason::NoSession]);
    lab.rebuild_sandbox(Pins::Lost);
    let since = Instant::now();
    let daemon = lab.gateway.spawn();
    traffic.wait_back();
    clock::eventually("the VPC's route is back", PATIENCE, || routed(&lab));
    outcome.took(since.elapsed());
    daemon.wait_complete();
    lab.replace_daemon(daemon);
    assert_unchanged(&before, &MapDump::rules(&lab.gateway));

    let (seen, went_on) = traffic.end_without_sessions(&lab.net);
    outcome.traffic(&seen);
    outcome.note(format!(
        "sessions are lost with the pins, floating IPs need none: {went_on} of 4 TCP connections of before went on, \
         which depends on the end that speaks first, and new ones lose nothing"
    ));
    // The other subnet is reached both ways.
    let _server = TcpServer::start(&lab.net.far, 8090);
    let target: SocketAddrV4 = at(FAR, 8090);
    assert_transfers(&lab.net.client, target, 10_000);
    Traffic::start(&lab.net).assert_unharmed(&lab.net);
    outcome.hand_in();
}
