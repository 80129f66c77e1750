//! A directory of kube-ovn manifests as a source.

use std::path::PathBuf;

use crate::core::{diagnostic::Diagnostic, objects::Object};

/// Everything the directory says at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The objects, unique by key.
    pub objects: Vec<Object>,
    /// What is wrong with the files. Problems of the objects' meaning come from `DesiredState::build`.
    pub diagnostics: Vec<Diagnostic>,
}

impl Snapshot {
    /// Fills in where the fields that `diagnostics` name are written.
    pub fn locate(&self, diagnostics: &mut [Diagnostic]) {
        let _ = diagnostics;
        todo!()
    }
}

/// The directory, watched.
#[derive(Debug)]
pub struct ManifestSource {
    dir: PathBuf,
}

/// The directory cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch the manifest directory `{}`: {error}", dir.display())]
pub struct WatchError {
    /// The directory.
    pub dir: PathBuf,
    /// What the kernel says.
    #[source]
    pub error: std::io::Error,
}

impl ManifestSource {
    /// Starts to watch `dir`, which need not exist yet.
    ///
    /// # Errors
    /// No inotify instance or watch is to be had.
    pub fn new(dir: impl Into<PathBuf>) -> Result<Self, WatchError> {
        Ok(Self { dir: dir.into() })
    }

    /// Reads the directory as it is now. Never fails: what cannot be read keeps its last good state.
    pub fn load(&mut self) -> Snapshot {
        todo!()
    }

    /// Returns when something changed since the last [`Self::load`] and has come to rest. Cancel-safe. Needs a tokio
    /// runtime with I/O and time.
    ///
    /// # Errors
    /// The kernel's watch broke.
    pub async fn changed(&mut self) -> Result<(), WatchError> {
        let _ = &self.dir;
        todo!()
    }
}
