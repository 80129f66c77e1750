//! Real files in real directories, and the kernel's own events.

mod files;
mod following;
mod mistakes;

use std::{fs, path::Path};

use tempfile::TempDir;

use super::*;
use crate::core::testing::lines;

/// A directory that is removed at the end of the test.
fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).expect("writable");
}

fn eip(name: &str, v4ip: &str) -> String {
    format!(
        "apiVersion: kubeovn.io/v1\nkind: IptablesEIP\nmetadata:\n  name: {name}\nspec:\n  natGwDp: gw1\n  v4ip: {v4ip}\n"
    )
}

/// Several documents as one file.
fn file(documents: &[String]) -> String {
    documents.join("---\n")
}

fn names(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.objects.iter().map(|object| &*object.key.name).collect()
}

/// Diagnostics as lines, with file names relative to `dir`.
fn said(snapshot: &Snapshot, dir: &Path) -> Vec<String> {
    let prefix = format!("{}/", dir.display());
    lines(&snapshot.diagnostics).into_iter().map(|line| line.replace(&prefix, "")).collect()
}
