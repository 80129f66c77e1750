//! Connections that do nothing for a while, both ends in the hands of the test: no server with a time-out decides how
//! long they may be idle.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
};

use crate::{
    Netns, Proto, Rules, Topology,
    lab::{EIP1, EIP2},
    payload, tcp,
    topology::{CLIENT, SERVER},
    traffic::at,
};

/// Of each way.
const CONNECTIONS: usize = 3;
/// Fits the buffers of two sockets: it is written before anybody reads.
const PIECE: usize = 16 * 1024;

/// Adds the port mapping that [`Idle`] needs to the rules of [`crate::traffic::rules`].
#[must_use]
pub fn with_idle(rules: Rules) -> Rules {
    rules.dnat("eip1", Proto::Tcp, 81, CLIENT, 8081)
}

/// Idle connections through SNAT, DNAT, a floating IP and a hairpin.
#[derive(Debug)]
pub struct Idle(Vec<(&'static str, TcpStream, TcpStream)>);

impl Idle {
    /// Opens them.
    ///
    /// # Panics
    /// When one cannot be opened.
    #[must_use]
    pub fn open(net: &Topology) -> Self {
        let server = listen(&net.server, 7003);
        let client = listen(&net.client, 8081);
        let pod = listen(&net.pod2, 8081);
        let ways: [(&'static str, &Netns, SocketAddrV4, &TcpListener); 4] = [
            ("SNAT", &net.client, at(SERVER, 7003), &server),
            ("DNAT", &net.server, at(EIP1, 81), &client),
            ("FIP", &net.server2, at(EIP2, 8081), &pod),
            ("hairpin", &net.client, at(EIP2, 8081), &pod),
        ];
        let open = |(way, from, to, listener): (&'static str, &Netns, SocketAddrV4, &TcpListener)| {
            let near = tcp::connect(from, to).unwrap_or_else(|error| panic!("no connection through {way}: {error}"));
            let (far, _) = listener.accept().expect("who is connected can be accepted");
            far.set_read_timeout(near.read_timeout().expect("it has one")).expect("a connection has a time-out");
            (way, near, far)
        };
        Self(ways.into_iter().flat_map(|way| (0..CONNECTIONS).map(move |_| open(way))).collect())
    }

    /// Asserts that all of them still carry data in both directions.
    ///
    /// # Panics
    /// When one does not.
    pub fn assert_alive(self) {
        for (way, mut near, mut far) in self.0 {
            for position in [0, PIECE as u64] {
                carry(way, &mut near, &mut far, position);
                carry(way, &mut far, &mut near, position);
            }
        }
    }
}

fn listen(ns: &Netns, port: u16) -> TcpListener {
    ns.run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))
        .unwrap_or_else(|error| panic!("cannot listen on {port} in {}: {error}", ns.name()))
}

fn carry(way: &str, from: &mut TcpStream, to: &mut TcpStream, position: u64) {
    let mut received = vec![0; PIECE];
    let carried = from.write_all(payload::at(position, PIECE)).and_then(|()| to.read_exact(&mut received));
    carried.unwrap_or_else(|error| panic!("an idle connection through {way} is dead: {error}"));
    assert!(payload::is(position, &received), "an idle connection through {way} carried other bytes");
}
