//! All manifest files of a directory as one set of objects.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fs, io,
    path::PathBuf,
};

use super::{
    Snapshot,
    file::{self, Contents, Held, ManifestFile},
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
    problem: Option<Diagnostic>,
    /// Files that are being written and have said nothing yet.
    awaited: Vec<OsString>,
}

/// What [`ManifestDir::read`] found, not yet in force.
#[derive(Debug)]
pub(super) struct Reading {
    /// Every manifest's contents by file name.
    files: io::Result<BTreeMap<OsString, Contents>>,
}

impl ManifestDir {
    pub(crate) fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), files: BTreeMap::new(), problem: None, awaited: Vec::new() }
    }

    /// Reads the directory and takes what it says.
    pub(crate) fn load(&mut self) -> Snapshot {
        let reading = self.read();
        self.take(reading, &BTreeSet::new())
    }

    /// Reads every manifest.
    pub(super) fn read(&self) -> Reading {
        Reading { files: self.try_read() }
    }

    fn try_read(&self) -> io::Result<BTreeMap<OsString, Contents>> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            if is_manifest(&name)
                && let Some(contents) = file::read(&self.dir.join(&name), &self.path(&name))
            {
                files.insert(name, contents);
            }
        }
        Ok(files)
    }

    /// Puts a reading in force, except for the files in `unfinished`: those still say what they last said.
    pub(super) fn take(&mut self, reading: Reading, unfinished: &BTreeSet<OsString>) -> Snapshot {
        match reading.files {
            Err(error) => self.problem = Some(self.unavailable(&error)),
            Ok(files) => {
                self.problem = None;
                self.files.retain(|name, _| files.contains_key(name) || unfinished.contains(name));
                self.awaited.clear();
                for (name, contents) in files {
                    if !unfinished.contains(&name) {
                        let path = self.path(&name);
                        self.files.entry(name).or_default().update(&path, contents);
                    } else if !self.files.contains_key(&name) {
                        self.awaited.push(name);
                    }
                }
            }
        }
        self.snapshot()
    }

    fn snapshot(&self) -> Snapshot {
        let mut diagnostics: Vec<_> = self.problem.iter().cloned().collect();
        diagnostics.extend(self.awaited.iter().map(|name| file::awaited(&self.path(name))));
        let mut objects: BTreeMap<&ObjectKey, &Held> = BTreeMap::new();
        for file in self.files.values() {
            diagnostics.extend(file.problems().cloned());
            for (key, held) in file.objects.iter().filter(|(_, held)| !held.kept) {
                if let Some(first) = objects.get(key) {
                    diagnostics.push(file::duplicate(key, &held.places, first));
                } else {
                    objects.insert(key, held);
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
        let file = self.dir.display().to_string();
        Diagnostic {
            severity: Severity::Error,
            reason: Reason::DirectoryUnavailable,
            object: None,
            field: String::new(),
            message: format!("cannot list the manifest directory: {error}"),
            fix: "create it, or correct its path; what it last said stays in force".to_owned(),
            location: Some(Location { file, position: None }),
        }
    }
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
