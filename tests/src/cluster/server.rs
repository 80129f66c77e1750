//! One server process: its log, its start, its end.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{assets, keeper, place::Place};
use crate::clock;

/// How long a server may take to get ready. Seconds on a free machine; forty were seen on a very busy one.
const PATIENCE: Duration = Duration::from_mins(3);
/// How often it is asked.
const LOOK: Duration = Duration::from_millis(25);
/// How much of a log is shown.
const TAIL: usize = 40;

/// A process of `etcd` or `kube-apiserver`.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    name: &'static str,
    log: PathBuf,
}

impl Server {
    /// Starts it; what it says is added to `<name>.log`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub(super) fn start(name: &'static str, args: &[String], place: &Place) -> Self {
        let log = place.file(&format!("{name}.log"));
        let out = OpenOptions::new().create(true).append(true).open(&log).expect("the cluster's directory is writable");
        let copy = out.try_clone().expect("a file descriptor can be duplicated");
        let mut command = Command::new(assets::program(name));
        command.args(args).current_dir(place.dir()).stdin(Stdio::null()).stdout(out).stderr(copy);
        let child = keeper::spawn(command).unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self { child, name, log }
    }

    /// Waits until `ready` says so. It is asked again and again, because a server tells nobody: kube-apiserver would
    /// notify systemd, but before its hooks have run, and etcd before it has a leader.
    ///
    /// # Panics
    /// When the process ends or does not get there; the message has the end of its log.
    pub(super) fn wait_ready(&mut self, ready: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !ready() {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                panic!("{} ended ({status}):\n{}", self.name, tail(&self.log));
            }
            assert!(Instant::now() < deadline, "{} is not ready after {PATIENCE:?}:\n{}", self.name, tail(&self.log));
            clock::pass(LOOK);
        }
    }

    /// SIGKILL; returns when the process is gone.
    pub(super) fn kill(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].iter().flat_map(|line| ["  | ", line, "\n"]).collect()
}
