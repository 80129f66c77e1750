//! A cluster and a directory that hold the same objects say the same: what was written well, what was written badly, and
//! what is to be programmed.

use std::{collections::BTreeSet, fs};

use kube::runtime::watcher::Event;
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};

use super::super::Fold;
use crate::{
    cluster::watched::Watched,
    core::{
        desired::DesiredState,
        index::Index,
        objects::{API_VERSION, Kind},
    },
    source::manifests::ManifestDir,
};

/// What stands in a field: what belongs there, and what people and programs put there too.
fn value() -> BoxedStrategy<Value> {
    let good = select(vec![
        "gw1",
        "n1",
        "n2",
        "203.0.113.10",
        "203.0.113.11",
        "10.0.1.2",
        "10.0.1.3",
        "10.0.1.0/24",
        "10.0.0.0/8",
        "80",
        "8080",
        "tcp",
        "UDP",
        "vpc1",
    ]);
    let odd = select(vec![
        "",
        " 80",
        "080",
        "0x50",
        "1e3",
        "yes",
        "null",
        "~",
        "fd00::1",
        "\u{e9}\u{1f980}",
        "a\nb",
        "{x",
        "!!int 3",
    ]);
    let plain = prop_oneof![
        12 => good.prop_map(Value::from),
        3 => odd.prop_map(Value::from),
        1 => "\\PC{0,6}".prop_map(Value::from),
        2 => select(vec![json!(80), json!(-1), json!(u64::MAX), json!(i64::MIN), json!(1.5), json!(1e300)]),
        1 => select(vec![Value::Null, json!(true), json!([]), json!({})]),
    ];
    plain.boxed()
}

/// The fields that natgw reads, and one that nobody knows.
fn fields(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::VpcNatGateway => &["vpc", "subnet", "lanIp", "qosPolicy", "replicas"],
        Kind::IptablesEip => &["v4ip", "v6ip", "natGwDp", "qosPolicy", "macAddress"],
        Kind::IptablesFipRule => &["eip", "internalIp", "unknown"],
        Kind::IptablesDnatRule => &["eip", "externalPort", "protocol", "internalIp", "internalPort", "type", "unknown"],
        Kind::IptablesSnatRule => &["eip", "internalCIDR", "unknown"],
        Kind::QosPolicy => &["shared", "bindingType", "unknown"],
        Kind::Subnet => &["vpc", "cidrBlock", "gateway", "provider", "vlan", "u2oInterconnection"],
    }
}

fn lists(kind: Kind) -> Option<(&'static str, [&'static str; 2])> {
    match kind {
        Kind::VpcNatGateway => Some(("routes", ["cidr", "nextHopIP"])),
        Kind::QosPolicy => Some(("bandwidthLimitRules", ["name", "rateMax"])),
        Kind::IptablesEip | Kind::IptablesFipRule | Kind::IptablesDnatRule | Kind::IptablesSnatRule | Kind::Subnet => {
            None
        }
    }
}

fn spec(kind: Kind) -> BoxedStrategy<Value> {
    let members: Vec<_> = fields(kind)
        .iter()
        .map(|field| prop::option::weighted(0.8, value()).prop_map(move |value| (*field, value)))
        .collect();
    let list = vec((value(), value()), 0..3);
    let whole = (members, prop::option::of(list)).prop_map(move |(members, list)| {
        let mut spec: serde_json::Map<_, _> =
            members.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))).collect();
        if let (Some((name, [first, second])), Some(list)) = (lists(kind), list) {
            let items = list.into_iter().map(|(a, b)| json!({ first: a, second: b }));
            spec.insert(name.to_owned(), items.collect());
        }
        Value::Object(spec)
    });
    prop_oneof![20 => whole, 1 => value()].boxed()
}

/// An object as an API server stores it.
fn object() -> impl Strategy<Value = Value> {
    let metadata = (
        select(vec!["gw1", "n1", "n2", "n3", "80", "1.5", "true", "null"]),
        prop::option::of(select(vec!["2026-01-31T12:00:00Z", "2026-01-31T12:00:01Z", "2025-12-31T23:59:59Z"])),
        prop::option::of(0_i64..5),
        prop::option::weighted(0.1, Just("2026-02-01T00:00:00Z")),
    );
    (select(Kind::ALL.to_vec()), metadata).prop_flat_map(|(kind, (name, created, generation, deleted))| {
        let mut metadata = json!({"name": name, "uid": "u"});
        for (field, value) in [
            ("creationTimestamp", created.map(Value::from)),
            ("generation", generation.map(Value::from)),
            ("deletionTimestamp", deleted.map(Value::from)),
        ] {
            if let Some(value) = value {
                metadata[field] = value;
            }
        }
        prop::option::weighted(0.95, spec(kind)).prop_map(move |spec| {
            let mut object = json!({"apiVersion": API_VERSION, "kind": kind.name(), "metadata": metadata});
            if let Some(spec) = spec {
                object["spec"] = spec;
            }
            object
        })
    })
}

/// One of each key.
fn unique(objects: Vec<Value>) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let key = |object: &Value| (object["kind"].to_string(), object["metadata"]["name"].to_string());
    objects.into_iter().filter(|object| seen.insert(key(object))).collect()
}

/// What both can say: the objects, and for each that cannot be read the field.
type Said = (Index, BTreeSet<(String, String)>);

fn by_cluster(objects: &[Value]) -> Said {
    let mut fold = Fold::default();
    for kind in Kind::ALL {
        fold.take_event(kind, Event::Init);
        for object in objects.iter().filter(|object| object["kind"] == kind.name()) {
            let watched: Watched = serde_json::from_value(object.clone()).expect("no spec makes a list unreadable");
            fold.take_event(kind, Event::InitApply(watched));
        }
        fold.take_event(kind, Event::InitDone);
    }
    let said =
        fold.malformed().map(|problem| (problem.object.as_ref().expect("named").to_string(), problem.field.clone()));
    (fold.index().clone(), said.collect())
}

/// `files` cuts the objects into files; each is a stream of documents, or a list.
fn by_directory(objects: &[Value], per_file: usize, listed: bool) -> Said {
    let dir = tempfile::tempdir().expect("a directory");
    for (n, part) in objects.chunks(per_file).enumerate() {
        let text = if listed {
            json!({"apiVersion": "v1", "kind": "List", "items": part}).to_string()
        } else {
            part.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n---\n")
        };
        fs::write(dir.path().join(format!("{n}.yaml")), text).expect("a file");
    }
    let snapshot = ManifestDir::new(dir.path()).load();
    let problems =
        snapshot.diagnostics.iter().filter(|problem| problem.severity == crate::core::diagnostic::Severity::Error);
    let said = problems.map(|problem| {
        (problem.object.as_ref().unwrap_or_else(|| panic!("{problem}")).to_string(), problem.field.clone())
    });
    let said = said.collect();
    (snapshot.objects.into_iter().collect(), said)
}

proptest! {
    #[test]
    fn a_cluster_and_a_directory_of_the_same_objects_say_the_same(
        objects in vec(object(), 0..12).prop_map(unique),
        per_file in 1_usize..5,
        listed in any::<bool>(),
    ) {
        let (cluster, malformed) = by_cluster(&objects);
        let (directory, broken) = by_directory(&objects, per_file, listed);
        prop_assert_eq!(&directory, &cluster);
        prop_assert_eq!(broken, malformed);
        prop_assert_eq!(DesiredState::build(&directory, "gw1"), DesiredState::build(&cluster, "gw1"));
    }
}
