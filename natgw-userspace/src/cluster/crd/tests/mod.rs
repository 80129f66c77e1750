//! The definitions held against kube-ovn's published ones, against the API server's rules, and against `core::objects`.

mod compatible;
mod lossless;
mod output;
mod published;
mod structural;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion, JSONSchemaProps,
};

use super::definitions;

fn definition(kind: &str) -> CustomResourceDefinition {
    definitions().into_iter().find(|definition| definition.spec.names.kind == kind).expect(kind)
}

fn version(definition: &CustomResourceDefinition) -> &CustomResourceDefinitionVersion {
    let [version] = definition.spec.versions.as_slice() else { panic!("one version") };
    version
}

fn root_schema(definition: &CustomResourceDefinition) -> &JSONSchemaProps {
    version(definition).schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref()).expect("a schema")
}
