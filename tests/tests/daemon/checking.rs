//! `natgw check`: its answer as table and as JSON, its exit code, and that it needs nothing of the kernel.

use std::{fs, path::Path, process::Output};

use natgw_tests::{command, gateway::natgw_binary, scratch::Scratch};
use serde_json::Value;

use crate::support::{rules, stderr};

/// Runs it without any capability.
fn check(dir: &Path, more: &[&str]) -> Output {
    let (binary, dir) = (natgw_binary().display().to_string(), dir.display().to_string());
    let bare = ["--bounding-set=-all", "--inh-caps=-all", "--", &binary];
    command::output("setpriv", &[&bare[..], &["check", &dir], more].concat())
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stdout(output)))
}

#[test]
fn the_examples_are_valid_and_said_to_be_without_colours_in_a_pipe() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let output = check(&examples, &[]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert!(!stdout(&output).contains('\u{1b}'), "{}", stdout(&output));
}

#[test]
fn one_wrong_object_is_exit_code_1_and_named_with_its_place_field_and_fix() {
    let scratch = Scratch::new();
    let dir = scratch.dir();
    fs::write(dir.join("rules.yaml"), rules().yaml()).expect("written");
    let good = check(dir, &["-o", "json"]);
    assert_eq!(good.status.code(), Some(0), "{}{}", stdout(&good), stderr(&good));
    assert_eq!(json(&good)["valid"], true);

    let wrong = "apiVersion: kubeovn.io/v1\nkind: IptablesEIP\nmetadata: {name: wrong}\n\
        spec: {natGwDp: gw1, v4ip: 203.0.113.300}\n";
    fs::write(dir.join("wrong.yaml"), wrong).expect("written");
    let bad = check(dir, &["-o", "json"]);
    assert_eq!(bad.status.code(), Some(1), "{}", stdout(&bad));
    let said = json(&bad);
    assert_eq!((&said["valid"], &said["errors"]), (&Value::from(false), &Value::from(1)), "{said:#}");
    assert_eq!(said["gateways"], json(&good)["gateways"], "the others stay");
    let table = check(dir, &[]);
    assert_eq!(table.status.code(), Some(1));
    for expected in ["wrong.yaml:4", "IptablesEIP/wrong", "spec.v4ip", "203.0.113.300"] {
        assert!(stdout(&table).contains(expected), "`{expected}` is missing in:\n{}", stdout(&table));
    }
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let output = check(Path::new("/nowhere/at-all"), &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stdout(&output).contains("/nowhere/at-all"), "{}{}", stdout(&output), stderr(&output));
}
