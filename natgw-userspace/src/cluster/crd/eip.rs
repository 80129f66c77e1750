//! `IptablesEIP`: an elastic IP.

use kube::CustomResource;

use super::{Condition, optional_fields, schema};

optional_fields! {
    /// The address, and the gateway that carries it.
    #[derive(CustomResource)]
    #[kube(
        group = "kubeovn.io",
        version = "v1",
        kind = "IptablesEIP",
        root = "IptablesEip",
        plural = "iptables-eips",
        singular = "iptables-eip",
        shortname = "eip",
        status = "IptablesEipStatus",
        derive = "PartialEq",
        doc = "An elastic IP: an address of the physical network that a VPC NAT gateway answers for.",
        printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.namespace"),
        printcolumn(name = "ExternalSubnet", type_ = "string", json_path = ".spec.externalSubnet"),
        printcolumn(name = "IP", type_ = "string", json_path = ".status.ip"),
        printcolumn(name = "Mac", type_ = "string", json_path = ".spec.macAddress"),
        printcolumn(name = "Nat", type_ = "string", json_path = ".status.nat"),
        printcolumn(name = "NatGwDp", type_ = "string", json_path = ".spec.natGwDp"),
        printcolumn(name = "Ready", type_ = "boolean", json_path = ".status.ready"),
        printcolumn(name = "Programmed", type_ = "string", json_path = r#".status.conditions[?(@.type=="Programmed")].status"#)
    )]
    pub struct IptablesEipSpec {
        /// The IPv4 address. kube-ovn's controller allocates one when it is empty.
        v4ip: String,
        /// An IPv6 address.
        v6ip: String,
        /// Concerns the address allocation of kube-ovn's controller.
        mac_address: String,
        /// Name of the `VpcNatGateway`.
        nat_gw_dp: String,
        /// Name of a `QoSPolicy`.
        qos_policy: String,
        /// Name of the `Subnet` that the address belongs to.
        external_subnet: String,
        /// Namespace of the gateway's pod.
        namespace: String,
    }
}

optional_fields! {
    /// What has become of an elastic IP.
    pub struct IptablesEipStatus {
        /// Whether the gateway carries it.
        ready: bool,
        /// The IPv4 address.
        ip: String,
        /// Kinds of rules that use it, with commas between: `dnat`, `fip`, `snat`.
        nat: String,
        /// Mark of kube-ovn's controller.
        redo: String,
        /// Name of the `QoSPolicy` in force.
        qos_policy: String,
        /// What observers say.
        #[serde(default)]
        #[schemars(schema_with = "schema::conditions")]
        conditions: Vec<Condition>,
    }
}
