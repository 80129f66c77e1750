//! The directories of a migration, and what they say after a kill at any point.
//!
//! | `maps` | `maps_next` | `maps_old` | what happened | what the next start does |
//! |---|---|---|---|---|
//! | old | new | | killed while the new maps were filled | removes `maps_next`, begins anew |
//! | | new | old | killed inside the commit | renames `maps_next` |
//! | new | | old | killed after the commit | goes on: carries, switches, removes `maps_old` |
//!
//! bpffs renames directories atomically. Any version of natgw settles the first two cases, so that an old one never
//! takes an absent `maps` for a first start.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::datapath::pins::{GatewayPaths, Generation, PinError};

/// A migration that is under way or was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// The new maps are being filled; the old ones count.
    Preparing,
    /// The new maps count; programs may still use the old ones.
    Committed,
}

impl Unfinished {
    /// What the pins of a gateway say.
    #[must_use]
    pub fn find(paths: &GatewayPaths) -> Option<Self> {
        let [current, next, old] = present(paths);
        match (current, next, old) {
            (_, _, true) => Some(Self::Committed),
            (_, true, false) => Some(Self::Preparing),
            (_, false, false) => None,
        }
    }
}

fn present(paths: &GatewayPaths) -> [bool; 3] {
    Generation::ALL.map(|generation| paths.of(generation).maps().is_dir())
}

/// The maps that count, also for a tool that looks on inside the commit.
pub(in crate::datapath) fn counting(paths: &GatewayPaths) -> GatewayPaths {
    match present(paths) {
        [false, true, true] => paths.of(Generation::Next),
        _ => paths.clone(),
    }
}

/// Brings the directories into a state that counts: finishes a commit, removes what was never committed. Says whether
/// there was something to remove.
pub(in crate::datapath) fn settle(paths: &GatewayPaths) -> Result<bool, PinError> {
    match present(paths) {
        [false, true, true] => {
            rename(paths, Generation::Next, Generation::Current)?;
            Ok(false)
        }
        // Nothing of natgw's does that; the sessions in there are worth more than the question who did.
        [false, false, true] => {
            rename(paths, Generation::Old, Generation::Current)?;
            Ok(false)
        }
        [_, true, _] => {
            remove(&paths.of(Generation::Next).maps())?;
            Ok(true)
        }
        [_, false, _] => Ok(false),
    }
}

/// Makes the new maps the gateway's. The second half is [`settle`].
pub(super) fn commit(paths: &GatewayPaths) -> Result<(), PinError> {
    rename(paths, Generation::Current, Generation::Old)?;
    super::failpoint::at("committing");
    rename(paths, Generation::Next, Generation::Current)
}

/// Removes the maps left behind; `first` before the others: without it they are known to be half removed.
pub(in crate::datapath) fn remove_old(paths: &GatewayPaths, first: &str) -> Result<(), PinError> {
    let old = paths.of(Generation::Old);
    gone_is_fine(fs::remove_file(old.map(first)), &old.map(first))?;
    super::failpoint::at("removing");
    remove(&old.maps())
}

fn rename(paths: &GatewayPaths, from: Generation, to: Generation) -> Result<(), PinError> {
    let (from, to) = (paths.of(from).maps(), paths.of(to).maps());
    fs::rename(&from, to).map_err(PinError::io("rename", &from))
}

fn remove(directory: &Path) -> Result<(), PinError> {
    let entries = fs::read_dir(directory).map_err(PinError::io("read", directory))?;
    let pins: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    for pin in pins {
        gone_is_fine(fs::remove_file(&pin), &pin)?;
    }
    fs::remove_dir(directory).map_err(PinError::io("remove", directory))
}

fn gone_is_fine(result: io::Result<()>, path: &Path) -> Result<(), PinError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(PinError::io("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gateway in a plain directory, with these sets of maps; each file says which set it was.
    fn gateway(sets: &[Generation]) -> (tempfile::TempDir, GatewayPaths) {
        let dir = tempfile::tempdir().unwrap();
        let paths = GatewayPaths::new(dir.path(), "gw").unwrap();
        for set in sets {
            let maps = paths.of(*set).maps();
            fs::create_dir_all(&maps).unwrap();
            fs::write(maps.join("ABI"), format!("{set:?}")).unwrap();
        }
        (dir, paths)
    }

    fn content(paths: &GatewayPaths, set: Generation) -> Option<String> {
        fs::read_to_string(paths.of(set).map("ABI")).ok()
    }

    use Generation::{Current, Next, Old};

    #[test]
    fn every_state_a_kill_can_leave_is_settled() {
        for (before, current, old) in [
            (&[][..], None, None),
            (&[Current], Some("Current"), None),
            (&[Current, Next], Some("Current"), None),
            (&[Next, Old], Some("Next"), Some("Old")),
            (&[Current, Old], Some("Current"), Some("Old")),
            (&[Old], Some("Old"), None),
        ] {
            let (_dir, paths) = gateway(before);
            let removed = settle(&paths).unwrap();
            assert_eq!(content(&paths, Current).as_deref(), current, "{before:?}");
            assert_eq!(content(&paths, Old).as_deref(), old, "{before:?}");
            assert!(!paths.of(Next).maps().exists(), "{before:?}");
            assert_eq!(removed, before == [Current, Next], "{before:?}");
            assert!(!settle(&paths).unwrap(), "{before:?}: settled");
        }
    }

    #[test]
    fn a_commit_puts_the_new_maps_in_the_place_of_the_old() {
        let (_dir, paths) = gateway(&[Current, Next]);
        assert_eq!(Unfinished::find(&paths), Some(Unfinished::Preparing));
        commit(&paths).unwrap();
        assert_eq!(content(&paths, Current).as_deref(), Some("Next"));
        assert_eq!(content(&paths, Old).as_deref(), Some("Current"));
        assert_eq!(Unfinished::find(&paths), Some(Unfinished::Committed));
        remove_old(&paths, "ABI").unwrap();
        assert_eq!(Unfinished::find(&paths), None);
    }

    #[test]
    fn a_tool_that_looks_on_inside_the_commit_sees_the_new_maps() {
        let (_dir, paths) = gateway(&[Next, Old]);
        assert_eq!(counting(&paths).maps(), paths.of(Next).maps());
        let (_dir, paths) = gateway(&[Current, Old]);
        assert_eq!(counting(&paths).maps(), paths.maps());
    }
}
