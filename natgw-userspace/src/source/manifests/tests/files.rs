//! What is read, and as what.

use std::os::unix::fs::symlink;

use super::*;
use crate::core::objects::{Kind, Spec, Timestamp};

#[test]
fn every_kind_is_read_from_yaml_and_json_in_any_number_of_files_and_documents() {
    let dir = directory();
    write(
        dir.path(),
        "rules.yaml",
        "\
apiVersion: kubeovn.io/v1
kind: VpcNatGateway
metadata: {name: gw1, generation: 7, creationTimestamp: \"2026-01-31T12:00:00Z\", labels: {a: b}}
spec:
  vpc: vpc1
  subnet: subnet1
  lanIp: 10.0.1.1
  externalSubnets: [external]
  selector: ['kubernetes.io/os: linux']
  tolerations: [{operator: Exists}]
  affinity: {nodeAffinity: {}}
  bgpSpeaker: {enabled: false}
  noDefaultEIP: true
  replicas: 1
  routes:
    - {cidr: 10.1.0.0/16, nextHopIP: gateway}
status: {anything: [1, 2.5, true, null]}
--- # a comment
apiVersion: kubeovn.io/v1
kind: IptablesDnatRule
metadata:
  name: web
spec:
  eip: a
  externalPort: 8080     # a number, where the API wants a string
  internalPort: \"80\"
  internalIp: 10.0.1.2
  protocol: TCP
  type: ''
",
    );
    write(dir.path(), "eips.yml", &file(&[eip("a", "203.0.113.10"), eip("b", "203.0.113.11")]));
    write(
        dir.path(),
        "more.json",
        "{\n\t\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\n\t\t{\"apiVersion\": \"kubeovn.io/v1\", \"kind\": \
         \"IptablesSnatRule\", \"metadata\": {\"name\": \"s\"}, \"spec\": {\"eip\": \"a\", \"internalCIDR\": \
         \"10.0.1.0/24\"}},\n\t\t{\"apiVersion\": \"kubeovn.io/v1\", \"kind\": \"IptablesFIPRule\", \"metadata\": \
         {\"name\": \"f\"}, \"spec\": {\"eip\": \"b\", \"internalIp\": \"10.0.1.3\"}}\n\t]\n}\n",
    );
    write(dir.path(), "notes.txt", "not yaml: [");
    write(dir.path(), ".hidden.yaml", "not yaml: [");
    write(dir.path(), "rules.yaml~", "not yaml: [");
    let snapshot = ManifestDir::new(dir.path()).load();
    assert_eq!(said(&snapshot, dir.path()), Vec::<String>::new());
    let keys: Vec<_> = snapshot.objects.iter().map(|object| object.key.to_string()).collect();
    assert_eq!(
        keys,
        [
            "VpcNatGateway/gw1",
            "IptablesEIP/a",
            "IptablesEIP/b",
            "IptablesFIPRule/f",
            "IptablesDnatRule/web",
            "IptablesSnatRule/s"
        ]
    );
    let gateway = &snapshot.objects[0];
    assert_eq!(gateway.generation, 7);
    assert_eq!(gateway.created, Some("2026-01-31T12:00:00Z".parse::<Timestamp>().expect("valid")));
    let Spec::VpcNatGateway(spec) = &gateway.spec else { panic!("{gateway:?}") };
    assert_eq!(spec.routes[0].next_hop_ip.as_deref(), Some("gateway"));
    let Spec::IptablesDnatRule(spec) = &snapshot.objects[4].spec else { panic!("the DNAT rule") };
    assert_eq!((spec.external_port.as_deref(), spec.protocol.as_deref()), (Some("8080"), Some("TCP")));
    assert_eq!(spec.sharing, None);
}

#[test]
fn a_configmap_mount_is_read_through_its_links() {
    let dir = directory();
    let version = dir.path().join("..2026_01_31");
    fs::create_dir(&version).expect("a directory");
    write(&version, "a.yaml", &eip("a", "203.0.113.10"));
    symlink("..2026_01_31", dir.path().join("..data")).expect("a link");
    symlink("..data/a.yaml", dir.path().join("a.yaml")).expect("a link");
    let snapshot = ManifestDir::new(dir.path()).load();
    assert_eq!(names(&snapshot), ["a"]);
    assert_eq!(snapshot.diagnostics, []);
}

#[test]
fn anchors_and_merge_keys_work() {
    let dir = directory();
    write(
        dir.path(),
        "a.yaml",
        "\
apiVersion: v1
kind: List
items:
  - &first
    apiVersion: kubeovn.io/v1
    kind: IptablesEIP
    metadata: {name: a}
    spec: &spec {natGwDp: gw1, v4ip: 203.0.113.10}
  - <<: *first
    metadata: {name: b}
    spec:
      <<: *spec
      v4ip: 203.0.113.11
",
    );
    let snapshot = ManifestDir::new(dir.path()).load();
    assert_eq!(said(&snapshot, dir.path()), Vec::<String>::new());
    assert_eq!(names(&snapshot), ["a", "b"]);
    let Spec::IptablesEip(spec) = &snapshot.objects[1].spec else { panic!("an EIP") };
    assert_eq!((spec.v4ip.as_deref(), spec.nat_gw_dp.as_deref()), (Some("203.0.113.11"), Some("gw1")));
}

#[test]
fn diagnostics_of_the_meaning_are_given_the_place_of_their_field() {
    let dir = directory();
    write(
        dir.path(),
        "r.yaml",
        "# one line\n---\napiVersion: kubeovn.io/v1\nkind: IptablesDnatRule\nmetadata: {name: web}\nspec:\n  eip: a\n  \
         externalPort:   http\n",
    );
    let snapshot = ManifestDir::new(dir.path()).load();
    let index = snapshot.objects.iter().cloned().collect();
    let (_, mut diagnostics) = crate::core::desired::DesiredState::build(&index, "gw1");
    diagnostics.retain(|diagnostic| diagnostic.severity == crate::core::diagnostic::Severity::Error);
    snapshot.locate(&mut diagnostics);
    let places: Vec<_> = diagnostics
        .iter()
        .map(|d| {
            let place = d.location.as_ref().and_then(|location| location.position).expect("a place");
            (d.field.as_str(), place.line, place.column)
        })
        .collect();
    assert_eq!(
        places,
        [
            ("spec.eip", 7, 8),
            ("spec.externalPort", 8, 19),
            // What is not there is missing where it should be.
            ("spec.internalIp", 6, 1),
            ("spec.internalPort", 6, 1),
            ("spec.protocol", 6, 1)
        ]
    );
    assert_eq!(
        snapshot.location(&ObjectKey::new(Kind::IptablesDnatRule, "web")).expect("known").position.map(|p| p.line),
        Some(3)
    );
}

#[test]
fn thousands_of_rules_in_one_file_are_read() {
    let dir = directory();
    let rules: Vec<_> = (0..2_000).map(|n| eip(&format!("e{n}"), "203.0.113.10")).collect();
    write(dir.path(), "a.yaml", &file(&rules));
    let mut list = "apiVersion: v1\nkind: List\nitems:\n".to_owned();
    for rule in &rules {
        list += "  - ";
        list += rule.replace("name: e", "name: l").replace('\n', "\n    ").trim_end();
        list += "\n";
    }
    write(dir.path(), "b.yaml", &list);
    let snapshot = ManifestDir::new(dir.path()).load();
    assert_eq!(snapshot.diagnostics, []);
    assert_eq!(snapshot.objects.len(), 4_000);
}
