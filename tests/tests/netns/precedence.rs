//! Which rule wins, and what happens to packets that no rule is for.

use std::collections::BTreeSet;

use natgw_common::abi::DropReason;
use natgw_tests::{
    Lab, Proto, Rules,
    capture::{Capture, Way, assert_no_private_address_leaves, passed},
    lab::{EIP1, EIP2, EIP3},
    probe::{MILLISECOND, UdpEcho, UdpProbe},
    tcp::{self, TcpServer, Transfer},
    topology::{CLIENT, FAR, POD2, SERVER, SERVER2},
};

use crate::support::{
    VPC_CIDR, addresses, assert_pings, assert_udp_echoes, at, exchange, received, udp_addresses, udp_socket,
};

#[test]
fn the_longest_source_prefix_wins_whatever_the_order() {
    let eips = || Rules::new().eip("eip1", EIP1).eip("eip2", EIP2).eip("eip3", EIP3).route("10.0.2.0/24", "10.0.1.254");
    let orders = [
        eips().snat("eip3", "10.0.0.0/8").snat("eip1", VPC_CIDR).snat("eip2", CLIENT),
        eips().snat("eip2", "10.0.1.2/32").snat("eip1", VPC_CIDR).snat("eip3", "10.0.0.0/8"),
    ];
    for rules in orders {
        let lab = Lab::new(&rules);
        let server = TcpServer::start(&lab.net.server, 7001);
        for (pod, eip) in [(&lab.net.client, EIP2), (&lab.net.pod2, EIP1), (&lab.net.far, EIP3)] {
            tcp::assert_transfers(pod, at(SERVER, 7001), 1000);
            assert_eq!(addresses(&server.take_peers()), BTreeSet::from([eip]), "{}", pod.name());
        }
    }
}

#[test]
fn a_floating_ip_goes_before_a_port_mapping_and_before_snat() {
    let lab = Lab::new(
        &Rules::new()
            .eip("eip1", EIP1)
            .eip("eip2", EIP2)
            .dnat("eip1", Proto::Tcp, 80, POD2, 80)
            .snat("eip2", VPC_CIDR)
            .fip("eip1", CLIENT),
    );
    let net = &lab.net;
    let (on_client, on_pod2) = (TcpServer::start(&net.client, 80), TcpServer::start(&net.pod2, 80));
    let outside = TcpServer::start(&net.server, 7001);
    tcp::assert_transfers(&net.server, at(EIP1, 80), 1000);
    assert_eq!((on_client.take_peers().len(), on_pod2.take_peers().len()), (2, 0), "the FIP shadows the DNAT");
    tcp::assert_transfers(&net.client, at(SERVER, 7001), 1000);
    assert_eq!(addresses(&outside.take_peers()), BTreeSet::from([EIP1]), "the FIP of the source, not SNAT");
    tcp::assert_transfers(&net.pod2, at(SERVER, 7001), 1000);
    assert_eq!(addresses(&outside.take_peers()), BTreeSet::from([EIP2]), "SNAT for the other pod");
}

#[test]
fn one_eip_carries_a_floating_ip_and_snat_and_neither_shadows_the_other() {
    let lab = Lab::new(&Rules::new().eip("eip1", EIP1).fip("eip1", CLIENT).snat("eip1", VPC_CIDR));
    let net = &lab.net;
    let outside = TcpServer::start(&net.server, 7001);
    let inside = TcpServer::start(&net.client, 8080);
    // The pod behind SNAT and the pod with the floating IP want the same external tuple, in both orders.
    for (port, snat_first) in [(5000, true), (5001, false)] {
        let connect_snat =
            || tcp::connect_from(&net.pod2, at(POD2, port), at(SERVER, 7001)).expect("the SNAT pod connects");
        let connect_fip =
            || tcp::connect_from(&net.client, at(CLIENT, port), at(SERVER, 7001)).expect("the FIP pod connects");
        let (mut snat, mut fip) = if snat_first {
            let snat = connect_snat();
            (snat, connect_fip())
        } else {
            let fip = connect_fip();
            (connect_snat(), fip)
        };
        assert_eq!(tcp::upload(&mut snat, 50_000).ok(), Some(50_000), "the SNAT pod's bytes, {snat_first}");
        assert_eq!(tcp::upload(&mut fip, 50_000).ok(), Some(50_000), "the FIP pod's bytes, {snat_first}");
        let peers: BTreeSet<_> = outside.take_peers().into_iter().collect();
        assert_eq!((peers.len(), addresses(&peers)), (2, BTreeSet::from([EIP1])), "{peers:?}");
    }
    tcp::assert_transfers(&net.server, at(EIP1, 8080), 10_000);
    assert_eq!(addresses(&inside.take_peers()), BTreeSet::from([SERVER]), "and inwards");
    assert_pings(&net.server, EIP1, 50);
    assert_pings(&net.client, SERVER, 51);
    assert_pings(&net.pod2, SERVER, 51);
}

#[test]
fn snat_hands_out_no_port_that_a_port_mapping_of_the_eip_owns() {
    let lab =
        Lab::new(&Rules::new().eip("eip1", EIP1).snat("eip1", VPC_CIDR).dnat("eip1", Proto::Udp, 5000, POD2, 5353));
    let net = &lab.net;
    let outside = UdpEcho::start(&net.server, 7002);
    let inside = UdpEcho::start(&net.pod2, 5353);
    let socket = udp_socket(&net.client, 5000);
    socket.connect(at(SERVER, 7002)).expect("there is a route");
    assert_eq!(exchange(&socket, 10), Ok(()));
    let ports: Vec<_> = outside.take_peers().iter().map(std::net::SocketAddr::port).collect();
    assert!(ports != [5000], "port 5000 of the EIP belongs to the DNAT rule");
    // And the very peer can use the mapping, from the very port that it was asked on.
    drop(outside);
    let asker = udp_socket(&net.server, 7002);
    asker.connect(at(EIP1, 5000)).expect("there is a route");
    assert_eq!(exchange(&asker, 10), Ok(()));
    assert_eq!(udp_addresses(&inside), BTreeSet::from([SERVER]));
}

#[test]
fn without_rules_everything_is_forwarded_as_it_is() {
    let lab = Lab::new(&Rules::new().eip("eip1", EIP1));
    let net = &lab.net;
    let (outside, inside) = (TcpServer::start(&net.server2, 7001), TcpServer::start(&net.client, 7001));
    tcp::assert_transfers(&net.client, at(SERVER2, 7001), 1 << 20);
    assert_eq!(addresses(&outside.take_peers()), BTreeSet::from([CLIENT]));
    tcp::assert_transfers(&net.server2, at(CLIENT, 7001), 1 << 20);
    assert_eq!(addresses(&inside.take_peers()), BTreeSet::from([SERVER2]));
    assert_pings(&net.client, SERVER, 52);
    assert_pings(&net.server, CLIENT, 53);
}

#[test]
fn traffic_between_vpc_subnets_is_never_translated() {
    let lab = Lab::new(
        &Rules::new()
            .eip("eip1", EIP1)
            .snat("eip1", "10.0.0.0/8")
            .eip("eip2", EIP2)
            .dnat("eip2", Proto::Tcp, 80, POD2, 8080)
            .route("10.0.2.0/24", "10.0.1.254"),
    );
    let net = &lab.net;
    let servers = (TcpServer::start(&net.client, 7001), TcpServer::start(&net.far, 7001));
    let echo = UdpEcho::start(&net.far, 7002);
    tcp::assert_transfers(&net.far, at(CLIENT, 7001), 1 << 20);
    assert_eq!(addresses(&servers.0.take_peers()), BTreeSet::from([FAR]));
    tcp::assert_transfers(&net.client, at(FAR, 7001), 1 << 20);
    assert_eq!(addresses(&servers.1.take_peers()), BTreeSet::from([CLIENT]));
    assert_udp_echoes(&net.client, at(FAR, 7002));
    assert_eq!(udp_addresses(&echo), BTreeSet::from([CLIENT]));
    assert_pings(&net.far, CLIENT, 54);
}

#[test]
fn unmatched_drop_lets_only_packets_with_a_rule_leave() {
    let rules = Rules::new().eip("eip1", EIP1).snat("eip1", CLIENT).route("10.0.2.0/24", "10.0.1.254");
    let lab = Lab::on(natgw_tests::Topology::new(), &rules, &["--unmatched", "drop"]);
    lab.expect_drops(&[DropReason::Unmatched]);
    let net = &lab.net;
    let echo = UdpEcho::start(&net.server, 7002);
    let far = UdpEcho::start(&net.far, 7002);
    let capture = Capture::start(&net.gw);
    let unmatched = udp_socket(&net.pod2, 0);
    unmatched.connect(at(SERVER, 7002)).expect("there is a route");
    assert!(exchange(&unmatched, 10).is_err(), "no rule, no way out");
    let matched = udp_socket(&net.client, 0);
    matched.connect(at(SERVER, 7002)).expect("there is a route");
    assert_eq!(exchange(&matched, 10), Ok(()));
    assert_eq!(udp_addresses(&echo), BTreeSet::from([EIP1]));
    unmatched.connect(at(FAR, 7002)).expect("there is a route");
    assert_eq!(exchange(&unmatched, 10), Ok(()), "between VPC subnets nothing is dropped");
    assert_eq!(udp_addresses(&far), BTreeSet::from([POD2]));
    assert_pings(&net.server, EIP1, 55);
    assert_no_private_address_leaves(&capture.stop());
}

#[test]
fn sessions_keep_their_translation_while_other_rules_come_and_go() {
    let rules = || {
        Rules::new()
            .eip("eip1", EIP1)
            .snat("eip1", VPC_CIDR)
            .dnat("eip1", Proto::Tcp, 80, CLIENT, 8080)
            .eip("eip2", EIP2)
            .fip("eip2", POD2)
    };
    let lab = Lab::new(&rules());
    let net = &lab.net;
    let servers =
        [(&net.server, 7001), (&net.client, 8080), (&net.pod2, 8080)].map(|(ns, port)| TcpServer::start(ns, port));
    let _echo = UdpEcho::start(&net.server, 7002);
    let transfers = [
        Transfer::start(&net.client, at(SERVER, 7001)),
        Transfer::start(&net.server, at(EIP1, 80)),
        Transfer::start(&net.server2, at(EIP2, 8080)),
    ];
    let probe = UdpProbe::start(&net.client, at(SERVER, 7002), MILLISECOND);
    probe.wait_answers(100);
    for round in 0..10_u16 {
        let others = (0..=round).fold(rules().eip("eip3", EIP3), |rules, n| {
            rules.dnat("eip3", Proto::Tcp, 1000 + n, POD2, 2000 + n).snat("eip3", format!("10.9.{n}.0/24"))
        });
        lab.apply(&others);
    }
    lab.apply(&rules());
    for (transfer, name) in transfers.into_iter().zip(["SNAT", "DNAT", "FIP"]) {
        transfer.wait_bytes(100_000);
        assert_eq!(transfer.stop().failure, None, "{name}");
    }
    probe.stop().assert_lossless("SNAT while other rules change");
    assert_eq!(servers.map(|server| server.take_peers().len()), [1, 1, 1]);
}

#[test]
fn an_eip_is_added_and_removed_without_its_siblings() {
    let both = Rules::new().eip("eip1", EIP1).fip("eip1", CLIENT).eip("eip2", EIP2).fip("eip2", POD2);
    let one = Rules::new().eip("eip2", EIP2).fip("eip2", POD2);
    let lab = Lab::new(&both);
    let net = &lab.net;
    let probe = natgw_tests::probe::IcmpProbe::start(&net.server, EIP2, 56, MILLISECOND);
    for _ in 0..3 {
        lab.apply(&one);
        let capture = Capture::start(&net.client);
        let socket = udp_socket(&net.server, 0);
        let _ = socket.send_to(b"gone", at(EIP1, 9));
        assert_pings(&net.server, EIP2, 57);
        assert_eq!(received(&capture.stop()), [], "the removed EIP reaches nobody");
        lab.apply(&both);
        assert_pings(&net.server, EIP1, 58);
    }
    probe.stop().assert_lossless("the EIP that stayed");
    assert_pings(&net.gw, SERVER, 59);
}

#[test]
fn nothing_with_a_vpc_source_leaves_while_rules_of_its_source_are_replaced() {
    // Make before break: the same CIDR goes from one EIP to another under load.
    let first = Rules::new().eip("eip1", EIP1).eip("eip2", EIP2).snat("eip1", VPC_CIDR);
    let second = Rules::new().eip("eip1", EIP1).eip("eip2", EIP2).snat("eip2", VPC_CIDR);
    let lab = Lab::new(&first);
    let net = &lab.net;
    let _echo = UdpEcho::start(&net.server, 7002);
    let capture = Capture::start(&net.gw);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for port in 10_000.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                let socket = udp_socket(&net.client, port);
                socket.connect(at(SERVER, 7002)).expect("there is a route");
                assert_eq!(exchange(&socket, 10), Ok(()), "a new flow from port {port}");
            }
        });
        for _ in 0..5 {
            lab.apply(&second);
            lab.apply(&first);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let captured = capture.stop();
    assert_no_private_address_leaves(&captured);
    let used: BTreeSet<_> = passed(&captured, "net1", Way::Out).iter().map(|packet| packet.source).collect();
    assert!(used.is_superset(&BTreeSet::from([EIP1, EIP2])), "both EIPs were in use: {used:?}");
}
