//! An object of `kubeovn.io/v1` as the API server sends it: what is used of its metadata, and the rest unread.
//!
//! Reading a list or a watch event into this type cannot fail because of what somebody wrote into a spec, so one
//! malformed object never stalls the stream it comes in (what kube's `DeserializeGuard` does, without a second copy of
//! every good one). [`Watched::object`] judges it afterwards.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Resource,
    core::{ClusterResourceScope, ObjectMeta},
};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::core::{
    diagnostic::{Diagnostic, Reason, Severity},
    objects::{API_VERSION, Kind, Object, ObjectKey, Spec, Timestamp},
    printable::shortened,
};

/// One object, its kind aside.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Watched {
    /// Metadata, as far as it is used.
    #[serde(deserialize_with = "used")]
    pub metadata: ObjectMeta,
    /// What somebody asks for.
    #[serde(default)]
    pub spec: Value,
    /// What controllers say of it.
    #[serde(default)]
    pub status: Value,
}

/// The rest of the metadata, above all `managedFields`, would be most of what a list of many objects holds in memory.
fn used<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Used {
        name: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        generation: Option<i64>,
        creation_timestamp: Option<Time>,
        deletion_timestamp: Option<Time>,
    }
    let Used { name, uid, resource_version, generation, creation_timestamp, deletion_timestamp } =
        Used::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name,
        uid,
        resource_version,
        generation,
        creation_timestamp,
        deletion_timestamp,
        ..ObjectMeta::default()
    })
}

impl Watched {
    /// The object with its spec read, or what is wrong with it.
    ///
    /// # Errors
    /// A field has a type that it cannot have.
    pub(super) fn object(&self, kind: Kind) -> Result<Object, Box<Diagnostic>> {
        let key = ObjectKey::new(kind, self.metadata.name.clone().unwrap_or_default());
        let mut track = serde_path_to_error::Track::new();
        let read = if self.spec.is_null() {
            Ok(Spec::empty(kind))
        } else {
            Spec::deserialize(kind, serde_path_to_error::Deserializer::new(&self.spec, &mut track))
        };
        let spec = read.map_err(|error| {
            let path = track.path().to_string();
            let field = if path == "." { "spec".to_owned() } else { format!("spec.{path}") };
            Box::new(wrong_type(&key, field, error.to_string()))
        })?;
        let created = self.metadata.creation_timestamp.as_ref().and_then(|time| time.0.to_string().parse().ok());
        Ok(Object {
            key,
            created: created.map(|time: Timestamp| time),
            generation: self.metadata.generation.unwrap_or(0),
            deleting: self.metadata.deletion_timestamp.is_some(),
            spec,
        })
    }
}

/// The same whether or not it was right before: natgw of several gateways may say it of one object, and not all of them
/// have seen that.
fn wrong_type(key: &ObjectKey, field: String, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        reason: Reason::InvalidObject,
        object: Some(key.clone()),
        field,
        message: shortened(message),
        fix: "write the type that the field has; what the object said before, if anything, stays in force".to_owned(),
        location: None,
    }
}

impl Resource for Watched {
    type DynamicType = Kind;
    type Scope = ClusterResourceScope;

    fn kind(kind: &Kind) -> Cow<'_, str> {
        kind.name().into()
    }

    fn group(_: &Kind) -> Cow<'_, str> {
        group().into()
    }

    fn version(_: &Kind) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural(kind: &Kind) -> Cow<'_, str> {
        kind.plural().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// The API group of every kind.
#[must_use]
pub fn group() -> &'static str {
    API_VERSION.split_once('/').map_or(API_VERSION, |(group, _)| group)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn watched(spec: &Value) -> Watched {
        let metadata = json!({"name": "web", "generation": 3, "creationTimestamp": "2026-01-31T12:00:00Z"});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": {"ready": 7}})).expect("read")
    }

    #[test]
    fn metadata_and_spec_arrive() {
        let spec = json!({"eip": "a", "externalPort": "80", "protocol": "tcp", "internalIp": "10.0.1.2"});
        let object = watched(&spec).object(Kind::IptablesDnatRule).expect("valid");
        assert_eq!(object.key.to_string(), "IptablesDnatRule/web");
        assert_eq!((object.generation, object.deleting), (3, false));
        assert_eq!(object.created.expect("set").to_string(), "2026-01-31T12:00:00Z");
        let Spec::IptablesDnatRule(spec) = object.spec else { panic!("not a DNAT rule") };
        assert_eq!((spec.eip.as_deref(), spec.external_port.as_deref()), (Some("a"), Some("80")));
    }

    #[test]
    fn what_nobody_uses_is_not_kept() {
        let managed = json!([{"manager": "kube-ovn", "operation": "Apply", "fieldsV1": {"f:spec": {"f:eip": {}}}}]);
        let metadata = json!({
            "name": "web", "uid": "u", "resourceVersion": "7", "deletionTimestamp": "2026-01-31T12:00:00Z",
            "managedFields": managed, "labels": {"a": "b"}, "annotations": {"a": "b"}, "finalizers": ["f"],
        });
        let watched: Watched = serde_json::from_value(json!({ "metadata": metadata })).expect("read");
        let kept = ObjectMeta {
            name: Some("web".to_owned()),
            uid: Some("u".to_owned()),
            resource_version: Some("7".to_owned()),
            deletion_timestamp: Some(Time("2026-01-31T12:00:00Z".parse().expect("a time"))),
            ..ObjectMeta::default()
        };
        assert_eq!(watched.metadata, kept);
        assert!(watched.object(Kind::IptablesEip).expect("valid").deleting);
    }

    #[test]
    fn a_field_of_the_wrong_type_is_named() {
        for (kind, spec, field) in [
            (Kind::IptablesDnatRule, json!({"externalPort": {"a": 1}}), "spec.externalPort"),
            (Kind::IptablesEip, json!({"v4ip": ["203.0.113.1"]}), "spec.v4ip"),
            (Kind::VpcNatGateway, json!({"routes": [{"cidr": "10.0.0.0/8"}, {"cidr": true}]}), "spec.routes[1].cidr"),
            (Kind::IptablesSnatRule, json!("10.0.0.0/8"), "spec"),
        ] {
            let problem = watched(&spec).object(kind).expect_err(field);
            assert_eq!((problem.field.as_str(), problem.reason), (field, Reason::InvalidObject), "{problem:?}");
        }
    }

    #[test]
    fn an_object_without_a_spec_is_an_empty_one() {
        let object = watched(&Value::Null).object(Kind::IptablesEip).expect("valid");
        assert_eq!(object.spec, Spec::empty(Kind::IptablesEip));
    }
}
