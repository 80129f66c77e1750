//! The only removal of a data plane.
//!
//! From the outside in: links and filters first, so that no program runs on maps that are half gone, then the sweep
//! program, the maps, the directories. A failure does not stop the rest. Killed in between, it can simply be run
//! again; `natgw run` instead finds a partial tree and completes it.

use std::{fs, io, path::Path};

use thiserror::Error;

use super::{
    attach::{self, Hook},
    lock::Lock,
    pins::{GatewayPaths, Generation},
};

/// What was removed, in words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DetachReport {
    /// One line per removed thing; empty when there was nothing.
    pub removed: Vec<String>,
}

/// Some of it could not be removed; the rest was.
#[derive(Debug, Error)]
#[error("cannot remove the whole data plane: {}", .failures.join("; "))]
pub struct DetachError {
    /// What was removed all the same.
    pub report: DetachReport,
    /// One message per failure.
    pub failures: Vec<String>,
}

/// Removes links and filters, pins and the gateway's directory, and gives up the lock. Idempotent. Runs inside the
/// target network namespace, where it looks for clsact filters; links are found from anywhere.
///
/// # Errors
/// Everything that could not be removed.
pub fn detach(paths: &GatewayPaths, lock: Lock) -> Result<DetachReport, DetachError> {
    let mut work = Work::default();
    for hook in Hook::ALL {
        match attach::remove_link(paths, hook) {
            Ok(true) => work.report.removed.push(format!("TCX link {} with program {}", hook.name(), hook.program())),
            Ok(false) => {}
            Err(error) => work.failures.push(error.to_string()),
        }
    }
    attach::remove_filters(paths, |hook, interface, result| match result {
        Ok(()) => work.report.removed.push(format!("clsact filter {} on {interface}", hook.program())),
        Err(error) => work.failures.push(error.to_string()),
    });
    for (directory, what) in [(paths.links(), "link"), (paths.progs(), "program")] {
        work.empty(&directory, what);
    }
    // Also what a migration that was killed has left.
    for (generation, what) in
        [(Generation::Next, "new map"), (Generation::Old, "old map"), (Generation::Current, "map")]
    {
        work.empty(&paths.of(generation).maps(), what);
    }
    let before = work.report.removed.len();
    work.directory(paths.root());
    // The directory exists because taking the lock makes it; alone it is not worth a word.
    if before == 0 {
        work.report.removed.clear();
    }
    drop(lock);
    // Only when this was the last gateway.
    if let Some(top) = paths.root().parent() {
        let _others_remain = fs::remove_dir(top);
    }
    if work.failures.is_empty() {
        Ok(work.report)
    } else {
        Err(DetachError { report: work.report, failures: work.failures })
    }
}

#[derive(Default)]
struct Work {
    report: DetachReport,
    failures: Vec<String>,
}

impl Work {
    /// Removes all pins in `directory`, then `directory`.
    fn empty(&mut self, directory: &Path, what: &str) {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.failures.push(format!("cannot read {}: {error}", directory.display())),
        };
        for entry in entries {
            match entry.and_then(|entry| fs::remove_file(entry.path()).map(|()| entry.file_name())) {
                Ok(name) => self.report.removed.push(format!("{what} {}", name.to_string_lossy())),
                Err(error) => self.failures.push(format!("cannot remove a pin in {}: {error}", directory.display())),
            }
        }
        self.directory(directory);
    }

    fn directory(&mut self, directory: &Path) {
        match fs::remove_dir(directory) {
            Ok(()) => self.report.removed.push(format!("directory {}", directory.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.failures.push(format!("cannot remove directory {}: {error}", directory.display())),
        }
    }
}
