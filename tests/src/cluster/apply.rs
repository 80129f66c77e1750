//! `kubectl apply --server-side` for any YAML.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
    core::{GroupVersionKind, TypeMeta},
    discovery::{self, ApiResource, Scope},
    runtime::wait::{await_condition, conditions},
};
use serde_json::Value;
use tokio::time;

/// The field manager of everything that a test applies.
pub(super) const MANAGER: &str = "natgw-tests";

/// How long a new kind may take to be served.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often is looked whether it is.
const LOOK: Duration = Duration::from_millis(20);

/// Applies every document of `text`.
///
/// # Panics
/// When one is no object, or is refused.
pub(super) async fn yaml(client: &Client, text: &str) {
    for object in objects(text) {
        apply(client, &object).await;
    }
}

/// The objects of a file; documents without content are none.
fn objects(text: &str) -> Vec<DynamicObject> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("bad YAML: {error}"));
    let documents = documents.into_iter().filter(|document| !document.is_null());
    documents.map(|document| serde_json::from_value(document).expect("a Kubernetes object")).collect()
}

async fn apply(client: &Client, object: &DynamicObject) {
    let types = object.types.as_ref().expect("apiVersion and kind");
    let name = object.metadata.name.as_deref().expect("metadata.name");
    let (resource, scope) = resolve(client, types).await.unwrap_or_else(|error| {
        panic!("the API server does not know {} {}: {error}", types.api_version, types.kind);
    });
    let namespace = object.metadata.namespace.as_deref().unwrap_or("default");
    let api: Api<DynamicObject> = match scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    let applied = api.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(object)).await;
    applied.unwrap_or_else(|error| panic!("cannot apply {} {name}: {error}", types.kind));
    if types.kind == "CustomResourceDefinition" {
        wait_served(client, name).await;
    }
}

async fn resolve(client: &Client, types: &TypeMeta) -> kube::Result<(ApiResource, Scope)> {
    let kind = GroupVersionKind::try_from(types).expect("apiVersion is group/version");
    let (resource, capabilities) = discovery::pinned_kind(client, &kind).await?;
    Ok((resource, capabilities.scope))
}

/// Waits until objects of the new kind are accepted in every version that is served.
async fn wait_served(client: &Client, name: &str) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let established = await_condition(definitions, name, conditions::is_crd_established());
    let established = time::timeout(PATIENCE, established).await;
    let established = established.unwrap_or_else(|_| panic!("the CRD {name} is not established after {PATIENCE:?}"));
    let definition = established.expect("CRDs can be watched").expect("an established CRD is there");
    for version in definition.spec.versions.iter().filter(|version| version.served) {
        let types = TypeMeta {
            api_version: format!("{}/{}", definition.spec.group, version.name),
            kind: definition.spec.names.kind.clone(),
        };
        // The condition comes before the discovery, which nothing announces.
        let found = async {
            while resolve(client, &types).await.is_err() {
                time::sleep(LOOK).await;
            }
        };
        let found = time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("{} {} is not served after {PATIENCE:?}", types.api_version, types.kind));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_without_content_are_no_objects() {
        let text = "---\n# nothing\n---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: x\n---\n";
        let objects = objects(text);
        assert_eq!(objects.len(), 1);
        assert_eq!(objects[0].types, Some(TypeMeta { api_version: "v1".to_owned(), kind: "Namespace".to_owned() }));
    }
}
