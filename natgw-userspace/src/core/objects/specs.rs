//! One struct per kind. Fields that natgw has no use for are named too: they are valid kube-ovn, not typing errors.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

use super::de::{list, text};

/// Spec of a `VpcNatGateway`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VpcNatGatewaySpec {
    /// Routes on the internal interface.
    #[serde(deserialize_with = "list")]
    pub routes: Vec<RouteSpec>,
    /// VPC name.
    #[serde(deserialize_with = "text")]
    pub vpc: Option<String>,
    /// Subnet of the internal interface.
    #[serde(deserialize_with = "text")]
    pub subnet: Option<String>,
    /// Address of the internal interface.
    #[serde(deserialize_with = "text")]
    pub lan_ip: Option<String>,
    /// Name of a `QoSPolicy`.
    #[serde(deserialize_with = "text")]
    pub qos_policy: Option<String>,
    /// Concerns the gateway's workload.
    pub namespace: Accepted,
    /// Subnets of the external interface; only the first counts.
    #[serde(deserialize_with = "list")]
    pub external_subnets: Vec<String>,
    /// Concerns the gateway's workload.
    pub replicas: Accepted,
    /// Concerns the gateway's workload.
    pub selector: Accepted,
    /// Concerns the gateway's workload.
    pub tolerations: Accepted,
    /// Concerns the gateway's workload.
    pub affinity: Accepted,
    /// Concerns the speaker beside the gateway.
    pub bgp_speaker: Accepted,
    /// Concerns the BFD daemon beside the gateway.
    pub bfd: Accepted,
    /// Concerns the controller's OVN policies.
    pub internal_subnets: Accepted,
    /// Concerns the controller's OVN policies.
    #[serde(rename = "internalCIDRs")]
    pub internal_cidrs: Accepted,
    /// Concerns the gateway's workload.
    #[serde(rename = "noDefaultEIP")]
    pub no_default_eip: Accepted,
    /// Concerns the gateway's workload.
    pub annotations: Accepted,
}

/// One element of [`VpcNatGatewaySpec::routes`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteSpec {
    /// Destination.
    #[serde(deserialize_with = "text")]
    pub cidr: Option<String>,
    /// Next hop; `gateway` means the gateway of the internal interface's subnet.
    #[serde(rename = "nextHopIP", deserialize_with = "text")]
    pub next_hop_ip: Option<String>,
}

/// Spec of an `IptablesEIP`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IptablesEipSpec {
    /// The address.
    #[serde(deserialize_with = "text")]
    pub v4ip: Option<String>,
    /// An IPv6 address; kube-ovn never configures it either.
    #[serde(deserialize_with = "text")]
    pub v6ip: Option<String>,
    /// Name of the gateway that carries it.
    #[serde(deserialize_with = "text")]
    pub nat_gw_dp: Option<String>,
    /// Name of a `QoSPolicy`.
    #[serde(deserialize_with = "text")]
    pub qos_policy: Option<String>,
    /// Concerns the controller's address allocation.
    pub mac_address: Accepted,
    /// Name of the `Subnet` that the address is from.
    #[serde(deserialize_with = "text")]
    pub external_subnet: Option<String>,
    /// Concerns the gateway's workload.
    pub namespace: Accepted,
}

/// Spec of an `IptablesFIPRule`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IptablesFipRuleSpec {
    /// Name of the `IptablesEIP`.
    #[serde(deserialize_with = "text")]
    pub eip: Option<String>,
    /// The pod's address.
    #[serde(deserialize_with = "text")]
    pub internal_ip: Option<String>,
}

/// Spec of an `IptablesDnatRule`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IptablesDnatRuleSpec {
    /// Name of the `IptablesEIP`.
    #[serde(deserialize_with = "text")]
    pub eip: Option<String>,
    /// Port on the EIP.
    #[serde(deserialize_with = "text")]
    pub external_port: Option<String>,
    /// `tcp` or `udp`, in any case.
    #[serde(deserialize_with = "text")]
    pub protocol: Option<String>,
    /// The pod's address.
    #[serde(deserialize_with = "text")]
    pub internal_ip: Option<String>,
    /// The pod's port.
    #[serde(deserialize_with = "text")]
    pub internal_port: Option<String>,
    /// `exclusive` (the default) or `share`.
    #[serde(rename = "type", deserialize_with = "text")]
    pub sharing: Option<String>,
}

/// Spec of an `IptablesSnatRule`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IptablesSnatRuleSpec {
    /// Name of the `IptablesEIP`.
    #[serde(deserialize_with = "text")]
    pub eip: Option<String>,
    /// Source network, or one address.
    #[serde(rename = "internalCIDR", deserialize_with = "text")]
    pub internal_cidr: Option<String>,
}

/// A field of any shape that natgw does not use. (`IgnoredAny` would be reported as an unknown field.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Accepted;

impl<'de> Deserialize<'de> for Accepted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AcceptedVisitor)
    }
}

struct AcceptedVisitor;

impl<'de> Visitor<'de> for AcceptedVisitor {
    type Value = Accepted;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Accepted, E> {
        Ok(Accepted)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Accepted, E> {
        Ok(Accepted)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Accepted, E> {
        Ok(Accepted)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Accepted, E> {
        Ok(Accepted)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Accepted, E> {
        Ok(Accepted)
    }

    fn visit_unit<E: Error>(self) -> Result<Accepted, E> {
        Ok(Accepted)
    }

    fn visit_none<E: Error>(self) -> Result<Accepted, E> {
        Ok(Accepted)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Accepted, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Accepted, A::Error> {
        while seq.next_element::<Accepted>()?.is_some() {}
        Ok(Accepted)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Accepted, A::Error> {
        while map.next_entry::<Accepted, Accepted>()?.is_some() {}
        Ok(Accepted)
    }
}
