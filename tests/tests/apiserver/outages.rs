//! The servers are killed and come back.

use std::{io::ErrorKind, net::TcpStream, time::Instant};

use natgw_tests::Cluster;

use crate::support::{get, namespace, put};

#[test]
fn killed_servers_come_back_at_the_same_address_with_every_object() {
    let started = Instant::now();
    let cluster = Cluster::start();
    println!("started in {:.1} s", started.elapsed().as_secs_f64());
    let (url, admin) = (cluster.apiserver_url(), cluster.admin());
    let namespace = namespace(&cluster);
    put(&cluster, &namespace, "one", "1");

    cluster.kill_apiserver();
    let refused = TcpStream::connect(cluster.apiserver_address()).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert!(cluster.block_on(get(&admin, &namespace, "one")).is_err());

    let killed = Instant::now();
    cluster.start_apiserver();
    println!("the API server is back after {:.1} s", killed.elapsed().as_secs_f64());
    assert_eq!(cluster.apiserver_url(), url);
    assert_eq!(cluster.block_on(get(&admin, &namespace, "one")).unwrap(), "1");

    put(&cluster, &namespace, "one", "2");
    let killed = Instant::now();
    cluster.restart_etcd();
    println!("etcd is back after {:.1} s", killed.elapsed().as_secs_f64());
    assert_eq!(cluster.block_on(get(&admin, &namespace, "one")).unwrap(), "2");
    put(&cluster, &namespace, "one", "3");
    assert_eq!(cluster.block_on(get(&admin, &namespace, "one")).unwrap(), "3");
}
