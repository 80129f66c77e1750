//! The rules of `apiextensions.k8s.io/v1` that an API server checks when a definition is applied.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

use super::{definitions, root_schema};

/// Formats that API server 1.20 knows; others are ignored there and warned about by later ones.
const FORMATS: [&str; 4] = ["int32", "int64", "date-time", "double"];

fn check(place: &str, schema: &JSONSchemaProps) {
    let keeps = schema.x_kubernetes_preserve_unknown_fields == Some(true);
    let type_ = schema.type_.as_deref().unwrap_or_else(|| panic!("{place} has no type"));
    let format = schema.format.as_deref();
    assert!(format.is_none_or(|format| FORMATS.contains(&format)), "{place}: {format:?}");
    assert_eq!(schema.nullable, None, "{place}");
    let combined =
        schema.all_of.is_some() || schema.any_of.is_some() || schema.one_of.is_some() || schema.not.is_some();
    let foreign = schema.ref_path.is_some() || schema.schema.is_some() || schema.definitions.is_some();
    assert!(!combined && !foreign, "{place} is not structural: {schema:?}");
    // CEL rules came with 1.25.
    assert_eq!(schema.x_kubernetes_validations, None, "{place}");
    for required in schema.required.iter().flatten() {
        let properties = schema.properties.as_ref().unwrap_or_else(|| panic!("{place} has no properties"));
        assert!(properties.contains_key(required), "{place}: {required}");
    }
    match type_ {
        "object" => {
            let free = matches!(&schema.additional_properties, Some(JSONSchemaPropsOrBool::Schema(_)));
            let parts = [schema.properties.is_some(), free];
            assert!(parts.iter().filter(|part| **part).count() <= 1, "{place} has properties and values");
            assert!(keeps || parts.contains(&true) || place.ends_with(".metadata"), "{place} would be emptied");
            assert!(!matches!(schema.additional_properties, Some(JSONSchemaPropsOrBool::Bool(_))), "{place}");
        }
        "array" => assert!(matches!(schema.items, Some(JSONSchemaPropsOrArray::Schema(_))), "{place} has no items"),
        _ => assert!(schema.properties.is_none() && schema.items.is_none(), "{place}"),
    }
    if schema.x_kubernetes_list_type.as_deref() == Some("map") {
        let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items else { panic!("{place} has no items") };
        for key in schema.x_kubernetes_list_map_keys.iter().flatten() {
            assert!(items.required.iter().flatten().any(|required| required == key), "{place}: {key} is not required");
        }
    }
    for (name, property) in schema.properties.iter().flatten() {
        check(&format!("{place}.{name}"), property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        check(&format!("{place}[]"), items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
        check(&format!("{place}{{}}"), values);
    }
}

#[test]
fn every_schema_is_structural_and_uses_nothing_that_an_old_server_lacks() {
    for definition in definitions() {
        let version = super::version(&definition);
        assert!(version.served && version.storage);
        assert_eq!(version.selectable_fields, None);
        check(&definition.spec.names.kind, root_schema(&definition));
    }
}

#[test]
fn every_kind_has_conditions_that_several_writers_can_share() {
    for definition in definitions() {
        let kind = &definition.spec.names.kind;
        let status = &root_schema(&definition).properties.as_ref().expect(kind)["status"];
        let conditions = &status.properties.as_ref().expect(kind)["conditions"];
        assert_eq!(conditions.x_kubernetes_list_type.as_deref(), Some("map"), "{kind}");
        assert_eq!(conditions.x_kubernetes_list_map_keys, Some(vec!["type".to_owned()]), "{kind}");
    }
}
