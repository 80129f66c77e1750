//! Where things stay that took long to get: `$XDG_CACHE_HOME/natgw/<kind>/<id>`, one directory for each.
//!
//! A slot is filled by one rename at the end, so a slot that is there is complete.

use std::{
    env,
    ffi::OsString,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

/// The place of one thing.
#[derive(Debug)]
pub(crate) struct Slot {
    /// What is made, for messages.
    what: &'static str,
    parent: PathBuf,
    dir: PathBuf,
}

/// The slot `kind`/`id` of the user who runs us, for `what`.
pub(crate) fn slot(kind: &str, id: &str, what: &'static str) -> Result<Slot> {
    let Some(cache) = cache_home(|name| env::var_os(name)) else {
        bail!("neither XDG_CACHE_HOME nor HOME says where {what} can be kept: set one");
    };
    let parent = cache.join("natgw").join(kind);
    Ok(Slot { what, dir: parent.join(id), parent })
}

/// A hash for ids: FNV-1a with a separator: the hashes of std may differ between compilers.
pub(crate) fn fnv1a<'a>(parts: impl Iterator<Item = &'a str>) -> u64 {
    let bytes = parts.flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The cache directory by the XDG rules: a relative path is invalid and ignored.
fn cache_home(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    path("XDG_CACHE_HOME").or_else(|| path("HOME").map(|home| home.join(".cache")))
}

impl Slot {
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Keeps other builds out until it is dropped; the kernel drops it for a process that is killed.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.parent.join("lock");
        fs::create_dir_all(&self.parent).with_context(|| format!("cannot create {}", self.parent.display()))?;
        let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => eprintln!("another process makes {}; waiting for it ...", self.what),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(file)
    }

    /// An empty directory for a build, on the file system of the slot. What an interrupted build left is removed.
    /// Only for the holder of the lock.
    pub(crate) fn scratch(&self) -> Result<Scratch> {
        let dir = self.parent.join("build");
        remove(&dir)?;
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Scratch { dir })
    }

    /// Fills the slot with a finished directory.
    pub(crate) fn fill(&self, finished: &Path) -> Result<()> {
        // Something incomplete, or it would have been used.
        remove(&self.dir)?;
        fs::rename(finished, &self.dir).with_context(|| format!("cannot rename to {}", self.dir.display()))
    }
}

/// A directory that is removed with all sources when the build is over, also when it failed: gigabytes.
#[derive(Debug)]
pub(crate) struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.dir) {
            eprintln!("{error:#}");
        }
    }
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(vars: &[(&str, &str)]) -> Option<PathBuf> {
        cache_home(|name| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value)))
    }

    #[test]
    fn the_cache_is_where_xdg_says() {
        assert_eq!(home(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]), Some(PathBuf::from("/c")));
        assert_eq!(home(&[("XDG_CACHE_HOME", "c"), ("HOME", "/h")]), Some(PathBuf::from("/h/.cache")));
        assert_eq!(home(&[("XDG_CACHE_HOME", ""), ("HOME", "/h")]), Some(PathBuf::from("/h/.cache")));
        assert_eq!(home(&[]), None);
    }

    #[test]
    fn moving_a_letter_between_two_constants_changes_the_hash() {
        assert_ne!(fnv1a(["ab", "c"].into_iter()), fnv1a(["a", "bc"].into_iter()));
        assert_eq!(fnv1a([].into_iter()), 0xcbf2_9ce4_8422_2325);
    }

    #[test]
    fn a_slot_is_filled_at_once_and_the_scratch_directory_does_not_stay() {
        let parent = env::temp_dir().join(format!("natgw-xtask-cache-{}", std::process::id()));
        let slot = Slot { what: "a test", dir: parent.join("1"), parent: parent.clone() };
        let lock = slot.lock().unwrap();
        let scratch = slot.scratch().unwrap();
        let out = scratch.dir().join("out");
        fs::create_dir(&out).unwrap();
        fs::write(out.join("file"), "").unwrap();
        assert!(!slot.dir().exists());
        slot.fill(&out).unwrap();
        assert!(slot.dir().join("file").is_file());
        drop(scratch);
        drop(lock);
        let mut left: Vec<_> = fs::read_dir(&parent).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        fs::remove_dir_all(&parent).unwrap();
        assert_eq!(left, ["1", "lock"]);
    }
}
