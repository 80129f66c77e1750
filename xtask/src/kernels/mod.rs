//! The layer `kernels`: tests on other kernels than this machine's, each booted in a virtual machine.

mod fetch;
mod guest;
mod initramfs;
mod modules;
mod recipe;

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use self::recipe::{KERNELS, Kernel, Suite};
use crate::{cargo, libtest::Counts, workspace::Workspace};

/// Runs the layer. A kernel that cannot be run counts as a failed test: the others run all the same.
pub(crate) fn run(workspace: &Workspace, more: &[String]) -> Counts {
    let mut counts = Counts::default();
    for kernel in &KERNELS {
        match run_on(workspace, kernel, more) {
            Ok(of_kernel) => counts.add(&of_kernel),
            Err(error) => {
                eprintln!("Linux {}: {error:#}", kernel.series);
                counts.failed += 1;
            }
        }
    }
    counts
}

fn run_on(workspace: &Workspace, kernel: &Kernel, more: &[String]) -> Result<Counts> {
    let suites = kernel.suites.iter().map(|suite| Ok((suite, build(workspace, suite)?))).collect::<Result<Vec<_>>>()?;
    let image = fetch::provide(workspace, kernel)?;
    println!("-- Linux {} ({})", image.release, kernel.what);
    let dir = workspace.root().join("target/kernels").join(kernel.series);
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let initramfs = initramfs::pack(workspace, &image, &guest::tests(&suites, more), &dir)?;
    guest::run(workspace, &image, &initramfs, &dir)
}

/// Compiles a test binary and says where it is.
fn build(workspace: &Workspace, suite: &Suite) -> Result<PathBuf> {
    let mut command = cargo::same(workspace.root());
    command.args(["test", "--locked", "--package", "natgw-tests", "--test", suite.target, "--no-run"]);
    command.args(["--message-format", "json-render-diagnostics"]);
    let output = command.stderr(std::process::Stdio::inherit()).output().context("cannot run cargo")?;
    anyhow::ensure!(output.status.success(), "cannot compile the tests: {}", output.status);
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
}
