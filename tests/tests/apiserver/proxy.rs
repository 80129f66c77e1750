//! The proxy in front of the API server delays, holds, refuses and cuts.

use std::{
    io::ErrorKind,
    net::TcpStream,
    time::{Duration, Instant},
};

use natgw_tests::{Netns, cluster::shared};
use tokio::time::timeout;

/// Long beside a request on loopback, short beside any timeout.
const DELAY: Duration = Duration::from_millis(200);

/// Enough for connections whose task had not begun when they were cut.
const ROUNDS: usize = 500;

#[test]
fn a_delay_holds_for_connections_that_are_open() {
    let cluster = shared();
    let proxy = cluster.proxy();
    let client = cluster.client(&cluster.admin_kubeconfig_through(&proxy));
    cluster.block_on(client.apiserver_version()).unwrap();
    proxy.delay(DELAY);
    let asked = Instant::now();
    cluster.block_on(client.apiserver_version()).unwrap();
    let took = asked.elapsed();
    assert!(took >= 2 * DELAY, "there and back in {took:?}");
    proxy.forward();
    let asked = Instant::now();
    cluster.block_on(client.apiserver_version()).unwrap();
    let took = asked.elapsed();
    assert!(took < DELAY, "without a delay it took {took:?}");
    assert_eq!(proxy.accepted(), 1);
}

#[test]
fn a_cut_connection_is_replaced_by_a_new_one() {
    let cluster = shared();
    let proxy = cluster.proxy();
    let client = cluster.client(&cluster.admin_kubeconfig_through(&proxy));
    cluster.block_on(client.apiserver_version()).unwrap();
    proxy.cut();
    // The first request may still be sent on the connection whose reset has not been read yet.
    let _ = cluster.block_on(client.apiserver_version());
    cluster.block_on(client.apiserver_version()).unwrap();
    assert_eq!(proxy.accepted(), 2);
}

#[test]
fn a_request_is_lost_when_its_connection_is_cut() {
    let cluster = shared();
    let proxy = cluster.proxy();
    let client = cluster.client(&cluster.admin_kubeconfig_through(&proxy));
    cluster.block_on(client.apiserver_version()).unwrap();
    proxy.black_hole();
    let mut pending = Box::pin(client.apiserver_version());
    cluster.block_on(async { timeout(DELAY, &mut pending).await.expect_err("it passes nothing") });
    proxy.cut();
    let error = cluster.block_on(async { timeout(Duration::from_secs(5), pending).await.expect("a reset is noticed") });
    assert!(error.is_err(), "the answer came through a black hole");
}

#[test]
fn a_request_in_a_black_hole_is_answered_when_it_ends() {
    let cluster = shared();
    let proxy = cluster.proxy();
    proxy.black_hole();
    let client = cluster.client(&cluster.admin_kubeconfig_through(&proxy));
    let mut pending = Box::pin(client.apiserver_version());
    cluster.block_on(async { timeout(DELAY, &mut pending).await.expect_err("it passes nothing") });
    proxy.forward();
    cluster.block_on(pending).unwrap();
    assert_eq!(proxy.accepted(), 1);
}

#[test]
fn who_is_refused_can_come_again() {
    let cluster = shared();
    let proxy = cluster.proxy();
    let client = cluster.client(&cluster.admin_kubeconfig_through(&proxy));
    cluster.block_on(client.apiserver_version()).unwrap();
    proxy.refuse();
    let refused = TcpStream::connect(proxy.address()).expect_err("it listens no more");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    // The connection of before is none of its business.
    cluster.block_on(client.apiserver_version()).unwrap();
    proxy.forward();
    TcpStream::connect(proxy.address()).expect("it listens again");
}

#[test]
fn a_proxy_inside_a_namespace_is_reached_only_from_there() {
    let cluster = shared();
    let netns = Netns::new("api");
    let proxy = cluster.proxy_inside(&netns);
    let connect = || TcpStream::connect(proxy.address()).map(|_| ());
    assert_eq!(connect().expect_err("another namespace").kind(), ErrorKind::ConnectionRefused);
    netns.run(connect).expect("it listens there");
    proxy.refuse();
    assert_eq!(netns.run(connect).expect_err("refused").kind(), ErrorKind::ConnectionRefused);
    proxy.forward();
    netns.run(connect).expect("it listens there again");
}

#[test]
fn a_cut_ends_connections_that_were_only_just_taken() {
    let cluster = shared();
    let proxy = cluster.proxy();
    // What is held does not end by itself.
    proxy.black_hole();
    let (done, is_done) = std::sync::mpsc::sync_channel(1);
    // Not waited for: it might never end.
    std::thread::spawn(move || {
        for _ in 0..ROUNDS {
            let _connections: Vec<_> = (0..8).map(|_| TcpStream::connect(proxy.address())).collect();
            proxy.cut();
        }
        done.send(()).expect("the test waits");
    });
    is_done.recv_timeout(Duration::from_secs(20)).expect("a cut waits for a connection that nobody ends");
}
