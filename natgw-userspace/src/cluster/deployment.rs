//! `deploy/base` held against the code: rights, security context, probes, names.

use std::{collections::BTreeSet, fs, path::Path};

use clap::CommandFactory as _;
use k8s_openapi::{
    Resource,
    api::{
        apps::v1::StatefulSet,
        core::v1::{Container, PodSpec, ServiceAccount},
        rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::api::resource::Quantity,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::crd;
use crate::cli::Cli;

/// All documents of `deploy/base/manifests`.
fn documents() -> Vec<Value> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/base/manifests");
    let files = fs::read_dir(directory).expect("deploy/base").map(|entry| entry.expect("deploy/base").path());
    let read = |path| serde_saphyr::from_multiple::<Value>(&fs::read_to_string(path).expect("readable")).expect("YAML");
    files.flat_map(read).collect()
}

/// The objects of a kind. A field that Kubernetes does not have makes a difference and fails.
fn all<T: Resource + DeserializeOwned + Serialize>() -> Vec<T> {
    let mut found = documents();
    found.retain(|document| document["kind"] == T::KIND);
    let read = |document: Value| {
        let typed: T = serde_json::from_value(document.clone()).expect("of its kind");
        assert_eq!(
            serde_json::to_value(&typed).expect("JSON"),
            document,
            "left: what Kubernetes keeps, right: the file"
        );
        typed
    };
    found.into_iter().map(read).collect()
}

/// The only object of a kind.
fn only<T: Resource + DeserializeOwned + Serialize>() -> T {
    let mut found = all();
    assert_eq!(found.len(), 1, "{}", T::KIND);
    found.remove(0)
}

fn pod() -> PodSpec {
    only::<StatefulSet>().spec.and_then(|spec| spec.template.spec).expect("a pod")
}

fn container() -> Container {
    let [container] = pod().containers.try_into().expect("one container");
    container
}

/// API group, resource and verb of every combination that rules allow.
fn allowed(rules: Option<Vec<PolicyRule>>) -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for rule in rules.unwrap_or_default() {
        assert_eq!((rule.non_resource_urls, rule.resource_names), (None, None));
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                allowed.extend(rule.verbs.iter().map(|verb| format!("{verb} {group}/{resource}")));
            }
        }
    }
    allowed
}

/// Whether natgw writes a condition on objects of this kind: then it also shows it.
fn is_reported_on(definition: &CustomResourceDefinition) -> bool {
    let columns = definition.spec.versions.iter().filter_map(|version| version.additional_printer_columns.as_ref());
    columns.flatten().any(|column| column.name == crd::CONDITION_PROGRAMMED)
}

#[test]
fn the_cluster_role_allows_reading_every_kind_and_writing_its_status_and_nothing_else() {
    let mut expected = BTreeSet::new();
    for definition in crd::definitions() {
        let plural = &definition.spec.names.plural;
        expected.extend(["get", "list", "watch"].map(|verb| format!("{verb} kubeovn.io/{plural}")));
        if is_reported_on(&definition) {
            expected.insert(format!("patch kubeovn.io/{plural}/status"));
        }
    }
    assert_eq!(expected.len(), 7 * 3 + 6);
    let role: ClusterRole = only();
    assert_eq!(role.aggregation_rule, None);
    assert_eq!(allowed(role.rules), expected);
}

#[test]
fn events_are_written_where_they_belong_and_nowhere_else() {
    let role: Role = only();
    assert_eq!(role.metadata.namespace.as_deref(), Some(super::status::events::NAMESPACE));
    assert_eq!(allowed(role.rules), BTreeSet::from(["create events.k8s.io/events".to_owned()]));
}

#[test]
fn all_roles_are_bound_to_the_pods_own_account() {
    let account: ServiceAccount = only();
    let subject = Subject {
        kind: "ServiceAccount".into(),
        name: account.metadata.name.clone().expect("a name"),
        namespace: account.metadata.namespace.clone(),
        ..Subject::default()
    };
    let cluster: ClusterRoleBinding = only();
    assert_eq!(cluster.role_ref.name, only::<ClusterRole>().metadata.name.expect("a name"));
    assert_eq!(cluster.subjects, Some(vec![subject.clone()]));
    let bindings: Vec<RoleBinding> = all();
    let roles: Vec<Role> = all();
    assert_eq!(bindings.len(), roles.len());
    for (binding, role) in bindings.into_iter().zip(roles) {
        assert_eq!(binding.metadata.namespace, role.metadata.namespace);
        assert_eq!((binding.role_ref.kind.as_str(), Some(binding.role_ref.name)), ("Role", role.metadata.name));
        assert_eq!(binding.subjects, Some(vec![subject.clone()]));
    }
    assert_eq!(pod().service_account_name, account.metadata.name);
    assert_eq!(account.automount_service_account_token, Some(false));
    assert_eq!(only::<StatefulSet>().metadata.namespace, account.metadata.namespace);
}

#[test]
fn nothing_is_privileged_and_nothing_is_a_wildcard() {
    for document in documents() {
        let text = document.to_string();
        for word in ["\"*\"", "privileged", "hostNetwork", "hostPID", "hostIPC", "SYS_ADMIN", ":latest"] {
            assert!(!text.contains(word), "`{word}` in {text}");
        }
    }
}

#[test]
fn the_container_has_the_capabilities_that_preflight_asks_for_and_no_others() {
    let context = container().security_context.expect("a security context");
    let capabilities = context.capabilities.expect("capabilities");
    assert_eq!(capabilities.drop, Some(vec!["ALL".to_owned()]));
    let added: BTreeSet<_> = capabilities.add.into_iter().flatten().collect();
    assert_eq!(added, crate::preflight::CAPABILITIES_USED.map(|name| name.to_string().replace("CAP_", "")).into());
    assert_eq!((context.allow_privilege_escalation, context.read_only_root_filesystem), (Some(false), Some(true)));
}

#[test]
fn the_hosts_bpffs_and_a_writable_proc_sys_net_are_where_natgw_looks_for_them() {
    let volumes = pod().volumes.unwrap_or_default();
    let mut mounts = container().volume_mounts.unwrap_or_default();
    let places: Vec<_> = mounts
        .iter()
        .map(|mount| {
            let volume = volumes.iter().find(|volume| volume.name == mount.name).expect("its volume");
            (volume.host_path.as_ref().expect("of the host").path.as_str(), mount.mount_path.as_str())
        })
        .collect();
    assert_eq!(
        places,
        [(crate::cli::DEFAULT_BPFFS, crate::cli::DEFAULT_BPFFS), ("/proc/sys/net", crate::net::sysctl::WRITABLE)]
    );
    assert_eq!(mounts.remove(0).mount_propagation.as_deref(), Some("HostToContainer"));
}

#[test]
fn every_variable_is_an_option_of_run_and_the_gateways_name_comes_from_the_label_that_selects_it() {
    let cli = Cli::command();
    let run = cli.find_subcommand("run").expect("a command");
    let options: Vec<_> = run.get_arguments().filter_map(clap::Arg::get_env).collect();
    let env = container().env.unwrap_or_default();
    for variable in &env {
        assert!(options.iter().any(|option| *option == variable.name.as_str()), "{}", variable.name);
    }
    let source =
        env.iter().find(|variable| variable.name == "NATGW_GATEWAY").and_then(|found| found.value_from.clone());
    let path = source.and_then(|source| source.field_ref).expect("a field").field_path;
    assert_eq!(path, "metadata.labels['app.kubernetes.io/instance']");
    let spec = only::<StatefulSet>().spec.expect("a spec");
    assert!(spec.selector.match_labels.expect("labels").contains_key("app.kubernetes.io/instance"));
    assert_eq!(spec.replicas, Some(1), "a second pod would be a second data plane");
    // The default would rebuild the sandbox whenever the template changes.
    assert_eq!(spec.update_strategy.and_then(|strategy| strategy.type_).as_deref(), Some("OnDelete"));
}

#[test]
fn what_the_container_runs_is_what_the_image_has_and_the_command_line_knows() {
    let image = include_str!("../../../deploy/Containerfile");
    let container = container();
    let entry_point = container.command.clone().expect("a command");
    assert!(image.contains(&format!("ENTRYPOINT [\"{}\"]", entry_point.join("\", \""))), "{entry_point:?}");
    let line = [entry_point.clone(), container.args.clone().expect("arguments")].concat();
    assert!(<Cli as clap::Parser>::try_parse_from(&line).is_ok(), "{line:?}");
    let probe = |probe: Option<k8s_openapi::api::core::v1::Probe>| {
        probe.and_then(|probe| probe.exec).and_then(|exec| exec.command).expect("a command")
    };
    for (line, word) in [(probe(container.liveness_probe), "live"), (probe(container.readiness_probe), "ready")] {
        assert_eq!(line, [entry_point[0].as_str(), "probe", word]);
    }
    assert_eq!(container.startup_probe, None, "natgw may wait for its interfaces as long as it takes");
}

#[test]
fn the_image_has_a_version_and_the_pod_has_room_for_its_maps() {
    let container = container();
    let image = container.image.expect("an image");
    assert_eq!(image.rsplit_once(':').map(|(_, tag)| tag), Some(env!("CARGO_PKG_VERSION")));
    let resources = container.resources.expect("resources");
    let mebibytes = |quantity: &Quantity| quantity.0.strip_suffix("Mi").and_then(|text| text.parse().ok());
    let maps = maps_mebibytes();
    let requested: Option<u64> = mebibytes(&resources.requests.expect("requests")["memory"]);
    assert!(requested >= Some(maps + 100), "{requested:?} MiB for {maps} MiB of maps");
    // While a new layout takes over, there are two sets of maps.
    let limit: Option<u64> = mebibytes(&resources.limits.expect("limits")["memory"]);
    assert!(limit >= Some(2 * maps + 200), "{limit:?} MiB for twice {maps} MiB of maps");
    assert_eq!(pod().priority_class_name.as_deref(), Some("system-node-critical"));
}

/// What the hash maps take at their default sizes: an element has 48 bytes of its own, a bucket 16.
fn maps_mebibytes() -> u64 {
    use natgw_common::abi::{MAPS, MapKind};
    let hashes = MAPS.iter().filter(|map| map.kind == MapKind::Hash);
    let bytes = hashes.map(|map| {
        let entry = 48 + map.key_size.next_multiple_of(8) + map.value_size.next_multiple_of(8);
        u64::from(map.max_entries) * u64::from(entry) + u64::from(map.max_entries.next_power_of_two()) * 16
    });
    bytes.sum::<u64>() >> 20
}
