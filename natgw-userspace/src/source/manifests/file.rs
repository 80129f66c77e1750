//! One manifest file: reading it within limits, and keeping its last good objects.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs::{self, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    string::FromUtf8Error,
};

use super::{MAX_FILE_BYTES, object::Parsed, places::Places, version::Version};
use crate::core::{
    diagnostic::{Diagnostic, Location, Reason, Severity},
    objects::{Object, ObjectKey},
};

/// What a file contributes.
#[derive(Debug, Clone, Default)]
pub(super) struct ManifestFile {
    /// What was last parsed of it; the same text says more when it is all.
    version: Option<(Version, Extent)>,
    /// Its objects, with those of earlier versions that a mistake must not remove.
    pub(super) objects: BTreeMap<ObjectKey, Held>,
    /// What is wrong with the parsed version.
    parse_problems: Vec<Diagnostic>,
    /// Why a later version could not even be read.
    read_problem: Option<Diagnostic>,
}

/// An object and how it came to be held.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) object: Object,
    pub(super) places: Places,
    /// From an earlier version of the file: the present one is broken where the object may have been.
    pub(super) kept: bool,
}

/// Whether a file's bytes are all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// They are.
    Whole,
    /// Somebody still has it open for writing: what is missing may yet come.
    Growing,
}

/// The bytes of a file, or why there are none.
pub(super) type Contents = Result<Vec<u8>, Diagnostic>;

impl ManifestFile {
    /// What is wrong with the file. When it cannot be read, nothing is known about what is in it.
    pub(super) fn problems(&self) -> impl Iterator<Item = &Diagnostic> {
        let parsed = if self.read_problem.is_none() { self.parse_problems.as_slice() } else { &[] };
        self.read_problem.iter().chain(parsed)
    }

    /// Takes a new version of the file called `name`.
    pub(super) fn update(&mut self, name: &str, contents: Contents, extent: Extent) {
        self.read_problem = self.try_update(name, contents, extent).err().map(|problem| *problem);
    }

    fn try_update(&mut self, name: &str, contents: Contents, extent: Extent) -> Result<(), Box<Diagnostic>> {
        let text = String::from_utf8(contents?).map_err(|error| Box::new(not_utf8(name, &error)))?;
        let before = self.version.as_ref();
        if before.is_some_and(|(version, extent)| version.text() == text && *extent == Extent::Whole) {
            return Ok(());
        }
        let version = Version::read(name, text, before.map(|(version, _)| version));
        let version = version.map_err(|error| Box::new(cannot_read(name, &error)))?;
        let mut parsed = version.parsed();
        if extent == Extent::Growing {
            parsed.has_unknown_part = true;
            parsed.diagnostics.push(growing(name));
        }
        self.take(parsed);
        self.version = Some((version, extent));
        Ok(())
    }

    fn take(&mut self, mut parsed: Parsed) {
        let mut objects: BTreeMap<ObjectKey, Held> = BTreeMap::new();
        for (object, places) in parsed.objects {
            match objects.entry(object.key.clone()) {
                Entry::Occupied(first) => parsed.diagnostics.push(duplicate(&object.key, &places, first.get())),
                Entry::Vacant(place) => drop(place.insert(Held { object, places, kept: false })),
            }
        }
        for (key, held) in std::mem::take(&mut self.objects) {
            if parsed.has_unknown_part || parsed.broken.contains(&key) {
                objects.entry(key).or_insert(Held { kept: true, ..held });
            }
        }
        self.objects = objects;
        self.parse_problems = parsed.diagnostics;
    }
}

/// The error for the second of two objects with one key.
pub(super) fn duplicate(key: &ObjectKey, second: &Places, first: &Held) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        reason: Reason::DuplicateObject,
        object: Some(key.clone()),
        field: "metadata.name".to_owned(),
        message: format!("also written at {}, which is the one that counts", first.places.start()),
        fix: "rename or remove one of the two".to_owned(),
        location: Some(second.start()),
    }
}

fn unreadable(name: &str, reason: Reason, message: String, fix: &str) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        reason,
        object: None,
        field: String::new(),
        message,
        fix: format!("{fix}; what the file last said stays in force"),
        location: Some(Location { file: name.to_owned(), position: None }),
    }
}

fn cannot_read(name: &str, error: &io::Error) -> Diagnostic {
    unreadable(name, Reason::ManifestUnreadable, format!("cannot be read: {error}"), "make it a readable file")
}

/// The warning for a file whose first version is still being written: nobody knows yet what it holds.
pub(super) fn awaited(name: &str) -> Diagnostic {
    being_written(name, "is being written", "it is read when its writer closes it")
}

/// The warning for a file that is read although its writer has not closed it.
fn growing(name: &str) -> Diagnostic {
    being_written(
        name,
        "was changed and not closed, so what it lacks may still be written: nothing of it is removed",
        "let its writer close it, or `touch` it",
    )
}

fn being_written(name: &str, message: &str, fix: &str) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        reason: Reason::ManifestUnreadable,
        object: None,
        field: String::new(),
        message: message.to_owned(),
        fix: fix.to_owned(),
        location: Some(Location { file: name.to_owned(), position: None }),
    }
}

fn not_utf8(name: &str, error: &FromUtf8Error) -> Diagnostic {
    let valid = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
    let line = 1 + valid.filter(|byte| **byte == b'\n').count();
    unreadable(name, Reason::ManifestUnreadable, format!("not UTF-8 in line {line}"), "save it as UTF-8")
}

/// Reads the file at `path`. `None` when it is gone.
pub(super) fn read(path: &Path, name: &str) -> Option<Contents> {
    match try_read(path) {
        Ok(Some(bytes)) => Some(Ok(bytes)),
        Ok(None) => Some(Err(unreadable(
            name,
            Reason::ManifestTooLarge,
            format!("larger than {} MiB", MAX_FILE_BYTES >> 20),
            "split it",
        ))),
        // A link that leads nowhere is a mistake, or a ConfigMap in the middle of an update; a missing entry is neither.
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => None,
        Err(error) => Some(Err(cannot_read(name, &error))),
    }
}

/// `Ok(None)` when it is too large.
fn try_read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    // O_NONBLOCK: opening a FIFO must not wait for its writer. Regular files ignore it.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= MAX_FILE_BYTES).then_some(bytes))
}
