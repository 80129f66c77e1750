//! `IptablesFIPRule`, `IptablesDnatRule`, `IptablesSnatRule`: what is done with an elastic IP.

use kube::CustomResource;

use super::{Condition, optional_fields, schema};

optional_fields! {
    /// One elastic IP and one pod are the same host.
    #[derive(CustomResource)]
    #[kube(
        group = "kubeovn.io",
        version = "v1",
        kind = "IptablesFIPRule",
        root = "IptablesFipRule",
        plural = "iptables-fip-rules",
        singular = "iptables-fip-rule",
        shortname = "fip",
        status = "IptablesFipRuleStatus",
        derive = "PartialEq",
        doc = "A floating IP: an elastic IP and a pod are one host to the outside, for every IP protocol.",
        printcolumn(name = "Eip", type_ = "string", json_path = ".spec.eip"),
        printcolumn(name = "V4ip", type_ = "string", json_path = ".status.v4ip"),
        printcolumn(name = "InternalIp", type_ = "string", json_path = ".spec.internalIp"),
        printcolumn(name = "V6ip", type_ = "string", json_path = ".status.v6ip"),
        printcolumn(name = "Ready", type_ = "boolean", json_path = ".status.ready"),
        printcolumn(name = "NatGwDp", type_ = "string", json_path = ".status.natGwDp"),
        printcolumn(name = "Programmed", type_ = "string", json_path = r#".status.conditions[?(@.type=="Programmed")].status"#)
    )]
    pub struct IptablesFipRuleSpec {
        /// Name of the `IptablesEIP`.
        eip: String,
        /// The pod's IPv4 address.
        internal_ip: String,
    }
}

optional_fields! {
    /// What has become of a floating IP.
    pub struct IptablesFipRuleStatus {
        /// Whether it is in force.
        ready: bool,
        /// IPv4 address of the elastic IP.
        v4ip: String,
        /// IPv6 address of the elastic IP.
        v6ip: String,
        /// The gateway.
        nat_gw_dp: String,
        /// Mark of kube-ovn's controller.
        redo: String,
        /// The pod's address in force.
        internal_ip: String,
        /// What observers say.
        #[serde(default)]
        #[schemars(schema_with = "schema::conditions")]
        conditions: Vec<Condition>,
    }
}

optional_fields! {
    /// A port of an elastic IP, and where it leads.
    #[derive(CustomResource)]
    #[kube(
        group = "kubeovn.io",
        version = "v1",
        kind = "IptablesDnatRule",
        plural = "iptables-dnat-rules",
        singular = "iptables-dnat-rule",
        shortname = "dnat",
        status = "IptablesDnatRuleStatus",
        derive = "PartialEq",
        doc = "A port mapping: a port of an elastic IP leads to a port of a pod.",
        printcolumn(name = "Eip", type_ = "string", json_path = ".spec.eip"),
        printcolumn(name = "Protocol", type_ = "string", json_path = ".spec.protocol"),
        printcolumn(name = "V4ip", type_ = "string", json_path = ".status.v4ip"),
        printcolumn(name = "V6ip", type_ = "string", json_path = ".status.v6ip"),
        printcolumn(name = "InternalIp", type_ = "string", json_path = ".spec.internalIp"),
        printcolumn(name = "ExternalPort", type_ = "string", json_path = ".spec.externalPort"),
        printcolumn(name = "InternalPort", type_ = "string", json_path = ".spec.internalPort"),
        printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
        printcolumn(name = "NatGwDp", type_ = "string", json_path = ".status.natGwDp"),
        printcolumn(name = "Ready", type_ = "boolean", json_path = ".status.ready"),
        printcolumn(name = "Programmed", type_ = "string", json_path = r#".status.conditions[?(@.type=="Programmed")].status"#)
    )]
    pub struct IptablesDnatRuleSpec {
        /// Name of the `IptablesEIP`.
        eip: String,
        /// Port of the elastic IP, 1 to 65535.
        external_port: String,
        /// `tcp` or `udp`.
        protocol: String,
        /// The pod's IPv4 address.
        internal_ip: String,
        /// Port of the pod, 1 to 65535.
        internal_port: String,
        /// Whether other rules may have the same port and protocol.
        // Text and not an enum: an object of a later kube-ovn must stay readable.
        #[serde(rename = "type")]
        #[schemars(extend("enum" = ["exclusive", "share"], "default" = "exclusive"))]
        sharing: String,
    }
}

optional_fields! {
    /// What has become of a port mapping.
    pub struct IptablesDnatRuleStatus {
        /// Whether it is in force.
        ready: bool,
        /// IPv4 address of the elastic IP.
        v4ip: String,
        /// IPv6 address of the elastic IP.
        v6ip: String,
        /// The gateway.
        nat_gw_dp: String,
        /// Mark of kube-ovn's controller.
        redo: String,
        /// Protocol in force.
        protocol: String,
        /// The pod's address in force.
        internal_ip: String,
        /// The pod's port in force.
        internal_port: String,
        /// The elastic IP's port in force.
        external_port: String,
        /// What observers say.
        #[serde(default)]
        #[schemars(schema_with = "schema::conditions")]
        conditions: Vec<Condition>,
    }
}

optional_fields! {
    /// A source network and the elastic IP behind which it hides.
    #[derive(CustomResource)]
    #[kube(
        group = "kubeovn.io",
        version = "v1",
        kind = "IptablesSnatRule",
        plural = "iptables-snat-rules",
        singular = "iptables-snat-rule",
        shortname = "snat",
        status = "IptablesSnatRuleStatus",
        derive = "PartialEq",
        doc = "Source NAT: pods of a network reach the outside with an elastic IP as their source.",
        printcolumn(name = "EIP", type_ = "string", json_path = ".spec.eip"),
        printcolumn(name = "V4ip", type_ = "string", json_path = ".status.v4ip"),
        printcolumn(name = "V6ip", type_ = "string", json_path = ".status.v6ip"),
        printcolumn(name = "InternalCIDR", type_ = "string", json_path = ".spec.internalCIDR"),
        printcolumn(name = "NatGwDp", type_ = "string", json_path = ".status.natGwDp"),
        printcolumn(name = "Ready", type_ = "boolean", json_path = ".status.ready"),
        printcolumn(name = "Programmed", type_ = "string", json_path = r#".status.conditions[?(@.type=="Programmed")].status"#)
    )]
    pub struct IptablesSnatRuleSpec {
        /// Name of the `IptablesEIP`.
        eip: String,
        /// The source network, or one address.
        #[serde(rename = "internalCIDR")]
        internal_cidr: String,
    }
}

optional_fields! {
    /// What has become of source NAT.
    pub struct IptablesSnatRuleStatus {
        /// Whether it is in force.
        ready: bool,
        /// IPv4 address of the elastic IP.
        v4ip: String,
        /// IPv6 address of the elastic IP.
        v6ip: String,
        /// The gateway.
        nat_gw_dp: String,
        /// Mark of kube-ovn's controller.
        redo: String,
        /// The source network in force.
        #[serde(rename = "internalCIDR")]
        internal_cidr: String,
        /// What observers say.
        #[serde(default)]
        #[schemars(schema_with = "schema::conditions")]
        conditions: Vec<Condition>,
    }
}
