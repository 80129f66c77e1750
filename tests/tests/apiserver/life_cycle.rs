//! Each kind from its creation to its end, with packets: new connections go the new way at once, those that were let in by what
//! went (FIP, DNAT, EIP) end, those of an SNAT rule keep their source, and everybody else's go on.

use std::net::{Ipv4Addr, SocketAddrV4};

use natgw_tests::{
    ClusterLab, Netns, Proto, Rules,
    cluster::shared,
    held::Held,
    lab::{EIP1, EIP2, EIP3},
    maps::MapDump,
    tcp::{self, TcpServer},
    topology::{CLIENT, FAR, POD2, SERVER, VPC_ROUTER},
    traffic::{Traffic, at, rules},
};
use natgw_userspace::core::objects::Kind;
use serde_json::{Value, json};

/// A fourth elastic IP.
const EIP4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 13);
const FAR_SUBNET: &str = "10.0.2.0/24";

/// The rules of [`Traffic`], and two elastic IPs and a subnet that the test plays with.
fn world() -> Rules {
    rules().eip("eip3", EIP3).eip("eip4", EIP4).route(FAR_SUBNET, VPC_ROUTER)
}

/// Changes the spec of an object and waits until it says that just this is in force.
fn change(lab: &ClusterLab<'_>, kind: Kind, name: &str, spec: &Value) {
    let name = lab.objects.name(name);
    lab.objects.patch(kind, &name, &json!({ "spec": spec }));
    let generation = lab.objects.get(kind, &name)["metadata"]["generation"].clone();
    let _ = lab.objects.wait_condition(kind, &name, "Programmed", |condition| {
        condition["status"] == "True" && condition["observedGeneration"] == generation
    });
}

/// Where a server's connections came from since it was asked last.
fn sources(server: &TcpServer) -> Vec<Ipv4Addr> {
    server.take_peers().iter().map(|peer| *peer.ip()).collect()
}

fn assert_refused(from: &Netns, to: SocketAddrV4) {
    let refused = tcp::connect(from, to).expect_err("nothing listens at the elastic IP itself");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn objects_in_the_cluster_translate_every_kind_of_traffic_and_say_so() {
    let cluster = shared();
    let lab = ClusterLab::new(&cluster, &rules());
    let traffic = Traffic::start(&lab.net);
    for (kind, name) in [
        (Kind::VpcNatGateway, lab.gateway.name().to_owned()),
        (Kind::IptablesEip, lab.objects.name("eip1")),
        (Kind::IptablesFipRule, lab.objects.name(&format!("fip-eip2-{POD2}"))),
        (Kind::IptablesDnatRule, lab.objects.name("dnat-eip1-tcp-80")),
        (Kind::IptablesSnatRule, lab.objects.name("snat-eip1-10.0.1.0-24")),
    ] {
        let condition = lab.objects.wait_programmed(kind, &name, "True", "Programmed");
        assert_eq!(condition["observedGeneration"], lab.objects.get(kind, &name)["metadata"]["generation"]);
    }
    let ready = lab.objects.wait_condition(Kind::VpcNatGateway, lab.gateway.name(), "Ready", |c| c["status"] == "True");
    let message = ready["message"].as_str().unwrap_or_default();
    assert!(message.contains("2 EIPs, 1 FIPs, 2 DNAT and 1 SNAT entries"), "{message}");
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn a_dnat_rule_is_made_moved_and_deleted_and_only_its_own_connections_end() {
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &world());
    let (first, second) = (TcpServer::start(&lab.net.far, 9001), TcpServer::start(&lab.net.client, 9002));
    let traffic = Traffic::start(&lab.net);
    let rule = "dnat-eip3-tcp-90";
    lab.set(&world().dnat("eip3", Proto::Tcp, 90, FAR, 9001), |maps| maps.len("DNAT") == 3);
    let held = Held::open(&lab.net.server, at(EIP3, 90));
    assert_eq!((sources(&first), sources(&second)), (vec![SERVER], vec![]));

    change(&lab, Kind::IptablesDnatRule, rule, &json!({ "internalIp": CLIENT, "internalPort": "9002" }));
    held.assert_ended();
    let held = Held::open(&lab.net.server, at(EIP3, 90));
    assert_eq!((sources(&first), sources(&second)), (vec![], vec![SERVER]));

    change(&lab, Kind::IptablesDnatRule, rule, &json!({ "eip": lab.objects.name("eip4"), "externalPort": "91" }));
    held.assert_ended();
    assert_refused(&lab.net.server, at(EIP3, 90));
    let held = Held::open(&lab.net.server, at(EIP4, 91));
    assert_eq!((sources(&first), sources(&second)), (vec![], vec![SERVER]));

    lab.set(&world(), |maps| maps.len("DNAT") == 2);
    held.assert_ended();
    assert_refused(&lab.net.server, at(EIP4, 91));
    // The refused connections were resets, of nobody's connection.
    traffic.assert_no_loss(&lab.net);
}

#[test]
fn a_fip_rule_is_made_moved_and_deleted_and_only_its_own_connections_end() {
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &world());
    let (far, client) = (TcpServer::start(&lab.net.far, 9001), TcpServer::start(&lab.net.client, 9001));
    let outside = TcpServer::start(&lab.net.server, 9003);
    let traffic = Traffic::start(&lab.net);
    let rule = format!("fip-eip3-{FAR}");
    lab.set(&world().fip("eip3", FAR), |maps| maps.len("FIP_IN") == 2);
    let inward = Held::open(&lab.net.server, at(EIP3, 9001));
    let outward = Held::open(&lab.net.far, at(SERVER, 9003));
    assert_eq!((sources(&far), sources(&outside)), (vec![SERVER], vec![EIP3]));

    change(&lab, Kind::IptablesFipRule, &rule, &json!({ "eip": lab.objects.name("eip4") }));
    inward.assert_ended();
    // The server knows it by the old address.
    outward.assert_ended();
    assert_refused(&lab.net.server, at(EIP3, 9001));
    let inward = Held::open(&lab.net.server, at(EIP4, 9001));
    let _outward = Held::open(&lab.net.far, at(SERVER, 9003));
    assert_eq!((sources(&far), sources(&outside)), (vec![SERVER], vec![EIP4]));

    change(&lab, Kind::IptablesFipRule, &rule, &json!({ "internalIp": CLIENT }));
    inward.assert_ended();
    let inward = Held::open(&lab.net.server, at(EIP4, 9001));
    assert_eq!((sources(&far), sources(&client)), (vec![], vec![SERVER]));

    lab.set(&world(), |maps| maps.len("FIP_IN") == 1);
    inward.assert_ended();
    assert_refused(&lab.net.server, at(EIP4, 9001));
    traffic.assert_no_loss(&lab.net);
}

#[test]
fn an_snat_rule_is_made_moved_and_deleted_and_open_connections_keep_their_source() {
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &world());
    let outside = TcpServer::start(&lab.net.server, 9003);
    let traffic = Traffic::start(&lab.net);
    let to = at(SERVER, 9003);
    lab.set(&world().snat("eip3", FAR_SUBNET), |maps| maps.len("SNAT") == 2);
    let mut first = Held::open(&lab.net.far, to);
    assert_eq!(sources(&outside), [EIP3]);
    let rule = "snat-eip3-10.0.2.0-24";

    change(&lab, Kind::IptablesSnatRule, rule, &json!({ "eip": lab.objects.name("eip4") }));
    first.assert_lives();
    let mut second = Held::open(&lab.net.far, to);
    assert_eq!(sources(&outside), [EIP4]);

    change(&lab, Kind::IptablesSnatRule, rule, &json!({ "internalCIDR": "10.0.3.0/24" }));
    second.assert_lives();
    // No rule is for it: forwarded as it is.
    let untranslated = Held::open(&lab.net.far, to);
    assert_eq!(sources(&outside), [FAR]);

    lab.set(&world(), |maps| maps.len("SNAT") == 1);
    [first, second, untranslated].iter_mut().for_each(Held::assert_lives);
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn an_eip_that_gets_another_address_takes_its_rules_along_and_one_that_goes_ends_them() {
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &world());
    let far = TcpServer::start(&lab.net.far, 9001);
    let outside = TcpServer::start(&lab.net.server, 9003);
    let traffic = Traffic::start(&lab.net);
    let ruled = || world().dnat("eip3", Proto::Tcp, 90, FAR, 9001).snat("eip3", FAR_SUBNET);
    lab.set(&ruled(), |maps| maps.len("SNAT") == 2 && maps.len("DNAT") == 3);
    let (inward, outward) = (Held::open(&lab.net.server, at(EIP3, 90)), Held::open(&lab.net.far, at(SERVER, 9003)));
    assert_eq!((sources(&far), sources(&outside)), (vec![SERVER], vec![EIP3]));

    let moved = Ipv4Addr::new(203, 0, 113, 14);
    change(&lab, Kind::IptablesEip, "eip3", &json!({ "v4ip": moved }));
    inward.assert_unanswered();
    outward.assert_ended();
    let (inward, outward) = (Held::open(&lab.net.server, at(moved, 90)), Held::open(&lab.net.far, at(SERVER, 9003)));
    assert_eq!((sources(&far), sources(&outside)), (vec![SERVER], vec![moved]));
    // Nobody answers for the old one.
    let gone = tcp::connect(&lab.net.server, at(EIP3, 90)).expect_err("the address is gone");
    assert_ne!(gone.kind(), std::io::ErrorKind::ConnectionRefused, "{gone}");

    lab.objects.delete(Kind::IptablesEip, &lab.objects.name("eip3"));
    for name in ["dnat-eip3-tcp-90", "snat-eip3-10.0.2.0-24"] {
        let kind = if name.starts_with("dnat") { Kind::IptablesDnatRule } else { Kind::IptablesSnatRule };
        let _ = lab.objects.wait_programmed(kind, &lab.objects.name(name), "False", "EipMissing");
    }
    inward.assert_unanswered();
    outward.assert_ended();
    let maps = MapDump::rules(&lab.gateway);
    assert_eq!((maps.len("EIPS"), maps.len("DNAT"), maps.len("SNAT")), (3, 2, 1));
    let _untranslated = Held::open(&lab.net.far, at(SERVER, 9003));
    assert_eq!(sources(&outside), [FAR]);
    assert_eq!(
        [EIP1, EIP2].map(|eip| lab.net.gw.command("ip", &["-br", "addr"]).contains(&eip.to_string())),
        [true; 2]
    );
    traffic.assert_no_loss(&lab.net);
}
