//! `VpcNatGateway`: the gateway itself. Most of its fields concern the workload that kube-ovn's controller makes of it.

use std::collections::BTreeMap;

use kube::CustomResource;
use serde_json::{Map, Value};

use super::{Condition, optional_fields, schema};

optional_fields! {
    /// Where the gateway stands and what it may route to.
    #[derive(CustomResource)]
    #[kube(
        group = "kubeovn.io",
        version = "v1",
        kind = "VpcNatGateway",
        plural = "vpc-nat-gateways",
        singular = "vpc-nat-gateway",
        shortname = "vpc-nat-gw",
        status = "VpcNatGatewayStatus",
        derive = "PartialEq",
        doc = "A NAT gateway between a VPC and the physical network.",
        printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.namespace"),
        printcolumn(name = "Vpc", type_ = "string", json_path = ".spec.vpc"),
        printcolumn(name = "Subnet", type_ = "string", json_path = ".spec.subnet"),
        printcolumn(name = "IPs", type_ = "string", json_path = ".status.lanIp"),
        printcolumn(name = "Replicas", type_ = "integer", json_path = ".spec.replicas"),
        printcolumn(name = "Ready", type_ = "boolean", json_path = ".status.ready"),
        printcolumn(name = "BFD", type_ = "boolean", json_path = ".spec.bfd.enabled"),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
        printcolumn(name = "Programmed", type_ = "string", json_path = r#".status.conditions[?(@.type=="Programmed")].status"#)
    )]
    pub struct VpcNatGatewaySpec {
        /// Namespace of the workload.
        namespace: String,
        /// Name of the VPC.
        vpc: String,
        /// Name of the `Subnet` of the internal interface.
        subnet: String,
        /// Names of `Subnet`s of the physical network; the first counts.
        external_subnets: Vec<String>,
        /// Address of the internal interface.
        lan_ip: String,
        /// Pods of the workload.
        #[schemars(range(min = 1), extend("default" = 1))]
        replicas: i32,
        /// Node labels, each as `key: value`.
        selector: Vec<String>,
        /// Tolerations of the pod.
        tolerations: Vec<Toleration>,
        /// Affinity of the pod.
        #[serde(default)]
        #[schemars(schema_with = "schema::open_object")]
        affinity: Map<String, Value>,
        /// Name of a `QoSPolicy`.
        qos_policy: String,
        /// BGP speaker beside the gateway.
        bgp_speaker: BgpSpeaker,
        /// BFD daemon beside the gateway.
        bfd: Bfd,
        /// Subnets whose traffic the controller leads to the gateway.
        internal_subnets: Vec<String>,
        /// Networks whose traffic the controller leads to the gateway.
        #[serde(rename = "internalCIDRs")]
        internal_cidrs: Vec<String>,
        /// Routes on the internal interface.
        routes: Vec<Route>,
        /// Whether the external interface starts without an address.
        #[serde(rename = "noDefaultEIP")]
        no_default_eip: bool,
        /// Annotations of the pod.
        annotations: BTreeMap<String, String>,
    }
}

optional_fields! {
    /// What has become of the gateway.
    pub struct VpcNatGatewayStatus {
        /// Whether its workload is ready.
        ready: bool,
        /// Replicas in force.
        replicas: i32,
        /// Addresses of the internal interfaces, with commas between.
        lan_ip: String,
        /// The workload.
        workload: Workload,
        /// As in the spec, in force.
        qos_policy: String,
        /// As in the spec, in force.
        external_subnets: Vec<String>,
        /// As in the spec, in force.
        selector: Vec<String>,
        /// As in the spec, in force.
        tolerations: Vec<Toleration>,
        /// As in the spec, in force.
        #[serde(default)]
        #[schemars(schema_with = "schema::open_object")]
        affinity: Map<String, Value>,
        /// As in the spec, in force.
        internal_subnets: Vec<String>,
        /// As in the spec, in force.
        #[serde(rename = "internalCIDRs")]
        internal_cidrs: Vec<String>,
        /// What observers say.
        #[serde(default)]
        #[schemars(schema_with = "schema::conditions")]
        conditions: Vec<Condition>,
    }
}

optional_fields! {
    /// A route on the internal interface.
    #[derive(Eq)]
    pub struct Route {
        /// Destination.
        cidr: String,
        /// An address, or `gateway` for the gateway of the subnet.
        #[serde(rename = "nextHopIP")]
        next_hop_ip: String,
    }
}

optional_fields! {
    /// A taint that the pod tolerates.
    #[derive(Eq)]
    pub struct Toleration {
        /// Key of the taint.
        key: String,
        /// `Exists` or `Equal`.
        operator: String,
        /// Value of the taint.
        value: String,
        /// Effect of the taint.
        effect: String,
        /// For how long.
        toleration_seconds: i64,
    }
}

optional_fields! {
    /// BGP speaker.
    #[derive(Eq)]
    pub struct BgpSpeaker {
        /// Whether there is one.
        enabled: bool,
        /// Its AS number.
        // 32 bits without a sign (RFC 6793): more than the published int32.
        asn: i64,
        /// AS number of its neighbours.
        remote_asn: i64,
        /// Addresses of its neighbours.
        neighbors: Vec<String>,
        /// A duration.
        hold_time: String,
        /// Its router ID.
        router_id: String,
        /// TCP MD5 password.
        password: String,
        /// Whether it restarts gracefully.
        enable_graceful_restart: bool,
        /// More arguments.
        extra_args: Vec<String>,
    }
}

optional_fields! {
    /// BFD sessions.
    #[derive(Eq)]
    pub struct Bfd {
        /// Whether there are any.
        #[schemars(extend("default" = false))]
        enabled: bool,
        /// Milliseconds.
        #[serde(rename = "minRX")]
        #[schemars(range(min = 1, max = 3_600_000), extend("default" = 1000))]
        min_rx: i32,
        /// Milliseconds.
        #[serde(rename = "minTX")]
        #[schemars(range(min = 1, max = 3_600_000), extend("default" = 1000))]
        min_tx: i32,
        /// Missing packets until a session is down.
        #[schemars(range(min = 1, max = 255), extend("default" = 3))]
        multiplier: i32,
    }
}

optional_fields! {
    /// The workload of a gateway.
    #[derive(Eq)]
    pub struct Workload {
        /// API version of its kind.
        api_version: String,
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// Nodes of its pods.
        nodes: Vec<String>,
    }
}
