//! The `kubeovn.io/v1` objects that natgw reads, as their authors wrote them.
//!
//! Fields are raw text: what they mean is judged in one place, [`super::desired`], so that a bad value becomes a
//! diagnostic and never a parse error. Unknown fields are skipped here and reported by the source.

mod de;
mod name;
mod network;
mod specs;
mod timestamp;

use std::{fmt, sync::Arc};

use super::printable::Printable;
use serde::{Deserializer, Serialize, Serializer, de::Deserialize as _};

pub use name::name_fault;
pub use network::{BandwidthLimitRule, QosPolicySpec, SubnetSpec};
pub use specs::{
    Accepted, IptablesDnatRuleSpec, IptablesEipSpec, IptablesFipRuleSpec, IptablesSnatRuleSpec, RouteSpec,
    VpcNatGatewaySpec,
};
pub use timestamp::{Timestamp, TimestampError};

/// Group and version of every kind in [`Kind`].
pub const API_VERSION: &str = "kubeovn.io/v1";

/// The kinds that natgw programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A gateway: its routes.
    VpcNatGateway,
    /// An elastic IP.
    IptablesEip,
    /// A floating IP: one EIP to one pod address, any protocol.
    IptablesFipRule,
    /// A port mapping: EIP:port to pod:port.
    IptablesDnatRule,
    /// Source NAT: a CIDR to an EIP.
    IptablesSnatRule,
    /// Bandwidth limits: read and reported, not enforced.
    QosPolicy,
    /// A network of kube-ovn: prefixes, gateways and what else is in the VPC.
    Subnet,
}

impl Kind {
    /// Every kind, in the order in which they depend on each other.
    pub const ALL: [Self; 7] = [
        Self::VpcNatGateway,
        Self::IptablesEip,
        Self::IptablesFipRule,
        Self::IptablesDnatRule,
        Self::IptablesSnatRule,
        Self::QosPolicy,
        Self::Subnet,
    ];

    /// The kinds without which nothing can be said about what a gateway should do.
    pub const REQUIRED: [Self; 5] =
        [Self::VpcNatGateway, Self::IptablesEip, Self::IptablesFipRule, Self::IptablesDnatRule, Self::IptablesSnatRule];

    /// The kind's name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::VpcNatGateway => "VpcNatGateway",
            Self::IptablesEip => "IptablesEIP",
            Self::IptablesFipRule => "IptablesFIPRule",
            Self::IptablesDnatRule => "IptablesDnatRule",
            Self::IptablesSnatRule => "IptablesSnatRule",
            Self::QosPolicy => "QoSPolicy",
            Self::Subnet => "Subnet",
        }
    }

    /// Its name in URLs and RBAC rules.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::VpcNatGateway => "vpc-nat-gateways",
            Self::IptablesEip => "iptables-eips",
            Self::IptablesFipRule => "iptables-fip-rules",
            Self::IptablesDnatRule => "iptables-dnat-rules",
            Self::IptablesSnatRule => "iptables-snat-rules",
            Self::QosPolicy => "qos-policies",
            Self::Subnet => "subnets",
        }
    }

    /// The kind with exactly this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What identifies an object: all kinds are cluster-scoped. Prints and serializes as `Kind/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// `metadata.name`. Shared: each of ten thousand keys is kept in several places.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// The key of `kind`/`name`.
    #[must_use]
    pub fn new(kind: Kind, name: impl Into<Arc<str>>) -> Self {
        Self { kind, name: name.into() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, Printable(&self.name))
    }
}

impl Serialize for ObjectKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One object of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Kind and name. The kind is that of `spec`.
    pub key: ObjectKey,
    /// `metadata.creationTimestamp`. Without one an object counts as older than all that have one.
    pub created: Option<Timestamp>,
    /// `metadata.generation`, 0 when absent.
    pub generation: i64,
    /// Somebody has deleted it and a finalizer still keeps it (`metadata.deletionTimestamp`).
    pub deleting: bool,
    /// What it asks for.
    pub spec: Spec,
}

impl Object {
    /// An object without a timestamp, as a hand-written manifest gives it.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, spec: impl Into<Spec>) -> Self {
        let spec = spec.into();
        Self { key: ObjectKey::new(spec.kind(), name), created: None, generation: 0, deleting: false, spec }
    }

    /// The same object, created at `created`.
    #[must_use]
    pub const fn created_at(mut self, created: Timestamp) -> Self {
        self.created = Some(created);
        self
    }

    /// What decides between objects that want the same thing: the smallest wins.
    #[must_use]
    pub fn seniority(&self) -> (Option<Timestamp>, &str) {
        (self.created, &self.key.name)
    }
}

/// The spec of each kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spec {
    /// See [`Kind::VpcNatGateway`].
    VpcNatGateway(VpcNatGatewaySpec),
    /// See [`Kind::IptablesEip`].
    IptablesEip(IptablesEipSpec),
    /// See [`Kind::IptablesFipRule`].
    IptablesFipRule(IptablesFipRuleSpec),
    /// See [`Kind::IptablesDnatRule`].
    IptablesDnatRule(IptablesDnatRuleSpec),
    /// See [`Kind::IptablesSnatRule`].
    IptablesSnatRule(IptablesSnatRuleSpec),
    /// See [`Kind::QosPolicy`].
    QosPolicy(QosPolicySpec),
    /// See [`Kind::Subnet`].
    Subnet(SubnetSpec),
}

impl Spec {
    /// The kind this is the spec of.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::VpcNatGateway(_) => Kind::VpcNatGateway,
            Self::IptablesEip(_) => Kind::IptablesEip,
            Self::IptablesFipRule(_) => Kind::IptablesFipRule,
            Self::IptablesDnatRule(_) => Kind::IptablesDnatRule,
            Self::IptablesSnatRule(_) => Kind::IptablesSnatRule,
            Self::QosPolicy(_) => Kind::QosPolicy,
            Self::Subnet(_) => Kind::Subnet,
        }
    }

    /// A spec with no field set.
    #[must_use]
    pub fn empty(kind: Kind) -> Self {
        match kind {
            Kind::VpcNatGateway => Self::VpcNatGateway(VpcNatGatewaySpec::default()),
            Kind::IptablesEip => Self::IptablesEip(IptablesEipSpec::default()),
            Kind::IptablesFipRule => Self::IptablesFipRule(IptablesFipRuleSpec::default()),
            Kind::IptablesDnatRule => Self::IptablesDnatRule(IptablesDnatRuleSpec::default()),
            Kind::IptablesSnatRule => Self::IptablesSnatRule(IptablesSnatRuleSpec::default()),
            Kind::QosPolicy => Self::QosPolicy(QosPolicySpec::default()),
            Kind::Subnet => Self::Subnet(SubnetSpec::default()),
        }
    }

    /// Reads the spec of an object of `kind`.
    ///
    /// # Errors
    /// Those of `deserializer`: a field of the wrong type.
    pub fn deserialize<'de, D: Deserializer<'de>>(kind: Kind, deserializer: D) -> Result<Self, D::Error> {
        Ok(match kind {
            Kind::VpcNatGateway => VpcNatGatewaySpec::deserialize(deserializer)?.into(),
            Kind::IptablesEip => IptablesEipSpec::deserialize(deserializer)?.into(),
            Kind::IptablesFipRule => IptablesFipRuleSpec::deserialize(deserializer)?.into(),
            Kind::IptablesDnatRule => IptablesDnatRuleSpec::deserialize(deserializer)?.into(),
            Kind::IptablesSnatRule => IptablesSnatRuleSpec::deserialize(deserializer)?.into(),
            Kind::QosPolicy => QosPolicySpec::deserialize(deserializer)?.into(),
            Kind::Subnet => SubnetSpec::deserialize(deserializer)?.into(),
        })
    }
}

macro_rules! spec_from {
    ($($spec:ident => $variant:ident,)*) => {
        $(impl From<$spec> for Spec {
            fn from(spec: $spec) -> Self {
                Self::$variant(spec)
            }
        })*
    };
}

spec_from! {
    VpcNatGatewaySpec => VpcNatGateway,
    IptablesEipSpec => IptablesEip,
    IptablesFipRuleSpec => IptablesFipRule,
    IptablesDnatRuleSpec => IptablesDnatRule,
    IptablesSnatRuleSpec => IptablesSnatRule,
    QosPolicySpec => QosPolicy,
    SubnetSpec => Subnet,
}
