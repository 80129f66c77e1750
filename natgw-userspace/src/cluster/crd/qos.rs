//! `QoSPolicy`: bandwidth limits of elastic IPs and gateways.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Condition, optional_fields, schema};

optional_fields! {
    /// Bandwidth limits, and what they may be bound to.
    #[derive(CustomResource)]
    #[kube(
        group = "kubeovn.io",
        version = "v1",
        kind = "QoSPolicy",
        root = "QosPolicy",
        plural = "qos-policies",
        singular = "qos-policy",
        shortname = "qos",
        status = "QosPolicyStatus",
        derive = "PartialEq",
        doc = "Bandwidth limits for an elastic IP or a gateway.",
        printcolumn(name = "Shared", type_ = "string", json_path = ".spec.shared"),
        printcolumn(name = "BindingType", type_ = "string", json_path = ".spec.bindingType"),
        printcolumn(name = "Programmed", type_ = "string", json_path = r#".status.conditions[?(@.type=="Programmed")].status"#)
    )]
    pub struct QosPolicySpec {
        /// Whether several objects may name it.
        shared: bool,
        /// `EIP` or `NATGW`.
        binding_type: String,
        /// The limits.
        bandwidth_limit_rules: Vec<BandwidthLimitRule>,
    }
}

optional_fields! {
    /// What is in force of a policy.
    pub struct QosPolicyStatus {
        /// Whether several objects may name it.
        shared: bool,
        /// `EIP` or `NATGW`.
        binding_type: String,
        /// The limits.
        bandwidth_limit_rules: Vec<BandwidthLimitRule>,
        /// What observers say.
        #[serde(default)]
        #[schemars(schema_with = "schema::conditions")]
        conditions: Vec<Condition>,
    }
}

/// One limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BandwidthLimitRule {
    /// Its name within the policy.
    pub name: String,
    /// The gateway's interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Mbit/s; decimals are allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_max: Option<String>,
    /// Megabytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_max: Option<String>,
    /// The smallest number is looked at first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// `ingress` or `egress`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// `ip`, or empty for all traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub match_type: Option<String>,
    /// `src` or `dst` and a network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub match_value: Option<String>,
}
