//! Kinds and objects come and are watched; the past can be compacted away.

use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
    runtime::wait::await_condition,
};
use natgw_tests::cluster::shared;
use serde_json::json;

use crate::support::{CRD, code, namespace, probe, probes, put};

#[test]
fn the_cluster_is_ready_and_old_enough() {
    let cluster = shared();
    let version = cluster.block_on(cluster.admin().apiserver_version()).unwrap();
    assert_eq!(version.major, "1", "{version:?}");
    assert!(version.git_version.starts_with("v1."), "{version:?}");
}

#[test]
fn an_object_of_a_new_kind_is_made_and_its_change_is_watched() {
    let cluster = shared();
    let namespace = namespace(&cluster);
    // The kind and an object of it in one go, as a person applies them.
    cluster.apply_yaml(&format!("{CRD}---\n{}", probe(&namespace, 1)));
    let probes = probes(cluster.admin(), &namespace);
    let number = |wanted: u64| {
        move |probe: Option<&kube::api::DynamicObject>| {
            probe.is_some_and(|probe| probe.data["spec"]["number"] == wanted)
        }
    };
    let seen = cluster.block_on(async {
        await_condition(probes.clone(), "one", number(1)).await.unwrap();
        let change = Patch::Merge(json!({ "spec": { "number": 2 } }));
        let params = PatchParams::default();
        let (seen, changed) =
            tokio::join!(await_condition(probes.clone(), "one", number(2)), probes.patch("one", &params, &change));
        changed.unwrap();
        seen.unwrap()
    });
    assert_eq!(seen.unwrap().data["spec"]["number"], 2);
}

#[test]
fn an_object_that_its_schema_forbids_is_refused() {
    let cluster = shared();
    let namespace = namespace(&cluster);
    cluster.apply_yaml(&format!("{CRD}---\n{}", probe(&namespace, 1)));
    let probes = probes(cluster.admin(), &namespace);
    let change = Patch::Merge(json!({ "spec": { "number": -1 } }));
    let refused = cluster.block_on(probes.patch("one", &PatchParams::default(), &change));
    assert_eq!(code(refused), 422);
}

#[test]
fn a_list_that_is_continued_after_a_compaction_is_gone() {
    let cluster = shared();
    let namespace = namespace(&cluster);
    put(&cluster, &namespace, "a", "1");
    put(&cluster, &namespace, "b", "1");
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(cluster.admin(), &namespace);
    let first = cluster.block_on(maps.list(&ListParams::default().limit(1))).unwrap();
    let token = first.metadata.continue_.expect("there is a second page");
    let rest = || cluster.block_on(maps.list(&ListParams::default().limit(1).continue_token(&token)));
    assert_eq!(rest().unwrap().items.len(), 1);
    put(&cluster, &namespace, "c", "1");
    cluster.compact();
    let version = cluster.block_on(cluster.admin().apiserver_version()).unwrap();
    let minor: u32 = version.minor.trim_end_matches('+').parse().expect("a number");
    match rest() {
        // A server with ListFromCacheSnapshot has that moment in memory.
        Ok(rest) => {
            assert!(minor >= 33, "1.{minor} reads from etcd, which has forgotten");
            let names: Vec<_> = rest.items.iter().filter_map(|map| map.metadata.name.as_deref()).collect();
            assert_eq!(names, ["b"], "what came later is not of that moment");
        }
        gone => assert_eq!(code(gone), 410),
    }
}
