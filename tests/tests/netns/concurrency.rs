//! Many flows at once on one elastic IP.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpStream},
    sync::Barrier,
    thread,
};

use natgw_tests::{
    Lab, Netns, Proto, Rules,
    lab::EIP1,
    probe::UdpEcho,
    tcp::{self, TcpServer},
    topology::{CLIENT, POD2, SERVER},
};

use crate::support::{VPC_CIDR, addresses, assert_all_clean, at, exchange, udp_socket};

const CLIENTS: u16 = 200;
const BYTES: u64 = 40_000;

/// All clients connect at the same moment, stay connected until all are, and then move their bytes.
fn all_at_once(connect: impl Fn(u16) -> std::io::Result<TcpStream> + Sync) -> Vec<String> {
    let barrier = Barrier::new(usize::from(CLIENTS));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let (barrier, connect) = (&barrier, &connect);
                scope.spawn(move || {
                    barrier.wait();
                    let stream = connect(n);
                    barrier.wait();
                    let mut stream = stream.map_err(|error| format!("client {n} does not connect: {error}"))?;
                    match tcp::upload(&mut stream, BYTES) {
                        Ok(BYTES) => Ok(()),
                        other => Err(format!("client {n}: {other:?} of {BYTES} bytes")),
                    }
                })
            })
            .collect();
        clients.into_iter().filter_map(|client| client.join().expect("a client does not panic").err()).collect()
    })
}

#[test]
fn two_hundred_tcp_clients_share_one_eip_with_distinct_ports() {
    let lab = Lab::new(&Rules::new().eip("eip1", EIP1).snat("eip1", VPC_CIDR));
    let net = &lab.net;
    let server = TcpServer::start(&net.server, 7001);
    // Both pods use the same hundred source ports, so half of the flows cannot keep theirs.
    let failures = all_at_once(|n| {
        let (pod, address): (&Netns, _) = if n % 2 == 0 { (&net.client, CLIENT) } else { (&net.pod2, POD2) };
        tcp::connect_from(pod, at(address, 20_000 + n / 2), at(SERVER, 7001))
    });
    assert!(failures.is_empty(), "{} of {CLIENTS} fail: {:?}", failures.len(), &failures[..failures.len().min(3)]);
    let peers: BTreeSet<_> = server.take_peers().into_iter().collect();
    assert_eq!((peers.len(), addresses(&peers)), (usize::from(CLIENTS), BTreeSet::from([EIP1])));
    assert_all_clean(net);
}

#[test]
fn two_hundred_outside_clients_reach_one_port_mapping() {
    let lab = Lab::new(&Rules::new().eip("eip1", EIP1).dnat("eip1", Proto::Tcp, 80, CLIENT, 8080));
    let net = &lab.net;
    let server = TcpServer::start(&net.client, 8080);
    let failures = all_at_once(|n| tcp::connect(if n % 2 == 0 { &net.server } else { &net.server2 }, at(EIP1, 80)));
    assert!(failures.is_empty(), "{} of {CLIENTS} fail: {:?}", failures.len(), &failures[..failures.len().min(3)]);
    assert_eq!(server.take_peers().into_iter().collect::<BTreeSet<_>>().len(), usize::from(CLIENTS));
    assert_all_clean(net);
}

#[test]
fn five_hundred_udp_flows_share_one_eip_and_none_gets_anothers_answer() {
    let lab = Lab::new(&Rules::new().eip("eip1", EIP1).snat("eip1", VPC_CIDR));
    let net = &lab.net;
    let echo = UdpEcho::start(&net.server, 7002);
    let sockets: Vec<_> = (0..500)
        .map(|n: u16| {
            let pod = if n.is_multiple_of(2) { &net.client } else { &net.pod2 };
            let socket = udp_socket(pod, 20_000 + n / 2);
            socket.connect(at(SERVER, 7002)).expect("there is a route");
            socket
        })
        .collect();
    for round in 0..2 {
        for (n, socket) in sockets.iter().enumerate() {
            assert_eq!(exchange(socket, 1 + n), Ok(()), "round {round}, flow {n}");
        }
    }
    let peers: BTreeSet<SocketAddr> = echo.take_peers();
    assert_eq!(peers.len(), 500, "one external port per flow, the same in both rounds");
}
