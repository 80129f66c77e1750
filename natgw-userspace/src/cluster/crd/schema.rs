//! Schemas that a derive cannot express, and the last touch to every definition.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use schemars::{Schema, SchemaGenerator, json_schema};

use super::Condition;

/// An object whose fields concern others: kept as it is.
pub(super) fn open_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// Conditions as a map by type: server-side apply then merges what different writers say.
pub(super) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": generator.subschema_for::<Condition>(),
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}

/// Takes out of a derived definition what kube-ovn's has not.
pub(super) fn finish(definition: &mut CustomResourceDefinition) {
    for version in &mut definition.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            // `spec` may be absent: such an object asks for nothing, which its condition says.
            schema.required = None;
            schema.title = None;
            not_nullable(schema);
        }
    }
}

fn not_nullable(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    for property in schema.properties.iter_mut().flat_map(std::collections::BTreeMap::values_mut) {
        not_nullable(property);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => not_nullable(items),
        Some(JSONSchemaPropsOrArray::Schemas(all)) => all.iter_mut().for_each(not_nullable),
        None => {}
    }
}
