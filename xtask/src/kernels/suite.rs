//! The tests that run in a guest, by name: what a filter matches is asked of the binary here, before anything is booted.
//!
//! So a test that was renamed cannot leave a guest with nothing to do and a green layer.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::recipe::Suite;
use crate::{cargo, workspace::Workspace};

/// A test binary and what is to run of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) binary: PathBuf,
    /// Further arguments for libtest.
    pub(crate) options: Vec<String>,
    /// Whole names.
    pub(crate) tests: Vec<String>,
}

/// Compiles the suite and chooses its tests; of these only those that `more` names, when it names any.
///
/// # Errors
/// When it does not compile, or one of its filters matches no test.
pub(crate) fn choose(workspace: &Workspace, suite: &Suite, more: &[String]) -> Result<Chosen> {
    let binary = build(workspace, suite)?;
    let (options, names): (Vec<_>, Vec<_>) = more.iter().cloned().partition(|word| word.starts_with('-'));
    let tests = matching(suite, &list(workspace, &binary)?)?;
    let tests = tests.into_iter().filter(|test| names.is_empty() || names.iter().any(|name| test.contains(name)));
    Ok(Chosen { binary, options, tests: tests.collect() })
}

/// The names in libtest's list that a filter of the suite matches.
fn matching(suite: &Suite, list: &str) -> Result<Vec<String>> {
    let mut names: Vec<_> = list.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    for filter in suite.filters {
        let known = names.iter().any(|name| name.contains(filter));
        ensure!(known, "no test of `{}` is called `{filter}`: correct the recipe of the layer", suite.target);
    }
    names.retain(|name| suite.filters.iter().any(|filter| name.contains(filter)));
    Ok(names.into_iter().map(str::to_owned).collect())
}

fn list(workspace: &Workspace, binary: &Path) -> Result<String> {
    let mut command = cargo::command(binary, workspace.root());
    let output = command.args(["--list", "--format=terse"]).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot run {}", binary.display()))?;
    ensure!(output.status.success(), "{} cannot list its tests: {}", binary.display(), output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Compiles a test binary and says where it is.
fn build(workspace: &Workspace, suite: &Suite) -> Result<PathBuf> {
    let mut command = cargo::same(workspace.root());
    command.args(["test", "--locked", "--package", "natgw-tests", "--test", suite.target, "--no-run"]);
    command.args(["--message-format", "json-render-diagnostics"]);
    let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    ensure!(output.status.success(), "cannot compile the tests: {}", output.status);
    executable(&String::from_utf8_lossy(&output.stdout), suite.target)
        .with_context(|| format!("cargo does not say where the test `{}` is", suite.target))
}

fn executable(messages: &str, target: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut of_target = messages.filter(|message| message["target"]["name"] == target);
    of_target.find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_of_a_test_is_found_in_what_cargo_says() {
        let messages = "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"natgw\"},\"executable\":\"/t/natgw\"}\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"netns\"},\"executable\":\"/t/netns-1\"}\n\
            {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(executable(messages, "netns"), Some("/t/netns-1".into()));
        assert_eq!(executable(messages, "restart"), None);
    }

    #[test]
    fn every_filter_has_a_test() {
        let list = "kernels::one: test\nvlan::two: test\nfip::three: test\nkernels::speed: benchmark\n";
        let suite = Suite { target: "netns", filters: &["kernels::", "two"] };
        assert_eq!(matching(&suite, list).unwrap(), ["kernels::one", "vlan::two"]);
        let renamed = Suite { target: "netns", filters: &["kernels::", "every_rule"] };
        let error = matching(&renamed, list).expect_err("no such test").to_string();
        assert!(error.contains("`netns`") && error.contains("`every_rule`"), "{error}");
    }
}
