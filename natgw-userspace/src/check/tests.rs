//! The report on real directories, word for word.

use std::{fs, path::PathBuf};

use super::*;

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (name, text) in files {
        fs::write(dir.path().join(name), text).expect("writable");
    }
    dir
}

const GOOD: &str = "\
apiVersion: kubeovn.io/v1
kind: VpcNatGateway
metadata: {name: gw1}
spec:
  routes: [{cidr: 10.1.0.0/16, nextHopIP: gateway}]
---
apiVersion: kubeovn.io/v1
kind: IptablesEIP
metadata: {name: a}
spec: {natGwDp: gw1, v4ip: 203.0.113.10}
---
apiVersion: kubeovn.io/v1
kind: IptablesSnatRule
metadata: {name: s}
spec: {eip: a, internalCIDR: 10.0.1.0/24}
";

#[test]
fn a_valid_directory_is_summed_up_by_gateway() {
    let dir = directory(&[("a.yaml", GOOD)]);
    let report = check(dir.path(), None);
    assert_eq!((report.valid, report.exit_code()), (true, 0));
    assert_eq!(
        report.render(Format::Table, Colours::Always),
        "GATEWAY  EIPS  FIPS  DNAT  SNAT  ROUTES\ngw1      1     0     0     1     1\nvalid: 0 errors, 0 warnings\n"
    );
    let json: serde_json::Value = serde_json::from_str(&report.render(Format::Json, Colours::Always)).expect("JSON");
    assert_eq!(
        json,
        serde_json::json!({
            "valid": true, "errors": 0, "warnings": 0, "diagnostics": [],
            "gateways": {"gw1": {"eips": 1, "fips": 0, "dnat": 0, "snat": 1, "routes": 1}},
        })
    );
}

#[test]
fn every_problem_is_listed_where_it_is_written_and_errors_fail() {
    let bad = "\
apiVersion: kubeovn.io/v1
kind: IptablesDnatRule
metadata: {name: web}
spec: {eip: nope, externalPort: '0', protocol: tcp, internalIp: 10.0.1.2, internalPort: '80', typo: 1}
---
apiVersion: kubeovn.io/v1
kind: IptablesEIP
metadata: {name: b}
spec: {natGwDp: gw-1, v4ip: 203.0.113.11}
";
    let dir = directory(&[("a.yaml", GOOD), ("b.yaml", bad), ("c.yaml", "a: [\n")]);
    let report = check(dir.path(), None);
    assert_eq!((report.valid, report.exit_code()), (false, 1));
    let text = report.render(Format::Table, Colours::Never).replace(&format!("{}/", dir.path().display()), "");
    assert_eq!(
        text,
        "\
error[EipMissing] b.yaml:4:13 IptablesDnatRule/web spec.eip
    there is no IptablesEIP `nope`
    fix: create it, or name one that exists

error[InvalidPort] b.yaml:4:33 IptablesDnatRule/web spec.externalPort
    `0` is not a port
    fix: give a number from 1 to 65535

warning[UnknownField] b.yaml:4:95 IptablesDnatRule/web spec.typo
    IptablesDnatRule has no such field; it is ignored
    fix: correct its name, or remove it

warning[GatewayMissing] b.yaml:9:17 IptablesEIP/b spec.natGwDp
    there is no VpcNatGateway `gw-1`
    fix: correct the name, or add the VpcNatGateway

error[ManifestSyntax] c.yaml:1:4
    unclosed bracket '['
    fix: correct it; what the file last said of objects that are missing now stays in force

GATEWAY  EIPS  FIPS  DNAT  SNAT  ROUTES
gw-1     1     0     0     0     0
gw1      1     0     0     1     1
not valid: 3 errors, 2 warnings
"
    );
    let json: serde_json::Value = serde_json::from_str(&report.render(Format::Json, Colours::Never)).expect("JSON");
    let port =
        json["diagnostics"].as_array().expect("a list").iter().find(|d| d["reason"] == "InvalidPort").expect("it");
    assert_eq!(
        *port,
        serde_json::json!({
            "severity": "error", "reason": "InvalidPort", "object": "IptablesDnatRule/web", "field": "spec.externalPort",
            "message": "`0` is not a port", "fix": "give a number from 1 to 65535",
            "location": {"file": dir.path().join("b.yaml"), "line": 4, "column": 33},
        })
    );
}

#[test]
fn colours_are_on_the_severity_only() {
    let dir = directory(&[("a.yaml", "a: [\n")]);
    let text = check(dir.path(), None).render(Format::Table, Colours::Always);
    assert!(text.starts_with("\x1b[1;31merror[ManifestSyntax]\x1b[0m "), "{text:?}");
    assert!(!check(dir.path(), None).render(Format::Table, Colours::Never).contains('\x1b'));
}

#[test]
fn one_gateway_can_be_asked_for_and_a_misspelt_one_is_said_to_be() {
    let dir = directory(&[("a.yaml", GOOD)]);
    assert_eq!(check(dir.path(), Some("gw1")).gateways.len(), 1);
    let report = check(dir.path(), Some("gw-1"));
    assert_eq!((report.errors, report.warnings), (0, 1));
    assert_eq!(report.diagnostics[0].fix, "add it, or use one of `gw1`");
}

#[test]
fn a_directory_without_objects_is_worth_a_warning_and_a_missing_one_an_error() {
    let dir = directory(&[("readme.txt", "nothing")]);
    let report = check(dir.path(), None);
    assert_eq!((report.errors, report.warnings), (0, 1));
    let report = check(&dir.path().join("missing"), None);
    assert_eq!((report.errors, report.warnings), (1, 0));
    assert_eq!(report.diagnostics[0].reason, Reason::DirectoryUnavailable);
}

#[test]
fn the_examples_are_valid() {
    let examples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let report = check(&examples, None);
    assert_eq!(
        report.render(Format::Table, Colours::Never),
        "\
GATEWAY  EIPS  FIPS  DNAT  SNAT  ROUTES
gw1      3     1     2     1     0
valid: 0 errors, 0 warnings
"
    );
}

#[test]
fn every_reason_is_documented() {
    let docs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/manifests.md");
    let text = fs::read_to_string(docs).expect("docs/manifests.md");
    for reason in Reason::ALL {
        assert!(text.contains(&format!("| `{reason}` |")), "docs/manifests.md does not list {reason}");
    }
}

#[test]
fn nothing_in_a_manifest_can_steer_the_terminal() {
    let text = "apiVersion: kubeovn.io/v1\nkind: IptablesEIP\nmetadata: {name: a}\nspec: {natGwDp: \"g\\e]0;x\\a\", \
                v4ip: \"1.2\\n3\\u202e\", \"x\\e[1m\": 1}\n";
    let dir = directory(&[("a\u{1b}[31m.yaml", text)]);
    let shown = check(dir.path(), None).render(Format::Table, Colours::Never);
    assert!(shown.contains("\\u{1b}[31m") && shown.contains("\\u{1b}]0;x") && shown.contains("\\u{202e}"), "{shown}");
    assert!(!shown.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{shown:?}");
}
