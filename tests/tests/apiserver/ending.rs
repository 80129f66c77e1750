//! A test process that is killed takes its servers with it.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

use natgw_tests::{Cluster, clock};

const ROLE: &str = "NATGW_TEST_ROLE";
const READY: &str = "the cluster is at ";

#[test]
fn servers_end_with_a_test_process_that_is_killed() {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "ending::starts_a_cluster_and_waits", "--ignored", "--nocapture", "--test-threads=1"])
        .env(ROLE, "wait")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let places = lines.find_map(|line| line.split_once(READY).map(|(_, places)| places.to_owned()));
    let places = places.expect("the cluster starts");
    let (address, dir) = places.split_once(" in ").unwrap();
    let address: SocketAddr = address.parse().unwrap();
    TcpStream::connect(address).expect("it runs");
    child.kill().unwrap();
    child.wait().unwrap();
    // Their end is the kernel's work and has no event for others.
    clock::eventually("the API server is gone", Duration::from_secs(10), || TcpStream::connect(address).is_err());
    // The next run would do it. etcd may be dying still, with files in the making.
    clock::eventually("its files are gone", Duration::from_secs(10), || fs::remove_dir_all(dir).is_ok());
}

/// The process to kill.
#[test]
#[ignore = "another test starts it as a process of its own"]
fn starts_a_cluster_and_waits() {
    if env::var_os(ROLE).is_none() {
        return;
    }
    let cluster = Cluster::start();
    println!("{READY}{} in {}", cluster.apiserver_address(), cluster.dir().display());
    // Until it is killed, or the test that would do it has ended.
    let _ = std::io::stdin().lines().next();
}
