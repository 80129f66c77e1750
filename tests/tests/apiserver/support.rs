//! A kind of its own, and config maps in namespaces of their own.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
    core::GroupVersionKind,
};
use natgw_tests::{Cluster, scratch};

/// A kind with one number and a status.
pub(crate) const CRD: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: probes.test.natgw
spec:
  group: test.natgw
  scope: Namespaced
  names: { kind: Probe, plural: probes, singular: probe }
  versions:
    - name: v1
      served: true
      storage: true
      subresources: { status: {} }
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties:
                number: { type: integer, minimum: 0 }
            status:
              type: object
              x-kubernetes-preserve-unknown-fields: true
";

/// One object of that kind.
pub(crate) fn probe(namespace: &str, number: u64) -> String {
    format!(
        "apiVersion: test.natgw/v1\nkind: Probe\nmetadata: {{ name: one, namespace: {namespace} }}\nspec: {{ number: {number} }}\n"
    )
}

pub(crate) fn probes(client: Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("test.natgw", "v1", "Probe");
    Api::namespaced_with(client, namespace, &ApiResource::from_gvk(&kind))
}

/// A new namespace.
pub(crate) fn namespace(cluster: &Cluster) -> String {
    let name = scratch::unique_name();
    cluster.apply_yaml(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {name} }}\n"));
    name
}

/// Makes or changes the config map `name`.
pub(crate) fn put(cluster: &Cluster, namespace: &str, name: &str, value: &str) {
    cluster.apply_yaml(&format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name}, namespace: {namespace} }}\ndata: {{ value: '{value}' }}\n"
    ));
}

/// What the config map `name` holds.
pub(crate) async fn get(client: &Client, namespace: &str, name: &str) -> kube::Result<String> {
    let map = Api::<ConfigMap>::namespaced(client.clone(), namespace).get(name).await?;
    Ok(map.data.as_ref().and_then(|data: &BTreeMap<_, _>| data.get("value")).cloned().unwrap_or_default())
}

/// The status code of a refusal.
pub(crate) fn code<T: std::fmt::Debug>(result: kube::Result<T>) -> u16 {
    match result {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("not an answer of the API server: {other:?}"),
    }
}
