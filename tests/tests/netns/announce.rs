//! The outside learns where an elastic IP is without asking.

use std::time::Duration;

use natgw_tests::{
    Lab, Rules, Topology, announcements,
    lab::{EIP1, EIP2},
    probe::UdpEcho,
    topology::{CLIENT, POD2},
};

use crate::support::{VPC_CIDR, assert_udp_echoes, at};

const PATIENCE: Duration = Duration::from_secs(6);

fn rules() -> Rules {
    Rules::new().eip("eip1", EIP1).snat("eip1", VPC_CIDR).fip("eip1", CLIENT)
}

#[test]
fn an_eip_is_announced_three_times_at_start_and_when_it_is_added_without_holding_anything_up() {
    let net = Topology::new();
    let mac = net.gw.mac("net1");
    let at_start = announcements::listen(&net.server, EIP1, 3, PATIENCE);
    let lab = Lab::on(net, &rules(), &[]);
    let added = announcements::listen(&lab.net.server, EIP2, 3, PATIENCE);
    lab.apply(&rules().eip("eip2", EIP2).fip("eip2", POD2));
    let in_force = std::time::Instant::now();
    for (who, listener) in [("at start", at_start), ("added", added)] {
        let heard = listener.join().expect("the listener does not panic");
        assert_eq!(heard.iter().map(|(_, said)| *said).collect::<Vec<_>>(), vec![mac; 3], "{who}");
        if who == "added" {
            assert!(heard[2].0 > in_force, "the rules were in force before the last announcement");
        }
    }
}

#[test]
fn a_neighbour_that_knows_another_mac_for_the_eip_is_put_right_at_once() {
    let lab = Lab::new(&Rules::new());
    let net = &lab.net;
    let _echo = UdpEcho::start(&net.client, 5353);
    // As after a fail-over: the address was somewhere else a moment ago.
    net.server.ip(&[format!("neigh replace {EIP1} lladdr 02:00:00:00:00:99 dev eth0 nud reachable")]);
    lab.apply(&rules());
    assert_udp_echoes(&net.server, at(EIP1, 5353));
}
