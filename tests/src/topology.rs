//! The network of every test: a VPC, a gateway namespace between it and the outside, and servers outside.
//!
//! ```text
//!  client 10.0.1.2 ┐                                              ┌ server  203.0.113.100
//!  pod2   10.0.1.3 ┤ vpc (switch, VPC router 10.0.1.254)          │
//!                  ├── eth0 10.0.1.1 [gw] net1 203.0.113.1 ── ext ┤ router 203.0.113.254 ── 198.51.100.1
//!  far    10.0.2.2 ┘ (behind the VPC router 10.0.2.1)             │                           │
//!                                                                 └ (switch)       server2 198.51.100.10
//! ```
//!
//! The pods send everything to the gateway, as kube-ovn's VPC route to its `lanIp` does; traffic of one VPC subnet to
//! the other passes the gateway too, in both directions. Outside knows a route to the VPC, so that un-translated
//! packets are seen and answered rather than lost.

mod builder;

use std::net::Ipv4Addr;

pub use self::builder::{Builder, External, Interfaces, Offload};
use crate::Netns;

/// The VPC client.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 2);
/// The second pod of the client's subnet.
pub const POD2: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 3);
/// The pod of the other VPC subnet.
pub const FAR: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// `eth0` of the gateway.
pub const GW_INTERNAL: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);
/// `net1` of the gateway.
pub const GW_EXTERNAL: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The VPC router in the client's subnet.
pub const VPC_ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 254);
/// The router outside, default gateway of `net1`.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 254);
/// The server on the external subnet.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 100);
/// The server behind the router.
pub const SERVER2: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);

/// The namespaces; all of them vanish when it is dropped.
#[derive(Debug)]
pub struct Topology {
    /// The VPC client 10.0.1.2.
    pub client: Netns,
    /// The second pod 10.0.1.3.
    pub pod2: Netns,
    /// The pod 10.0.2.2 of another VPC subnet.
    pub far: Netns,
    /// Switch and router of the VPC (OVS's place).
    pub vpc: Netns,
    /// The gateway: `eth0` and `net1`.
    pub gw: Netns,
    /// The external switch; holds the node's NIC when `net1` sits on one.
    pub ext: Netns,
    /// The server 203.0.113.100.
    pub server: Netns,
    /// The external router.
    pub router: Netns,
    /// The server 198.51.100.10.
    pub server2: Netns,
    builder: Builder,
}

impl Topology {
    /// The plain network: veth everywhere, MTU 1500, offloads on.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// For the variants.
    #[must_use]
    pub const fn builder() -> Builder {
        Builder::DEFAULT
    }

    fn build(builder: Builder) -> Self {
        let topology = Self {
            client: Netns::new("client"),
            pod2: Netns::new("pod2"),
            far: Netns::new("far"),
            vpc: Netns::new("vpc"),
            gw: Netns::new("gw"),
            ext: Netns::new("ext"),
            server: Netns::new("server"),
            router: Netns::new("router"),
            server2: Netns::new("server2"),
            builder,
        };
        topology.set_sysctls();
        topology.link();
        topology.set_addresses();
        if builder.interfaces == Interfaces::Present {
            topology.plug_external();
        }
        topology.set_offloads();
        topology.wait_links();
        topology
    }

    /// The namespaces of hosts and routers, that is of everything but the switches.
    #[must_use]
    pub fn hosts(&self) -> [&Netns; 5] {
        [&self.client, &self.pod2, &self.far, &self.server, &self.server2]
    }

    fn set_sysctls(&self) {
        for router in [&self.vpc, &self.router] {
            router.sysctl("net/ipv4/ip_forward", "1");
            router.sysctl("net/ipv4/conf/all/send_redirects", "0");
            router.sysctl("net/ipv4/conf/default/send_redirects", "0");
        }
        for ns in [&self.client, &self.pod2, &self.far, &self.server, &self.server2, &self.router, &self.vpc] {
            // A test counts the errors it provokes, so no host may hold some back.
            ns.sysctl("net/ipv4/icmp_ratelimit", "0");
        }
        self.set_gateway_sysctls();
    }

    /// What a fresh pod has, or worse.
    fn set_gateway_sysctls(&self) {
        // A fresh pod on a distribution that filters reverse paths: the daemon has to set what it needs by itself.
        for (key, value) in [
            ("ip_forward", "0"),
            ("icmp_ratelimit", "0"),
            ("conf/all/rp_filter", "1"),
            ("conf/default/rp_filter", "1"),
            ("conf/all/accept_local", "0"),
            ("conf/default/accept_local", "0"),
            ("conf/all/send_redirects", "1"),
            ("conf/default/send_redirects", "1"),
        ] {
            self.gw.sysctl(&format!("net/ipv4/{key}"), value);
        }
    }

    fn link(&self) {
        let pair = |a: &str, na: &Netns, b: &str, nb: &Netns, mtu: u32| {
            let (na, nb) = (na.name(), nb.name());
            // An index that its peer cannot have: the kernel takes a veth for a lone device, and its carrier for
            // something that can wait a second, when both ends happen to have the same number.
            format!("link add {a} index 100 netns {na} mtu {mtu} type veth peer name {b} netns {nb} mtu {mtu}")
        };
        let Builder { internal_mtu, external_mtu, router_mtu, far_mtu, .. } = self.builder;
        crate::command::ip_batch(
            None,
            &[
                pair("eth0", &self.client, "client", &self.vpc, internal_mtu),
                pair("eth0", &self.pod2, "pod2", &self.vpc, internal_mtu),
                pair("eth0", &self.far, "far", &self.vpc, far_mtu),
                pair("eth0", &self.gw, "gw", &self.vpc, internal_mtu),
                pair("eth0", &self.server, "server", &self.ext, external_mtu),
                pair("eth0", &self.router, "router", &self.ext, external_mtu),
                pair("eth0", &self.server2, "eth1", &self.router, router_mtu),
            ],
        );
    }

    fn set_addresses(&self) {
        let host = |address: &str, gateway: &str| {
            vec![
                format!("addr add {address} dev eth0"),
                "link set eth0 up".to_owned(),
                format!("route add default via {gateway}"),
            ]
        };
        self.client.ip(&host("10.0.1.2/24", "10.0.1.1"));
        self.pod2.ip(&host("10.0.1.3/24", "10.0.1.1"));
        self.far.ip(&host("10.0.2.2/24", "10.0.2.1"));
        let Builder { internal_mtu, external_mtu, .. } = self.builder;
        self.vpc.ip(&[
            format!("link add br0 mtu {internal_mtu} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"),
            "link set client master br0 up".into(),
            "link set pod2 master br0 up".into(),
            "link set gw master br0 up".into(),
            "addr add 10.0.1.254/24 dev br0".into(),
            "link set br0 up".into(),
            "addr add 10.0.2.1/24 dev far".into(),
            "link set far up".into(),
            "route add default via 10.0.1.1".into(),
            // Between the subnets through the gateway in both directions.
            "route add 10.0.1.2/32 via 10.0.1.1".into(),
            "route add 10.0.1.3/32 via 10.0.1.1".into(),
        ]);
        self.gw.ip(&["addr add 10.0.1.1/24 dev eth0".into(), "link set eth0 up".into()]);
        self.ext.ip(&[
            format!("link add br0 mtu {external_mtu} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"),
            "link set server master br0 up".into(),
            "link set router master br0 up".into(),
            "link set br0 up".into(),
        ]);
        let mut server = host("203.0.113.100/24", "203.0.113.254");
        server.push("route add 10.0.0.0/8 via 203.0.113.1".into());
        self.server.ip(&server);
        self.router.ip(&[
            "addr add 203.0.113.254/24 dev eth0".into(),
            "addr add 198.51.100.1/24 dev eth1".into(),
            "link set eth0 up".into(),
            "link set eth1 up".into(),
            "route add 10.0.0.0/8 via 203.0.113.1".into(),
        ]);
        self.server2.ip(&host("198.51.100.10/24", "198.51.100.1"));
    }

    /// Gives the gateway its `net1` (again), with the address and the default route that the CNI would set.
    ///
    /// # Panics
    /// When the machine refuses.
    pub fn plug_external(&self) {
        let mtu = self.builder.external_mtu;
        let (gw, ext) = (self.gw.name(), self.ext.name());
        let port = "link set port master br0 up".to_owned();
        match self.builder.external {
            External::Veth => {
                crate::command::ip_batch(
                    None,
                    &[format!(
                        "link add net1 index 101 netns {gw} mtu {mtu} type veth peer name port netns {ext} mtu {mtu}"
                    )],
                );
                self.ext.ip(&[port]);
            }
            External::Macvlan => self.ext.ip(&[
                format!("link add nic mtu {mtu} type veth peer name port mtu {mtu}"),
                port,
                "link set nic up promisc on".into(),
                "link add link nic name net1 type macvlan mode bridge".into(),
                format!("link set net1 netns {gw}"),
            ]),
            External::Vlan => {
                self.ext.ip(&[
                    format!("link add nic mtu {mtu} type veth peer name trunk mtu {mtu}"),
                    "link set trunk up".into(),
                    "link add link trunk name port type vlan id 100".into(),
                    port,
                    "link set nic up".into(),
                    "link add link nic name net1 type vlan id 100".into(),
                    format!("link set net1 netns {gw}"),
                ]);
            }
            External::VlanInside => {
                crate::command::ip_batch(
                    None,
                    &[format!(
                        "link add nic index 101 netns {gw} mtu {mtu} type veth peer name trunk netns {ext} mtu {mtu}"
                    )],
                );
                self.ext.ip(&[
                    "link set trunk up".into(),
                    "link add link trunk name port type vlan id 100".into(),
                    port,
                ]);
                self.gw.ip(&["link set nic up".into(), "link add link nic name net1 type vlan id 100".into()]);
            }
        }
        self.gw.ip(&[
            "addr add 203.0.113.1/24 dev net1".into(),
            "link set net1 up".into(),
            "route add default via 203.0.113.254 dev net1".into(),
        ]);
    }

    /// Takes `net1` away, as a re-plugged network does.
    ///
    /// # Panics
    /// When it is not there.
    pub fn unplug_external(&self) {
        match self.builder.external {
            External::Veth | External::Macvlan | External::Vlan => self.gw.ip(&["link del net1".into()]),
            External::VlanInside => self.gw.ip(&["link del nic".into()]),
        }
        if matches!(self.builder.external, External::Macvlan | External::Vlan) {
            self.ext.ip(&["link del nic".into()]);
        }
    }

    /// What a node's reboot does to the pod: a new network namespace with new interfaces of other MAC addresses in the
    /// place of the old. Whoever still runs in the old one keeps it alive, and has to be ended first.
    pub fn rebuild_gateway(&mut self) {
        // At once: the kernel takes its time with a namespace, and the names of the peers are needed again.
        self.unplug_external();
        self.gw.ip(&["link del eth0".into()]);
        self.gw = Netns::new("gw");
        self.set_gateway_sysctls();
        let Builder { internal_mtu: mtu, .. } = self.builder;
        let (gw, vpc) = (self.gw.name(), self.vpc.name());
        crate::command::ip_batch(
            None,
            &[format!("link add eth0 index 100 netns {gw} mtu {mtu} type veth peer name gw netns {vpc} mtu {mtu}")],
        );
        self.vpc.ip(&["link set gw master br0 up".into()]);
        self.gw.ip(&["addr add 10.0.1.1/24 dev eth0".into(), "link set eth0 up".into()]);
        self.plug_external();
        self.wait_links();
    }

    /// Waits until every link of the network carries packets. The kernel brings a link up in the background: until
    /// then a new interface silently drops what it is given, which a probe would count as lost.
    ///
    /// # Panics
    /// When one stays down.
    pub fn wait_links(&self) {
        for ns in [
            &self.client,
            &self.pod2,
            &self.far,
            &self.vpc,
            &self.gw,
            &self.ext,
            &self.server,
            &self.router,
            &self.server2,
        ] {
            ns.wait_links();
        }
    }

    fn set_offloads(&self) {
        if self.builder.offload == Offload::On {
            return;
        }
        for host in self.hosts() {
            host.command("ethtool", &["-K", "eth0", "tx", "off", "tso", "off", "gso", "off", "gro", "off"]);
        }
    }

    /// The gateway's internal interface's route to the other VPC subnet, for tests that do not set it by a rule.
    ///
    /// # Panics
    /// When the machine refuses.
    pub fn route_far_subnet(&self) {
        self.gw.ip(&["route replace 10.0.2.0/24 via 10.0.1.254 dev eth0".into()]);
    }
}

impl Default for Topology {
    fn default() -> Self {
        Self::new()
    }
}
