//! Layer `netns`: real packets between real namespaces.
#![allow(missing_docs, reason = "a test binary documents nothing")]

use natgw_tests::Topology;

#[test]
fn topology_forwards_between_client_and_server_when_the_gateway_kernel_routes() {
    let net = Topology::new();
    net.gw.sysctl("net/ipv4/ip_forward", "1");
    net.client.command("ping", &["-c", "1", "-W", "2", "203.0.113.100"]);
    net.client.command("ping", &["-c", "1", "-W", "2", "198.51.100.10"]);
}
