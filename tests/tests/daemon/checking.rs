//! `natgw check`: its answer as table and as JSON, its exit code, and that it needs nothing of the kernel.

use std::{fs, path::Path, process::Output};

use natgw_tests::{Scratch, command};
use serde_json::Value;

use crate::support::{binary_for_everyone, rules, stderr};

/// Runs it without any capability.
fn check(scratch: &Scratch, dir: &Path, more: &[&str]) -> Output {
    let (binary, dir) = (binary_for_everyone(scratch.dir()), dir.display().to_string());
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
    let scratch = Scratch::new();
    let dir = scratch.dir().join("examples");
    fs::create_dir(&dir).expect("the test's directory is writable");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    for example in fs::read_dir(examples).expect("the examples are there").map(|entry| entry.expect("an entry")) {
        fs::copy(example.path(), dir.join(example.file_name())).expect("the test's directory is writable");
    }
    let output = check(&scratch, &dir, &[]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert!(!stdout(&output).contains('\u{1b}'), "{}", stdout(&output));
}

#[test]
fn one_wrong_object_is_exit_code_1_and_named_with_its_place_field_and_fix() {
    let scratch = Scratch::new();
    let dir = &scratch.dir().join("to-check");
    fs::create_dir(dir).expect("the test's directory is writable");
    fs::write(dir.join("rules.yaml"), rules().yaml()).expect("written");
    let good = check(&scratch, dir, &["-o", "json"]);
    assert_eq!(good.status.code(), Some(0), "{}{}", stdout(&good), stderr(&good));
    assert_eq!(json(&good)["valid"], true);

    let wrong = "apiVersion: kubeovn.io/v1\nkind: IptablesEIP\nmetadata: {name: wrong}\n\
        spec: {natGwDp: gw1, v4ip: 203.0.113.300}\n";
    fs::write(dir.join("wrong.yaml"), wrong).expect("written");
    let bad = check(&scratch, dir, &["-o", "json"]);
    assert_eq!(bad.status.code(), Some(1), "{}", stdout(&bad));
    let said = json(&bad);
    assert_eq!((&said["valid"], &said["errors"]), (&Value::from(false), &Value::from(1)), "{said:#}");
    assert_eq!(said["gateways"], json(&good)["gateways"], "the others stay");
    let table = check(&scratch, dir, &[]);
    assert_eq!(table.status.code(), Some(1));
    for expected in ["wrong.yaml:4", "IptablesEIP/wrong", "spec.v4ip", "203.0.113.300"] {
        assert!(stdout(&table).contains(expected), "`{expected}` is missing in:\n{}", stdout(&table));
    }
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let output = check(&Scratch::new(), Path::new("/nowhere/at-all"), &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stdout(&output).contains("/nowhere/at-all"), "{}{}", stdout(&output), stderr(&output));
}
