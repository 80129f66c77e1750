//! Random objects that kube-ovn's published schema accepts: the types here keep every field, and `core::objects` gets
//! every field that natgw uses.

use std::fmt::Debug;

use proptest::{collection, option, prelude::*, sample};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{
    super::{IptablesDnatRule, IptablesEip, IptablesFipRule, IptablesSnatRule, QosPolicy, Subnet, VpcNatGateway},
    published::{Field, Published, published},
};
use crate::core::objects::{Kind, Spec};

/// Values of the field at `path`, which is one of `fields`.
fn values(fields: &[Field], path: &str) -> BoxedStrategy<Value> {
    let field = fields.iter().find(|field| field.path == path).expect("published");
    match field.type_ {
        "object" => match fields.iter().find(|field| field.path == format!("{path}{{}}")) {
            Some(value) => collection::btree_map("[a-z./-]{1,8}", values(fields, value.path), 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect()))
                .boxed(),
            None => object(fields, field),
        },
        "array" => collection::vec(values(fields, &format!("{path}[]")), 0..3).prop_map(Value::Array).boxed(),
        "boolean" => any::<bool>().prop_map(Value::Bool).boxed(),
        "integer" => field.range.clone().prop_map(Value::from).boxed(),
        "number" => (0_u32..100_000).prop_map(Value::from).boxed(),
        _ if field.format == Some("date-time") => Just(json!("2026-01-31T12:00:00Z")).boxed(),
        _ if !field.values.is_empty() => sample::select(field.values.clone()).prop_map(Value::from).boxed(),
        _ => "[ -~]{0,12}".prop_map(Value::from).boxed(),
    }
}

/// Objects with any selection of the fields below `parent`.
fn object(fields: &[Field], parent: &Field) -> BoxedStrategy<Value> {
    let mut members = Vec::new();
    for field in fields {
        let Some(name) = field.path.strip_prefix(parent.path).and_then(|rest| rest.strip_prefix('.')) else { continue };
        if name.contains(['.', '[', '{']) {
            continue;
        }
        // A condition without a type is not published by any kube-ovn; our map list needs it.
        let always = parent.required.contains(&name) || (parent.path == "status.conditions[]" && name == "type");
        let value = values(fields, field.path);
        let value = if always { value.prop_map(Some).boxed() } else { option::of(value).boxed() };
        members.push(value.prop_map(move |value| (name, value)).boxed());
    }
    let present = |(name, value): (&str, Option<Value>)| value.map(|value| (name.to_owned(), value));
    members
        .prop_map(move |members| Value::Object(members.into_iter().filter_map(present).collect::<Map<_, _>>()))
        .boxed()
}

fn objects(published: &Published) -> BoxedStrategy<Value> {
    let kind = published.kind;
    let parts = (values(&published.fields, "spec"), values(&published.fields, "status"));
    parts
        .prop_map(move |(spec, status)| {
            json!({"apiVersion": "kubeovn.io/v1", "kind": kind, "metadata": {"name": "x"}, "spec": spec, "status": status})
        })
        .boxed()
}

fn any_object() -> impl Strategy<Value = Value> {
    proptest::strategy::Union::new(published().iter().map(objects))
}

fn keep<T: Serialize + DeserializeOwned + Debug>(object: &Value) -> Value {
    let typed: T = serde_json::from_value(object.clone()).expect("readable");
    serde_json::to_value(typed).expect("writable")
}

/// The object after it was read into its type and written again.
fn through_type(object: &Value) -> Value {
    match object["kind"].as_str() {
        Some("Subnet") => keep::<Subnet>(object),
        Some("QoSPolicy") => keep::<QosPolicy>(object),
        Some("VpcNatGateway") => keep::<VpcNatGateway>(object),
        Some("IptablesEIP") => keep::<IptablesEip>(object),
        Some("IptablesFIPRule") => keep::<IptablesFipRule>(object),
        Some("IptablesDnatRule") => keep::<IptablesDnatRule>(object),
        Some("IptablesSnatRule") => keep::<IptablesSnatRule>(object),
        kind => panic!("{kind:?}"),
    }
}

/// What `core::objects` must have made of a text; it counts an empty one as absent.
fn text(object: &Value, field: &str) -> Option<String> {
    object[field].as_str().filter(|text| !text.is_empty()).map(ToOwned::to_owned)
}

/// Reads `spec` as natgw does and compares every field that it uses.
fn assert_core_reads(kind: Kind, spec: &Value) {
    let mut unknown = Vec::new();
    let mut on_unknown = |path: serde_ignored::Path<'_>| unknown.push(path.to_string());
    let reader = serde_ignored::Deserializer::new(spec, &mut on_unknown);
    let read = Spec::deserialize(kind, reader).expect("readable");
    assert_eq!(unknown, Vec::<String>::new(), "fields that core::objects calls unknown");
    let text = |field| text(spec, field);
    match read {
        Spec::VpcNatGateway(read) => {
            assert_eq!(
                [read.vpc, read.subnet, read.lan_ip, read.qos_policy],
                ["vpc", "subnet", "lanIp", "qosPolicy"].map(text)
            );
            let routes: Vec<_> = read.routes.into_iter().map(|route| (route.cidr, route.next_hop_ip)).collect();
            let expected = spec["routes"].as_array().into_iter().flatten();
            let expected: Vec<_> =
                expected.map(|route| (self::text(route, "cidr"), self::text(route, "nextHopIP"))).collect();
            assert_eq!(routes, expected);
        }
        Spec::IptablesEip(read) => {
            assert_eq!(
                [read.v4ip, read.v6ip, read.nat_gw_dp, read.qos_policy],
                ["v4ip", "v6ip", "natGwDp", "qosPolicy"].map(text)
            );
        }
        Spec::IptablesFipRule(read) => assert_eq!([read.eip, read.internal_ip], ["eip", "internalIp"].map(text)),
        Spec::IptablesDnatRule(read) => {
            assert_eq!(
                [read.eip, read.external_port, read.protocol, read.internal_ip, read.internal_port, read.sharing],
                ["eip", "externalPort", "protocol", "internalIp", "internalPort", "type"].map(text)
            );
        }
        Spec::IptablesSnatRule(read) => assert_eq!([read.eip, read.internal_cidr], ["eip", "internalCIDR"].map(text)),
        Spec::QosPolicy(read) => {
            assert_eq!(read.binding_type, text("bindingType"));
            assert_eq!(read.shared, spec["shared"].as_bool());
            let names: Vec<_> = read.bandwidth_limit_rules.into_iter().map(|rule| (rule.name, rule.rate_max)).collect();
            let expected = spec["bandwidthLimitRules"].as_array().into_iter().flatten();
            let expected: Vec<_> =
                expected.map(|rule| (self::text(rule, "name"), self::text(rule, "rateMax"))).collect();
            assert_eq!(names, expected);
        }
        Spec::Subnet(read) => {
            assert_eq!(
                [read.vpc, read.cidr_block, read.gateway, read.provider, read.vlan],
                ["vpc", "cidrBlock", "gateway", "provider", "vlan"].map(text)
            );
            assert_eq!(read.u2o_interconnection, spec["u2oInterconnection"].as_bool());
        }
    }
}

proptest! {
    #[test]
    fn no_field_of_a_published_object_is_lost_in_its_type(object in any_object()) {
        prop_assert_eq!(through_type(&object), object);
    }

    #[test]
    fn every_field_that_natgw_uses_arrives_unchanged(object in any_object()) {
        // Kinds that core::objects does not know are covered by the test above.
        if let Some(kind) = object["kind"].as_str().and_then(Kind::from_name) {
            let typed = through_type(&object);
            assert_core_reads(kind, &typed["spec"]);
        }
    }
}

#[test]
fn an_affinity_of_any_depth_is_kept() {
    let term =
        json!({"topologyKey": "zone", "labelSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}});
    let affinity = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
    let object = json!({
        "apiVersion": "kubeovn.io/v1", "kind": "VpcNatGateway", "metadata": {"name": "gw1"},
        "spec": {"affinity": affinity}, "status": {"affinity": affinity},
    });
    assert_eq!(through_type(&object), object);
}

#[test]
fn a_condition_without_a_type_or_with_an_odd_time_is_readable() {
    let object = json!({
        "apiVersion": "kubeovn.io/v1", "kind": "IptablesEIP", "metadata": {"name": "a"}, "spec": {},
        "status": {"conditions": [{"status": "True", "lastTransitionTime": "yesterday"}]},
    });
    assert_eq!(through_type(&object)["status"]["conditions"][0]["lastTransitionTime"], "yesterday");
}
