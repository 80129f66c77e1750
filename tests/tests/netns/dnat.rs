//! Destination NAT: outside clients reach a port of a pod through a port of the elastic IP.

use std::collections::BTreeSet;

use natgw_common::abi::Counter;
use natgw_tests::{
    Lab, Proto, Rules, Topology,
    capture::assert_no_private_address_leaves,
    lab::{EIP1, EIP2},
    probe::UdpEcho,
    rules::Rule,
    tcp::{self, TcpServer, Transfer},
    topology::{CLIENT, FAR, Offload, POD2, SERVER, SERVER2},
};

use crate::support::{
    Counted, VPC_CIDR, addresses, assert_all_clean, assert_udp_echoes, assert_udp_flows, at, exchange, udp_addresses,
    udp_socket,
};

fn rules() -> Rules {
    Rules::new().eip("eip1", EIP1).dnat("eip1", Proto::Tcp, 80, CLIENT, 8080).dnat("eip1", Proto::Udp, 53, CLIENT, 5353)
}

#[test]
fn outside_clients_reach_the_pod_by_tcp_and_udp_without_any_snat_rule() {
    let lab = Lab::new(&rules());
    dnat_works(&lab);
}

#[test]
fn the_same_holds_when_no_hardware_completes_checksums() {
    let lab = Lab::on(Topology::builder().offload(Offload::Off).build(), &rules(), &[]);
    dnat_works(&lab);
}

fn dnat_works(lab: &Lab) {
    let net = &lab.net;
    let tcp = TcpServer::start(&net.client, 8080);
    let udp = UdpEcho::start(&net.client, 5353);
    let counted = Counted::start(lab);
    for (outsider, address) in [(&net.server, SERVER), (&net.server2, SERVER2)] {
        tcp::assert_transfers(outsider, at(EIP1, 80), 2 << 20);
        assert_eq!(addresses(&tcp.take_peers()), BTreeSet::from([address]), "the pod sees who really asks");
        assert_udp_echoes(outsider, at(EIP1, 53));
        assert_udp_flows(outsider, at(EIP1, 53), 200);
        assert_eq!(udp_addresses(&udp), BTreeSet::from([address]), "the pod sees who really asks");
    }
    let captured = counted.assert(|interface, _| if interface == "net1" { Counter::DnatIn } else { Counter::DnatOut });
    assert_no_private_address_leaves(&captured);
    assert_all_clean(net);
}

#[test]
fn several_rules_share_one_eip_and_two_eips_share_one_pod_port() {
    let lab = Lab::new(
        &rules()
            .eip("eip2", EIP2)
            .dnat("eip1", Proto::Tcp, 81, POD2, 8080)
            .dnat("eip1", Proto::Udp, 80, POD2, 5353)
            .dnat("eip2", Proto::Tcp, 80, CLIENT, 8080),
    );
    let net = &lab.net;
    let on_client = TcpServer::start(&net.client, 8080);
    let on_pod2 = TcpServer::start(&net.pod2, 8080);
    let udp_on_pod2 = UdpEcho::start(&net.pod2, 5353);
    for (target, reached, other) in [
        (at(EIP1, 80), &on_client, &on_pod2),
        (at(EIP1, 81), &on_pod2, &on_client),
        (at(EIP2, 80), &on_client, &on_pod2),
    ] {
        tcp::assert_transfers(&net.server, target, 10_000);
        assert_eq!(reached.take_peers().len(), 2, "{target} reaches the right pod");
        assert_eq!(other.take_peers().len(), 0, "{target} reaches nobody else");
    }
    assert_udp_echoes(&net.server, at(EIP1, 80));
    assert_eq!(udp_addresses(&udp_on_pod2), BTreeSet::from([SERVER]), "tcp/80 and udp/80 are different rules");
}

#[test]
fn the_same_outside_port_reaches_one_pod_through_two_eips_at_once() {
    // Both flows look alike to the pod; one of them may get another port, but neither may break.
    let lab = Lab::new(&rules().eip("eip2", EIP2).dnat("eip2", Proto::Udp, 53, POD2, 5353));
    let _pods = [UdpEcho::start(&lab.net.client, 5353), UdpEcho::start(&lab.net.pod2, 5353)];
    let socket = udp_socket(&lab.net.server, 6000);
    for eip in [EIP1, EIP2, EIP1, EIP2] {
        socket.connect(at(eip, 53)).expect("there is a route");
        assert_eq!(exchange(&socket, 64), Ok(()), "through {eip}");
    }
}

#[test]
fn a_pod_of_another_vpc_subnet_is_reached_by_the_gateways_route() {
    let lab = Lab::new(
        &Rules::new().eip("eip1", EIP1).dnat("eip1", Proto::Tcp, 80, FAR, 8080).route("10.0.2.0/24", "10.0.1.254"),
    );
    let server = TcpServer::start(&lab.net.far, 8080);
    tcp::assert_transfers(&lab.net.server, at(EIP1, 80), 100_000);
    assert_eq!(addresses(&server.take_peers()), BTreeSet::from([SERVER]));
}

#[test]
fn removing_the_rule_ends_its_connections_at_once_and_no_other() {
    let lab = Lab::new(&rules().dnat("eip1", Proto::Tcp, 81, POD2, 8080).snat("eip1", VPC_CIDR));
    let net = &lab.net;
    let _servers = [TcpServer::start(&net.client, 8080), TcpServer::start(&net.pod2, 8080)];
    let _echo = UdpEcho::start(&net.client, 5353);
    let ends = udp_socket(&net.server, 0);
    ends.connect(at(EIP1, 53)).expect("there is a route");
    assert_eq!(exchange(&ends, 100), Ok(()));
    let stays = Transfer::start(&net.server, at(EIP1, 81));
    stays.wait_bytes(100_000);
    lab.apply(
        &rules()
            .dnat("eip1", Proto::Tcp, 81, POD2, 8080)
            .snat("eip1", VPC_CIDR)
            .without(|rule| matches!(rule, Rule::Dnat { port: 53, .. })),
    );
    ends.set_read_timeout(Some(std::time::Duration::from_millis(300))).expect("a UDP socket has a timeout");
    assert!(exchange(&ends, 100).is_err(), "the rule is gone, so are its sessions");
    stays.wait_bytes(100_000);
    let report = stays.stop();
    assert_eq!(report.failure, None, "the other rule's connection goes on");
}

#[test]
fn a_changed_target_moves_new_and_running_flows_to_the_new_pod() {
    let lab = Lab::new(&rules());
    let net = &lab.net;
    let (old, new) = (UdpEcho::start(&net.client, 5353), UdpEcho::start(&net.pod2, 5353));
    let socket = udp_socket(&net.server, 0);
    socket.connect(at(EIP1, 53)).expect("there is a route");
    assert_eq!(exchange(&socket, 100), Ok(()));
    assert_eq!(udp_addresses(&old), BTreeSet::from([SERVER]));
    lab.apply(&Rules::new().eip("eip1", EIP1).dnat("eip1", Proto::Udp, 53, POD2, 5353));
    assert_eq!(exchange(&socket, 100), Ok(()));
    assert_eq!(udp_addresses(&new), BTreeSet::from([SERVER]), "the running flow reaches the new target");
    assert_eq!(udp_addresses(&old), BTreeSet::new());
}

#[test]
fn two_hundred_rules_each_reach_their_own_port() {
    let rules = (0..200).fold(Rules::new().eip("eip1", EIP1), |rules, n| {
        rules.dnat("eip1", Proto::Tcp, 10_000 + n, CLIENT, 20_000 + n)
    });
    let lab = Lab::new(&rules);
    for n in [0, 57, 199] {
        let server = TcpServer::start(&lab.net.client, 20_000 + n);
        tcp::assert_transfers(&lab.net.server, at(EIP1, 10_000 + n), 1000);
        assert_eq!(server.take_locals(), vec![at(CLIENT, 20_000 + n); 2]);
    }
}
