//! What `natgw crds` prints.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::{
    super::print::{parse_kind, render},
    definitions,
};

#[test]
fn the_text_reads_back_as_the_definitions() {
    let text = render(None).expect("YAML");
    let read: Vec<CustomResourceDefinition> = serde_saphyr::from_multiple(&text).expect("YAML");
    assert_eq!(read, definitions());
}

#[test]
fn one_kind_is_one_document() {
    for definition in definitions() {
        let kind = &definition.spec.names.kind;
        let text = render(Some(kind)).expect("YAML");
        let read: CustomResourceDefinition = serde_saphyr::from_str(&text).expect("one document");
        assert_eq!(read, definition);
        assert!(text.starts_with("apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"), "{text}");
    }
}

#[test]
fn a_kind_is_found_in_any_case_and_an_unknown_one_is_told_which_there_are() {
    assert_eq!(parse_kind("iptableseip"), Ok("IptablesEIP".to_owned()));
    let error = parse_kind("Pod").expect_err("no such kind");
    assert!(definitions().iter().all(|definition| error.contains(&definition.spec.names.kind)), "{error}");
}
