//! What every other test here stands on: a gateway and a cluster side by side. Servers that start take every processor
//! they can get, and packets must not notice; the way from inside the gateway to the API server uses none of its
//! interfaces.

use std::net::{SocketAddrV4, TcpStream};

use natgw_tests::{
    Cluster, Lab, Rules,
    lab::EIP1,
    probe::{MILLISECOND, UdpEcho, UdpProbe},
    topology::SERVER,
};

const VPC_CIDR: &str = "10.0.1.0/24";

#[test]
fn packets_do_not_notice_servers_that_start_and_die() {
    let lab = Lab::new(&Rules::new().eip("eip1", EIP1).snat("eip1", VPC_CIDR));
    let net = &lab.net;
    let _echo = UdpEcho::start(&net.server, 7002);
    let probe = UdpProbe::start(&net.client, SocketAddrV4::new(SERVER, 7002), MILLISECOND);
    probe.wait_answers(100);

    let cluster = Cluster::start();
    let proxy = cluster.proxy_inside(&net.gw);
    let reach = || net.gw.run(|| TcpStream::connect(proxy.address()).map(|_| ()));
    reach().expect("the gateway reaches the API server");
    cluster.kill_apiserver();
    proxy.refuse();
    reach().expect_err("nobody listens");
    cluster.restart_etcd();
    cluster.start_apiserver();
    proxy.forward();
    reach().expect("the gateway reaches the API server again");
    probe.wait_answers(100);
    probe.stop().assert_lossless("SNAT by UDP");
}
