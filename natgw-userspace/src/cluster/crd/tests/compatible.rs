//! What kube-ovn's schema accepts, ours accepts as well and keeps.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

use super::{
    definition,
    published::{Field, published},
    root_schema, version,
};

/// What our schema has at a place.
enum Found<'a> {
    Schema(&'a JSONSchemaProps),
    /// Below an object that keeps unknown fields.
    Kept,
}

fn find<'a>(root: &'a JSONSchemaProps, path: &str) -> Option<Found<'a>> {
    let mut schema = root;
    for segment in path.split('.') {
        let name = segment.trim_end_matches("[]").trim_end_matches("{}");
        schema = match schema.properties.as_ref().and_then(|properties| properties.get(name)) {
            Some(property) => property,
            None if schema.x_kubernetes_preserve_unknown_fields == Some(true) => return Some(Found::Kept),
            None => return None,
        };
        if segment.ends_with("[]") {
            let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items else { return None };
            schema = items;
        }
        if segment.ends_with("{}") {
            let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties else { return None };
            schema = values;
        }
    }
    Some(Found::Schema(schema))
}

/// Why a published value could be refused or changed.
fn objection(theirs: &Field, ours: &JSONSchemaProps) -> Option<String> {
    let type_ = ours.type_.as_deref();
    if type_ != Some(theirs.type_) && (type_, theirs.type_) != (Some("number"), "integer") {
        return Some(format!("type is {type_:?} and not {}", theirs.type_));
    }
    let format = ours.format.as_deref();
    if format.is_some() && format != theirs.format && (format, theirs.type_) != (Some("int64"), "integer") {
        return Some(format!("format is {format:?} and not {:?}", theirs.format));
    }
    #[expect(clippy::cast_precision_loss, reason = "limits in schemas are small")]
    let (lowest, highest) = (*theirs.range.start() as f64, *theirs.range.end() as f64);
    if ours.minimum.is_some_and(|minimum| minimum > lowest) || ours.maximum.is_some_and(|maximum| maximum < highest) {
        return Some(format!("limits are {:?} to {:?}", ours.minimum, ours.maximum));
    }
    let values =
        ours.enum_.as_ref().map(|values| values.iter().filter_map(|value| value.0.as_str()).collect::<Vec<_>>());
    let accepted = |wanted: &&str| values.as_ref().is_none_or(|values| values.contains(wanted));
    if (theirs.values.is_empty() && values.is_some()) || !theirs.values.iter().all(accepted) {
        return Some(format!("values are {values:?}"));
    }
    let default =
        ours.default.as_ref().map(|default| default.0.as_str().map_or_else(|| default.0.to_string(), Into::into));
    if default.as_deref() != theirs.default {
        return Some(format!("default is {default:?} and not {:?}", theirs.default));
    }
    let required = ours.required.iter().flatten().find(|required| !theirs.required.contains(&required.as_str()));
    // The key of a map list must be required; kube-ovn writes no condition without a type.
    required
        .filter(|name| (theirs.path, name.as_str()) != ("status.conditions[]", "type"))
        .map(|name| format!("`{name}` is required"))
}

#[test]
fn every_published_field_exists_and_accepts_what_is_published() {
    for published in published() {
        let definition = definition(published.kind);
        let root = root_schema(&definition);
        for field in &published.fields {
            let place = format!("{} {}", published.kind, field.path);
            match find(root, field.path) {
                Some(Found::Schema(schema)) => assert_eq!(objection(field, schema), None, "{place}"),
                Some(Found::Kept) => {}
                None => panic!("{place} would be pruned"),
            }
        }
    }
}

#[test]
fn a_field_that_is_narrower_than_published_is_noticed() {
    let definition = definition("VpcNatGateway");
    let Some(Found::Schema(ours)) = find(root_schema(&definition), "spec.bfd.multiplier") else { panic!("no schema") };
    let published = published();
    let fields = published.iter().flat_map(|published| &published.fields);
    let theirs = fields.clone().find(|field| field.path == "spec.bfd.multiplier").expect("published");
    assert_eq!(objection(theirs, ours), None);
    for change in [
        |schema: &mut JSONSchemaProps| schema.type_ = Some("string".into()),
        |schema: &mut JSONSchemaProps| schema.format = Some("double".into()),
        |schema: &mut JSONSchemaProps| schema.maximum = Some(254.0),
        |schema: &mut JSONSchemaProps| schema.default = None,
        |schema: &mut JSONSchemaProps| schema.enum_ = Some(Vec::new()),
        |schema: &mut JSONSchemaProps| schema.required = Some(vec!["x".into()]),
    ] {
        let mut narrower = ours.clone();
        change(&mut narrower);
        assert!(objection(theirs, &narrower).is_some(), "{narrower:?}");
    }
    assert!(find(root_schema(&definition), "spec.bfd.multiplyer").is_none());
}

#[test]
fn names_are_the_published_ones() {
    for published in published() {
        let definition = definition(published.kind);
        let names = &definition.spec.names;
        assert_eq!(definition.metadata.name, Some(format!("{}.kubeovn.io", published.plural)));
        assert_eq!((definition.spec.group.as_str(), version(&definition).name.as_str()), ("kubeovn.io", "v1"));
        assert_eq!(definition.spec.scope, "Cluster");
        assert_eq!(names.plural, published.plural);
        assert_eq!(names.singular.as_deref(), Some(published.singular));
        assert_eq!(names.short_names, Some(vec![published.short_name.to_owned()]));
        assert!(version(&definition).subresources.as_ref().is_some_and(|resources| resources.status.is_some()));
    }
}

#[test]
fn columns_are_the_published_ones_and_programmed_where_natgw_says_so() {
    for published in published() {
        let definition = definition(published.kind);
        let columns = version(&definition).additional_printer_columns.clone().expect("columns");
        let columns: Vec<_> = columns
            .iter()
            .map(|column| [column.name.as_str(), column.type_.as_str(), column.json_path.as_str()])
            .collect();
        let mut expected = published.columns.clone();
        if published.kind != "Subnet" {
            expected.push(["Programmed", "string", ".status.conditions[?(@.type==\"Programmed\")].status"]);
        }
        assert_eq!(columns, expected, "{}", published.kind);
    }
}
