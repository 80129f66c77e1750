//! The custom resources: typed objects, their definitions, and `natgw crds`, which prints those.
//!
//! The definitions are for clusters without kube-ovn. They accept every object that kube-ovn's published schema accepts
//! and keep every field of it; what they add is `status.conditions` on every kind, as a map by `type` so that several
//! writers can share it, and a column that shows natgw's own condition. What a spec *means* is not judged here: rules are
//! read by [`crate::core::objects`], which is more tolerant than any schema.
//!
//! No field is required, as in kube-ovn, and none is nullable: the API server then drops an explicit null before it
//! applies a default, also as in kube-ovn.

mod condition;
mod eip;
mod gateway;
mod print;
mod qos;
mod rules;
mod schema;
mod subnet;
#[cfg(test)]
mod tests;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

pub use condition::{CONDITION_PROGRAMMED, Condition};
pub use eip::{IptablesEip, IptablesEipSpec, IptablesEipStatus};
pub use gateway::{
    Bfd, BgpSpeaker, Route, Toleration, VpcNatGateway, VpcNatGatewaySpec, VpcNatGatewayStatus, Workload,
};
pub use print::{parse_kind, print};
pub use qos::{BandwidthLimitRule, QosPolicy, QosPolicySpec, QosPolicyStatus};
pub use rules::{
    IptablesDnatRule, IptablesDnatRuleSpec, IptablesDnatRuleStatus, IptablesFipRule, IptablesFipRuleSpec,
    IptablesFipRuleStatus, IptablesSnatRule, IptablesSnatRuleSpec, IptablesSnatRuleStatus,
};
pub use subnet::{Subnet, SubnetSpec, SubnetStatus};

/// Declares a struct of optional fields: camelCase in JSON, left out when not set. A field with its own schema needs
/// `#[serde(default)]`, or it would be required.
macro_rules! optional_fields {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$on_field:meta])* $field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $($(#[$on_field])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$ty>,)*
        }
    };
}
use optional_fields;

/// The definitions of all kinds that natgw reads, in the order in which they depend on each other.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let mut all = vec![
        Subnet::crd(),
        QosPolicy::crd(),
        VpcNatGateway::crd(),
        IptablesEip::crd(),
        IptablesFipRule::crd(),
        IptablesDnatRule::crd(),
        IptablesSnatRule::crd(),
    ];
    all.iter_mut().for_each(schema::finish);
    all
}
