//! The layer `kernels`: tests on other kernels than this machine's, each booted in a virtual machine.

mod fetch;
mod guest;
mod initramfs;
mod modules;
mod recipe;
mod suite;

use std::fs;

use anyhow::{Context as _, Result};

use self::recipe::{KERNELS, Kernel};
use crate::{bpftool, libtest::Counts, workspace::Workspace};

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
    let suites = kernel.suites.iter().map(|suite| suite::choose(workspace, suite, more));
    let mut suites = suites.collect::<Result<Vec<_>>>()?;
    suites.retain(|chosen| !chosen.tests.is_empty());
    if suites.is_empty() {
        return Ok(Counts::default());
    }
    let image = fetch::provide(workspace, kernel)?;
    println!("-- Linux {} ({})", image.release, kernel.what);
    let dir = workspace.root().join("target/kernels").join(kernel.series);
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let initramfs = initramfs::pack(workspace, &image, &guest::tests(&suites, &bpftool::dir(workspace)), &dir)?;
    guest::run(workspace, &image, &initramfs, &dir)
}
