//! All manifest files of a directory as one set of objects.
//!
//! A directory without a single object says that everything was deleted only when it is the one that held the objects.
//! A volume that was unmounted, or a directory made anew, looks just the same and says nothing.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    Snapshot,
    file::{self, Contents, Extent, Held, ManifestFile},
};
use crate::core::{
    diagnostic::{Diagnostic, Location, Reason, Severity},
    objects::ObjectKey,
};

/// The directory and what its files last said.
#[derive(Debug)]
pub(crate) struct ManifestDir {
    dir: PathBuf,
    files: BTreeMap<OsString, ManifestFile>,
    /// The directory that the files were read from; `None` when they may have gone with it since.
    identity: Option<Identity>,
    problem: Option<Diagnostic>,
    /// Files that are being written and have said nothing yet.
    awaited: Vec<OsString>,
}

/// What [`ManifestDir::read`] found, not yet in force.
#[derive(Debug)]
pub(super) struct Reading {
    /// The directory, and every manifest's contents by file name.
    files: io::Result<(Identity, BTreeMap<OsString, Contents>)>,
}

/// Which directory a path leads to. Inode numbers are used again soon, so the birth time belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    born: Option<SystemTime>,
}

impl Identity {
    pub(super) fn of(dir: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(dir)?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino(), born: metadata.created().ok() })
    }
}

impl ManifestDir {
    pub(crate) fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), files: BTreeMap::new(), identity: None, problem: None, awaited: Vec::new() }
    }

    /// Reads the directory and takes what it says.
    pub(crate) fn load(&mut self) -> Snapshot {
        let reading = self.read();
        self.take(reading, &BTreeSet::new(), &BTreeSet::new())
    }

    /// Reads every manifest.
    pub(super) fn read(&self) -> Reading {
        Reading { files: self.try_read() }
    }

    fn try_read(&self) -> io::Result<(Identity, BTreeMap<OsString, Contents>)> {
        let identity = Identity::of(&self.dir)?;
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            if is_manifest(&name)
                && let Some(contents) = file::read(&self.dir.join(&name), &self.path(&name))
            {
                files.insert(name, contents);
            }
        }
        if Identity::of(&self.dir)? != identity {
            return Err(io::Error::other("it was replaced while it was read"));
        }
        Ok((identity, files))
    }

    /// Puts a reading in force, except for the files in `unfinished`: those still say what they last said. Those in
    /// `given_up` may lack something.
    pub(super) fn take(
        &mut self,
        reading: Reading,
        unfinished: &BTreeSet<OsString>,
        given_up: &BTreeSet<OsString>,
    ) -> Snapshot {
        match reading.files {
            Err(error) => {
                self.problem = Some(self.unavailable(&error));
                self.identity = None;
            }
            Ok((identity, files)) => {
                let same = self.identity == Some(identity);
                let before = if same { BTreeMap::new() } else { self.files.clone() };
                self.update(files, unfinished, given_up);
                if !same && !has_objects(&self.files) && has_any(&before) {
                    self.files = before;
                    self.problem = Some(self.replaced());
                } else {
                    self.identity = Some(identity);
                    self.problem = None;
                }
            }
        }
        self.snapshot()
    }

    fn update(
        &mut self,
        files: BTreeMap<OsString, Contents>,
        unfinished: &BTreeSet<OsString>,
        given_up: &BTreeSet<OsString>,
    ) {
        self.files.retain(|name, _| files.contains_key(name) || unfinished.contains(name));
        self.awaited.clear();
        for (name, contents) in files {
            if !unfinished.contains(&name) {
                let path = self.path(&name);
                let extent = if given_up.contains(&name) { Extent::Growing } else { Extent::Whole };
                self.files.entry(name).or_default().update(&path, contents, extent);
            } else if !self.files.contains_key(&name) {
                self.awaited.push(name);
            }
        }
    }

    fn snapshot(&self) -> Snapshot {
        let mut diagnostics: Vec<_> = self.problem.iter().cloned().collect();
        diagnostics.extend(self.awaited.iter().map(|name| file::awaited(&self.path(name))));
        let mut objects: BTreeMap<&ObjectKey, &Held> = BTreeMap::new();
        for file in self.files.values() {
            diagnostics.extend(file.problems().cloned());
            for (key, held) in file.objects.iter().filter(|(_, held)| !held.kept) {
                match objects.entry(key) {
                    Entry::Occupied(first) => diagnostics.push(file::duplicate(key, &held.places, first.get())),
                    Entry::Vacant(place) => drop(place.insert(held)),
                }
            }
        }
        // An object that was moved out of a file that is broken now counts where it was moved to.
        for (key, held) in self.files.values().flat_map(|file| &file.objects).filter(|(_, held)| held.kept) {
            objects.entry(key).or_insert(held);
        }
        Snapshot {
            places: objects.iter().map(|(key, held)| ((*key).clone(), held.places.clone())).collect(),
            objects: objects.into_values().map(|held| held.object.clone()).collect(),
            diagnostics,
        }
    }

    fn path(&self, name: &OsStr) -> String {
        self.dir.join(name).display().to_string()
    }

    fn unavailable(&self, error: &io::Error) -> Diagnostic {
        self.not_there(
            format!("cannot list the manifest directory: {error}"),
            "create it, or correct its path; what it last said stays in force",
        )
    }

    fn replaced(&self) -> Diagnostic {
        self.not_there(
            "the manifest directory was replaced by one without any object".to_owned(),
            "put the manifests back, or at least one object to remove the others; until then what the directory last \
             said stays in force",
        )
    }

    fn not_there(&self, message: String, fix: &str) -> Diagnostic {
        let file = self.dir.display().to_string();
        Diagnostic {
            severity: Severity::Error,
            reason: Reason::DirectoryUnavailable,
            object: None,
            field: String::new(),
            message,
            fix: fix.to_owned(),
            location: Some(Location { file, position: None }),
        }
    }
}

/// Whether any file says of an object that it should be there now.
fn has_objects(files: &BTreeMap<OsString, ManifestFile>) -> bool {
    files.values().flat_map(|file| file.objects.values()).any(|held| !held.kept)
}

fn has_any(files: &BTreeMap<OsString, ManifestFile>) -> bool {
    files.values().any(|file| !file.objects.is_empty())
}

/// `*.yaml`, `*.yml` and `*.json` that are not hidden. Backups of editors have other endings.
pub(super) fn is_manifest(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let ending = |ending: &str| name.len() > ending.len() && name.ends_with(ending.as_bytes());
    !name.starts_with(b".") && [".yaml", ".yml", ".json"].into_iter().any(ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_files_and_backups_are_no_manifests() {
        for name in ["a.yaml", "a.yml", "a.json", "#a.yaml"] {
            assert!(is_manifest(OsStr::new(name)), "{name}");
        }
        for name in [
            ".a.yaml",
            ".yaml",
            "a.yaml~",
            "#a.yaml#",
            ".#a.yaml",
            ".a.yaml.swp",
            "a.yaml.bak",
            "4913",
            "a.txt",
            "yaml",
        ] {
            assert!(!is_manifest(OsStr::new(name)), "{name}");
        }
    }
}
