//! Names and places that belong to one test, and the removal of what a killed test process left behind.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::netns;

/// Every namespace, directory and gateway made by the harness starts with this, then the pid, then a number.
pub const PREFIX: &str = "natgwt";

static NEXT: AtomicU32 = AtomicU32::new(0);
static REAP: Once = Once::new();

/// A name that nobody else on this machine uses: `natgwt-<pid>-<n>`.
#[must_use]
pub fn unique_name() -> String {
    REAP.call_once(reap);
    format!("{PREFIX}-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The pid inside a name made by [`unique_name`] (with or without a suffix).
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.strip_prefix('-')?.split('-').next()?.parse().ok()
}

fn is_leftover(name: &str) -> bool {
    owner(name).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

/// Removes the namespaces, mounts and daemons of test processes that no longer exist.
fn reap() {
    remove_all(is_leftover);
}

/// Removes the namespaces, mounts and daemons of this process: for a program that is interrupted and drops nothing.
pub fn remove_own() {
    remove_all(|name| owner(name) == Some(process::id()));
}

fn remove_all(wanted: impl Fn(&str) -> bool) {
    for name in names_in(&std::env::temp_dir()).into_iter().filter(|name| wanted(name)) {
        let dir = std::env::temp_dir().join(name);
        kill_leftover_daemons(&dir);
        remove_dir(&dir);
    }
    for name in names_in(Path::new(netns::DIRECTORY)).into_iter().filter(|name| wanted(name)) {
        netns::remove(&name);
    }
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// A daemon whose test was killed still runs; its command line names the scratch directory, so it is surely ours.
fn kill_leftover_daemons(dir: &Path) {
    for name in names_in(dir).iter().filter(|name| name.starts_with("daemon-")) {
        let Some(pid) = name.strip_prefix("daemon-").and_then(|pid| pid.parse::<i32>().ok()) else { continue };
        let command_line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command_line).contains(&*dir.to_string_lossy()) {
            // It may have ended by itself in the meantime.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Removes a directory, and first the bpffs in it if it has one.
pub(crate) fn remove_dir(dir: &Path) {
    let bpffs = dir.join("bpf");
    // Lazily: a daemon that is just dying may still hold a file open.
    let _ = umount2(&bpffs, MntFlags::MNT_DETACH);
    if let Err(error) = fs::remove_dir_all(dir)
        && error.kind() != io::ErrorKind::NotFound
    {
        eprintln!("cannot remove {}: {error}", dir.display());
    }
}

/// A directory under the temporary directory with a bpffs of its own, removed with everything in it on drop.
///
/// A bpffs per test keeps pins apart without any naming rule, and its unmount cannot leave a pin behind.
#[derive(Debug)]
pub struct Scratch {
    name: String,
    dir: PathBuf,
}

impl Scratch {
    /// Makes the directory.
    ///
    /// # Panics
    /// When it cannot be made (no root, no bpffs in the kernel).
    #[must_use]
    pub fn new() -> Self {
        let name = unique_name();
        let dir = std::env::temp_dir().join(&name);
        fs::create_dir_all(dir.join("manifests")).expect("the temporary directory is writable");
        let bpffs = dir.join("bpf");
        fs::create_dir_all(&bpffs).expect("the temporary directory is writable");
        mount(None::<&str>, &bpffs, Some("bpf"), MsFlags::empty(), None::<&str>)
            .unwrap_or_else(|error| panic!("cannot mount a bpffs at {}: {error} (root?)", bpffs.display()));
        Self { name, dir }
    }

    /// The unique name of this place.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The mount point of its bpffs.
    #[must_use]
    pub fn bpffs(&self) -> PathBuf {
        self.dir.join("bpf")
    }

    /// An (at first empty) directory for manifests.
    #[must_use]
    pub fn manifests(&self) -> PathBuf {
        self.dir.join("manifests")
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove_dir(&self.dir);
    }
}
