//! R11, one death of many: killed between the removal of a rule and the end of its sessions.

use std::time::Duration;

use natgw_tests::{
    Lab, Proto, clock,
    lab::{EIP1, EIP3},
    maps::{self, MapDump},
    probe::UdpEcho,
    topology::{CLIENT, SERVER},
};

use natgw_tests::traffic::{at, rules};

#[test]
fn r11_a_removal_that_was_killed_before_it_ended_the_sessions_is_finished_by_the_next_start() {
    let with = rules()
        .eip("eip3", EIP3)
        .dnat("eip3", Proto::Udp, 54, CLIENT, 5353)
        .dnat("eip1", Proto::Udp, 55, CLIENT, 5353)
        .snat("eip3", CLIENT);
    let mut lab = Lab::new(&with);
    let net = &lab.net;
    let outside = UdpEcho::start(&net.server, 7002);
    let _inside = UdpEcho::start(&net.client, 5353);
    let flow = |ns: &natgw_tests::Netns, target| {
        let socket = ns.run(|| std::net::UdpSocket::bind("0.0.0.0:0")).expect("a UDP socket");
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("it has a timeout");
        socket.connect(target).expect("there is a route");
        socket
    };
    let asks = |socket: &std::net::UdpSocket| socket.send(b"asked").is_ok() && socket.recv(&mut [0; 16]).is_ok();
    let flows = [flow(&net.server, at(EIP3, 54)), flow(&net.server, at(EIP1, 55)), flow(&net.client, at(SERVER, 7002))];
    assert!(flows.iter().all(asks), "all of it works before");
    assert_eq!(outside.take_peers().iter().map(std::net::SocketAddr::ip).collect::<Vec<_>>(), [EIP3]);
    lab.daemon_mut().kill9();
    lab.gateway.write(&rules());
    maps::delete(&lab.gateway, "DNAT", &[203, 0, 113, 12, 0, 54, 17, 0]);
    maps::delete(&lab.gateway, "DNAT", &[203, 0, 113, 10, 0, 55, 17, 0]);
    maps::delete(&lab.gateway, "SNAT", &[32, 0, 0, 0, 10, 0, 1, 2]);
    maps::delete(&lab.gateway, "EIPS", &[203, 0, 113, 12]);
    let daemon = lab.gateway.start();
    lab.replace_daemon(daemon);
    clock::eventually("the sessions of the removed rules have ended", Duration::from_secs(3), || {
        let sessions = MapDump::read(&lab.gateway, &["SESSIONS"]);
        !sessions.entries("SESSIONS").iter().any(|line| line.contains("[203,0,113,12]") || line.contains("[0,55]"))
    });
    assert!(!asks(&flows[0]), "the EIP is gone");
    assert!(!asks(&flows[1]), "the port mapping is gone");
    assert!(asks(&flows[2]), "the client's flow goes on by the rule that is left");
    assert_eq!(outside.take_peers().iter().map(std::net::SocketAddr::ip).collect::<Vec<_>>(), [EIP1]);
    let address = lab.net.gw.command("ip", &["-o", "-4", "addr", "show", "dev", "net1"]);
    assert!(!address.contains(&EIP3.to_string()), "its address is gone too: {address}");
}
