//! What was measured, kept between the run and the report: a JSON file per row.

use std::{
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use nix::sys::utsname::uname;
use serde::{Deserialize, Serialize};

use super::table::{Row, TABLE};

/// A directory for the results; `target/recovery` without it.
pub const VARIABLE: &str = "NATGW_RECOVERY_RESULTS";

/// What a scenario came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Probes sent.
    pub sent: u64,
    /// Those that never came back.
    pub lost: u64,
    /// Connections reset, where that is counted.
    pub resets: Option<u64>,
    /// Map entries written until ready, where that is counted.
    pub map_writes: Option<u64>,
    /// Time to recovery in microseconds, the longest of several.
    pub took_us: Option<u64>,
    /// What else there is to say.
    pub note: String,
    /// Where and with what it was measured.
    pub machine: Machine,
}

/// What the figures depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Version of the kernel.
    pub kernel: String,
    /// Processors.
    pub cores: usize,
    /// How natgw was compiled.
    pub build: String,
}

impl Machine {
    /// This one, with this natgw.
    #[must_use]
    pub fn with(binary: &Path) -> Self {
        let profile = binary.parent().and_then(Path::file_name).unwrap_or_default();
        Self {
            kernel: uname().map_or_else(|_| "unknown".to_owned(), |name| version(&name.release().to_string_lossy())),
            cores: thread::available_parallelism().map_or(1, usize::from),
            build: profile.to_string_lossy().into_owned(),
        }
    }
}

/// A release without what a distribution or a builder adds to it.
fn version(release: &str) -> String {
    release.split(['-', '+']).next().unwrap_or_default().to_owned()
}

impl Figures {
    /// Time to recovery.
    #[must_use]
    pub fn took(&self) -> Option<Duration> {
        self.took_us.map(Duration::from_micros)
    }

    /// What is not as the row's bound wants it.
    #[must_use]
    pub fn misses(&self, row: &Row) -> Vec<String> {
        let counts = [
            // Of no packet at all none is lost.
            ("packets lost", row.bound.lost, (self.sent > 0).then_some(self.lost)),
            ("connections reset", row.bound.resets, self.resets),
            ("map writes", row.bound.map_writes, self.map_writes),
        ];
        let mut misses: Vec<String> = counts
            .iter()
            .filter(|(_, bound, seen)| bound.is_some() && seen.is_none_or(|seen| Some(seen) > *bound))
            .map(|(what, bound, seen)| format!("{what}: {seen:?}, allowed {bound:?}"))
            .collect();
        if let Some(bound) = row.bound.within
            && self.took().is_none_or(|took| took > bound)
        {
            misses.push(format!("{}: {:?}, allowed {bound:?}", row.timed, self.took()));
        }
        misses
    }

    /// Keeps them for the report.
    ///
    /// # Panics
    /// When the directory cannot be written.
    pub(super) fn keep(&self, row: &Row) {
        let path = path(row);
        fs::create_dir_all(directory()).expect("the directory of the results can be made");
        let json = serde_json::to_string_pretty(self).expect("figures are JSON");
        fs::write(&path, json + "\n").unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    }
}

/// Forgets what an earlier run said about `row`.
pub(super) fn forget(row: &Row) {
    // It may never have been measured.
    let _ = fs::remove_file(path(row));
}

/// The rows with what was measured of them.
#[must_use]
pub fn read() -> Vec<(&'static Row, Option<Figures>)> {
    let figures = |row| fs::read_to_string(path(row)).ok().and_then(|text| serde_json::from_str(&text).ok());
    TABLE.iter().map(|row| (row, figures(row))).collect()
}

fn path(row: &Row) -> PathBuf {
    directory().join(format!("{}.json", row.id.replace(' ', "-")))
}

/// The variable's, else below cargo's target directory, which has a tag.
fn directory() -> PathBuf {
    if let Some(path) = env::var_os(VARIABLE) {
        return path.into();
    }
    let exe = env::current_exe().expect("a process knows its own path");
    let target = exe.ancestors().find(|path| path.join("CACHEDIR.TAG").is_file());
    target.unwrap_or_else(|| panic!("{} is in no target directory: set {VARIABLE}", exe.display())).join("recovery")
}
