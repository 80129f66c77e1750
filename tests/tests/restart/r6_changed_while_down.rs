//! R6: objects changed or deleted while the daemon was down.

use std::collections::BTreeSet;

use natgw_tests::{
    Lab, Proto,
    lab::{EIP1, EIP2, EIP3},
    maps::MapDump,
    probe::UdpEcho,
    tcp::{self, TcpServer, Transfer},
    topology::{CLIENT, POD2, SERVER},
};

use natgw_tests::traffic::{Traffic, at, rules};

#[test]
fn r6_the_difference_is_applied_at_start_and_nothing_else_is_touched() {
    let before_rules = rules().dnat("eip1", Proto::Tcp, 81, POD2, 8081).dnat("eip1", Proto::Tcp, 83, CLIENT, 8083);
    let after_rules = rules().dnat("eip1", Proto::Tcp, 82, POD2, 8081).dnat("eip1", Proto::Tcp, 83, POD2, 8081);
    let mut lab = Lab::new(&before_rules);
    let (on_pod2, on_client) = (TcpServer::start(&lab.net.pod2, 8081), TcpServer::start(&lab.net.client, 8083));
    let ends = Transfer::start(&lab.net.server, at(EIP1, 81));
    ends.wait_bytes(100_000);
    let traffic = Traffic::start(&lab.net);
    let before = MapDump::rules(&lab.gateway);

    lab.daemon_mut().kill9();
    lab.gateway.write(&after_rules);
    traffic.flow();
    ends.wait_bytes(100_000);
    let mut daemon = lab.gateway.spawn();
    let ready = daemon.wait_ready();
    let after = MapDump::rules(&lab.gateway);
    let difference = before.difference(&after);
    assert_eq!(difference.len(), 4, "81 gone, 82 new, 83 with another target: {difference:#?}");
    assert!(difference.iter().all(|line| line[1..].starts_with("DNAT ")), "{difference:#?}");
    assert_eq!(ready.number("map_writes"), Some(3), "one write per difference: {}", ready.text);
    lab.replace_daemon(daemon);

    assert_eq!((on_pod2.take_peers().len(), on_client.take_peers().len()), (1, 0));
    tcp::assert_transfers(&lab.net.server, at(EIP1, 82), 10_000);
    tcp::assert_transfers(&lab.net.server, at(EIP1, 83), 10_000);
    assert_eq!((on_pod2.take_peers().len(), on_client.take_peers().len()), (4, 0));
    let refused = tcp::connect(&lab.net.server, at(EIP1, 81)).expect_err("the rule is gone");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(ends.stop().failure.is_some(), "the removed rule's connection has ended");
    // That connection's end made resets, so only loss can be judged for the rest.
    traffic.assert_no_loss(&lab.net);
}

#[test]
fn r6_an_eip_deleted_while_down_goes_with_its_address_and_sessions() {
    let with = rules().eip("eip3", EIP3).dnat("eip3", Proto::Udp, 54, CLIENT, 5353);
    let mut lab = Lab::new(&with);
    let addresses = |lab: &Lab| lab.net.gw.command("ip", &["-o", "-4", "addr", "show", "dev", "net1"]);
    assert!(addresses(&lab).contains(&EIP3.to_string()), "it was there");
    let traffic = Traffic::start(&lab.net);
    let socket = lab.net.server.run(|| std::net::UdpSocket::bind("0.0.0.0:0")).expect("a UDP socket");
    socket.set_read_timeout(Some(std::time::Duration::from_secs(1))).expect("it has a timeout");
    socket.send_to(b"before", at(EIP3, 54)).expect("there is a route");
    let mut buffer = [0; 16];
    assert_eq!(socket.recv(&mut buffer).ok(), Some(6), "the mapping works before");
    lab.daemon_mut().kill9();
    lab.gateway.write(&rules());
    let mark = 0;
    let daemon = lab.gateway.start();
    daemon.wait_message(mark, "reconciled");
    lab.replace_daemon(daemon);
    let dump = MapDump::rules(&lab.gateway);
    assert_eq!((dump.len("EIPS"), dump.len("DNAT")), (2, 2), "{dump:#?}");
    assert!(!addresses(&lab).contains(&EIP3.to_string()), "{}", addresses(&lab));
    for eip in [EIP1, EIP2] {
        assert!(addresses(&lab).contains(&eip.to_string()), "siblings stay: {}", addresses(&lab));
    }
    let _ = socket.send_to(b"after", at(EIP3, 54));
    assert!(socket.recv(&mut buffer).is_err(), "nobody answers for it any more");
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn r6_an_snat_rule_that_moved_while_down_moves_new_flows_only() {
    let mut lab = Lab::new(&rules().eip("eip3", EIP3));
    let traffic = Traffic::start(&lab.net);
    lab.daemon_mut().kill9();
    lab.gateway.write(&rules().eip("eip3", EIP3).snat("eip3", CLIENT));
    let daemon = lab.gateway.start();
    lab.replace_daemon(daemon);
    let echo = UdpEcho::start(&lab.net.server, 7003);
    let socket = lab.net.client.run(|| std::net::UdpSocket::bind("0.0.0.0:0")).expect("a UDP socket");
    socket.set_read_timeout(Some(std::time::Duration::from_secs(2))).expect("it has a timeout");
    socket.send_to(b"new", at(SERVER, 7003)).expect("there is a route");
    socket.recv(&mut [0; 16]).expect("the server answers");
    let seen: BTreeSet<_> = echo.take_peers().iter().map(std::net::SocketAddr::ip).collect();
    assert_eq!(seen, BTreeSet::from([EIP3.into()]), "the longer prefix counts for new flows");
    traffic.assert_unharmed(&lab.net);
}
