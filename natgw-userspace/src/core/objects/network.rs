//! Specs of the kinds that surround a gateway: bandwidth policies and subnets.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    de::{list, text},
    specs::Accepted,
};

/// Spec of a `QoSPolicy`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QosPolicySpec {
    /// Whether several objects may use it.
    pub shared: Option<bool>,
    /// `EIP` or `NATGW`.
    #[serde(deserialize_with = "text")]
    pub binding_type: Option<String>,
    /// Its limits.
    #[serde(deserialize_with = "list")]
    pub bandwidth_limit_rules: Vec<BandwidthLimitRule>,
}

/// One limit of a [`QosPolicySpec`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BandwidthLimitRule {
    /// Its name within the policy.
    #[serde(deserialize_with = "text")]
    pub name: Option<String>,
    /// The interface that is limited.
    #[serde(deserialize_with = "text")]
    pub interface: Option<String>,
    /// Mbit/s, decimals allowed.
    #[serde(deserialize_with = "text")]
    pub rate_max: Option<String>,
    /// MB, decimals allowed.
    #[serde(deserialize_with = "text")]
    pub burst_max: Option<String>,
    /// The lowest decides.
    pub priority: Option<i64>,
    /// `ingress` or `egress`.
    #[serde(deserialize_with = "text")]
    pub direction: Option<String>,
    /// `ip`, or absent for everything.
    #[serde(deserialize_with = "text")]
    pub match_type: Option<String>,
    /// `src CIDR` or `dst CIDR`.
    #[serde(deserialize_with = "text")]
    pub match_value: Option<String>,
}

/// Spec of a `Subnet`: the part that concerns gateways. kube-ovn has some forty more fields, which are no typing errors.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubnetSpec {
    /// The VPC it belongs to; kube-ovn's own (`ovn-cluster`) when absent.
    #[serde(deserialize_with = "text")]
    pub vpc: Option<String>,
    /// Its networks: IPv4, IPv6, or both with a comma.
    #[serde(deserialize_with = "text")]
    pub cidr_block: Option<String>,
    /// Its gateways, in the same form.
    #[serde(deserialize_with = "text")]
    pub gateway: Option<String>,
    /// `ovn` or `NAME.NAMESPACE.ovn` for overlay networks; anything else is attached by multus.
    #[serde(deserialize_with = "text")]
    pub provider: Option<String>,
    /// Set for underlay networks.
    #[serde(deserialize_with = "text")]
    pub vlan: Option<String>,
    /// Whether an underlay network is connected to the overlay.
    pub u2o_interconnection: Option<bool>,
    /// Everything else.
    #[expect(clippy::zero_sized_map_values, reason = "serde flattens into maps only")]
    #[serde(flatten)]
    pub rest: BTreeMap<String, Accepted>,
}
