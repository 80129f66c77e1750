//! Running code inside a network namespace.
//!
//! The process itself never changes its namespace: `setns(2)` acts on one thread, so each [`NetNs::run`] starts a fresh
//! thread, enters there and ends it. Sockets opened inside keep that namespace; connections made by the rest of
//! the process (an API server) stay outside.

use std::{
    fs::File,
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    thread,
};

use nix::sched::{CloneFlags, setns};
use thiserror::Error;

/// Why a namespace could not be entered.
#[derive(Debug, Error)]
pub enum NetNsError {
    /// The path cannot be opened.
    #[error("cannot open network namespace `{path}`: {source}; check --netns (`ip netns list` shows the named ones)")]
    Open {
        /// As given.
        path: PathBuf,
        /// What `open(2)` said.
        source: io::Error,
    },
    /// The path is something else than a network namespace, or `CAP_SYS_ADMIN` is missing.
    #[error(
        "cannot enter network namespace `{path}`: setns: {source}; it must be a network namespace file and needs CAP_SYS_ADMIN"
    )]
    Enter {
        /// As given.
        path: PathBuf,
        /// What `setns(2)` said.
        source: io::Error,
    },
    /// No thread could be started.
    #[error("cannot start a thread for network namespace work: {0}")]
    Thread(io::Error),
    /// The work panicked; the panic was printed.
    #[error("work inside the network namespace panicked")]
    Panicked,
}

/// A network namespace: the process's own, or one named by a path and held open.
#[derive(Debug)]
pub struct NetNs {
    target: Option<(PathBuf, File)>,
}

impl NetNs {
    /// The namespace of this process.
    #[must_use]
    pub fn current() -> Self {
        Self { target: None }
    }

    /// The namespace at `path` (`/run/netns/NAME`, `/proc/PID/ns/net`). It is held open: the path may go away later.
    ///
    /// # Errors
    /// When the path cannot be opened.
    pub fn path(path: impl AsRef<Path>) -> Result<Self, NetNsError> {
        let path = path.as_ref().to_owned();
        let file = File::open(&path).map_err(|source| NetNsError::Open { path: path.clone(), source })?;
        Ok(Self { target: Some((path, file)) })
    }

    /// [`NetNs::path`] for `Some`, [`NetNs::current`] for `None`.
    ///
    /// # Errors
    /// When the path cannot be opened.
    pub fn from_option(path: Option<&Path>) -> Result<Self, NetNsError> {
        path.map_or_else(|| Ok(Self::current()), Self::path)
    }

    /// The path it was opened by; `None` for the process's own.
    #[must_use]
    pub fn as_path(&self) -> Option<&Path> {
        self.target.as_ref().map(|(path, _)| path.as_path())
    }

    /// Runs `work` inside the namespace, on a thread of its own, and waits for it.
    ///
    /// # Errors
    /// When the namespace cannot be entered or `work` panics.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> Result<R, NetNsError> {
        thread::scope(|scope| {
            let handle = thread::Builder::new()
                .name("natgw-netns".to_owned())
                .spawn_scoped(scope, || {
                    if let Some((path, file)) = &self.target {
                        setns(file.as_fd(), CloneFlags::CLONE_NEWNET)
                            .map_err(|errno| NetNsError::Enter { path: path.clone(), source: errno.into() })?;
                    }
                    Ok(work())
                })
                .map_err(NetNsError::Thread)?;
            handle.join().unwrap_or(Err(NetNsError::Panicked))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_namespace_runs_work_and_returns_its_value() {
        let local = 20;
        assert_eq!(NetNs::current().run(|| local + 1).expect("runs"), 21);
    }

    #[test]
    fn a_missing_path_is_named_in_the_error() {
        let error = NetNs::path("/run/netns/natgw-no-such-namespace").expect_err("does not exist");
        assert!(error.to_string().contains("natgw-no-such-namespace"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_namespace_is_refused_on_entry() {
        let error = NetNs::path("/proc/self/status").expect("opens").run(|| ()).expect_err("is not a namespace");
        assert!(matches!(error, NetNsError::Enter { .. }), "{error}");
    }
}
