//! A directory of kube-ovn manifests as a source.
//!
//! A mistake never removes anything that is programmed: what a file said last stays in force where its present text
//! cannot be read. See `docs/manifests.md` for the rules in its users' words.

mod directory;
mod documents;
mod file;
mod node;
mod object;
mod places;
mod reader;
mod version;
mod watch;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

pub(crate) use directory::ManifestDir;

use self::{places::Places, watch::Watcher};
use crate::core::{
    diagnostic::{Diagnostic, Location, Reason},
    objects::{Object, ObjectKey},
};

/// A larger file is refused.
pub const MAX_FILE_BYTES: u64 = 16 << 20;

/// Everything the directory says at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The objects, unique by key and in its order.
    pub objects: Vec<Object>,
    /// What is wrong with the files. Problems of the objects' meaning come from `DesiredState::build`.
    pub diagnostics: Vec<Diagnostic>,
    places: BTreeMap<ObjectKey, Places>,
}

impl Snapshot {
    /// Where the object begins.
    #[must_use]
    pub fn location(&self, key: &ObjectKey) -> Option<Location> {
        self.places.get(key).map(Places::start)
    }

    /// Why this may be less than the directory's author means; `None` when everything could be read. A directory without a
    /// single object looks just like a volume that is not mounted yet.
    #[must_use]
    pub fn incomplete(&self) -> Option<String> {
        let hides_objects = |diagnostic: &Diagnostic| {
            matches!(
                diagnostic.reason,
                Reason::DirectoryUnavailable
                    | Reason::ManifestUnreadable
                    | Reason::ManifestTooLarge
                    | Reason::ManifestSyntax
                    | Reason::InvalidObject
            )
        };
        let incomplete = self.objects.is_empty() || self.diagnostics.iter().any(hides_objects);
        incomplete.then(|| {
            "the manifests are empty or could not be read completely: nothing is removed until they can".to_owned()
        })
    }

    /// Fills in where the fields that `diagnostics` name are written.
    pub fn locate(&self, diagnostics: &mut [Diagnostic]) {
        for diagnostic in diagnostics.iter_mut().filter(|diagnostic| diagnostic.location.is_none()) {
            let places = diagnostic.object.as_ref().and_then(|key| self.places.get(key));
            diagnostic.location = places.map(|places| places.of_field(&diagnostic.field));
        }
    }
}

/// The directory, watched.
#[derive(Debug)]
pub struct ManifestSource {
    dir: ManifestDir,
    path: PathBuf,
    watcher: Watcher,
}

/// The directory cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch the manifest directory `{}`: {error}{}", dir.display(), hint(error))]
pub struct WatchError {
    /// The directory.
    pub dir: PathBuf,
    /// What the kernel says.
    #[source]
    pub error: io::Error,
}

/// The two limits that inotify reports with unhelpful words.
fn hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMFILE) => "; raise the sysctl fs.inotify.max_user_instances",
        Some(libc::ENOSPC) => "; raise the sysctl fs.inotify.max_user_watches",
        _ => "",
    }
}

impl ManifestSource {
    /// Starts to watch `dir`, which need not exist yet.
    ///
    /// # Errors
    /// No inotify instance or watch is to be had.
    pub fn new(dir: impl Into<PathBuf>) -> Result<Self, WatchError> {
        let path = dir.into();
        let watcher = Watcher::new(&path).map_err(|error| WatchError { dir: path.clone(), error })?;
        Ok(Self { dir: ManifestDir::new(path.clone()), path, watcher })
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.path
    }

    /// Reads the directory as it is now. Never fails: what cannot be read keeps its last good state, and a file that
    /// is being written keeps its last state until its writer is done.
    pub fn load(&mut self) -> Snapshot {
        // An error of the watch comes up again in `changed`, where it can be returned.
        let _ = self.watcher.begin_reading();
        let reading = self.dir.read();
        // Once more: a file may have been opened for writing while it was read.
        let _ = self.watcher.drain();
        self.dir.take(reading, &self.watcher.unfinished(), &self.watcher.given_up())
    }

    /// Returns when something changed since the last [`Self::load`] and has come to rest: 10 ms after the last change
    /// of a burst, 50 ms after its first. Cancel-safe. Needs a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// The kernel's watch broke; the next call tries again.
    pub async fn changed(&mut self) -> Result<(), WatchError> {
        self.watcher.changed().await.map_err(|error| WatchError { dir: self.path.clone(), error })
    }
}

#[cfg(test)]
mod tests;
