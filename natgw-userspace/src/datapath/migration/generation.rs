//! One set of pinned maps as bytes, and the copying of everything but sessions.

use std::io;

use natgw_common::abi::{MAPS, MapKind, MapSpec, map};
use thiserror::Error;

use super::chain::{Chain, Entry, Fate};
use crate::datapath::{
    attach::AttachError,
    pins::{GatewayPaths, PinError},
    raw::ByteMap,
};

/// A migration cannot go on.
#[derive(Debug, Error)]
pub enum MigrationError {
    /// A system call on a map failed.
    #[error("cannot {action} map `{map}`: {source}")]
    Map {
        /// What was tried.
        action: &'static str,
        /// The map.
        map: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A map that was just made is gone.
    #[error("map `{map}` is not pinned any more")]
    Missing {
        /// The map.
        map: &'static str,
    },
    /// A step makes entries that this build's map does not take: a fault of natgw.
    #[error(
        "the steps from version {from} make entries of {} + {} bytes for map `{map}`, which takes {} + {}",
        .made.0, .made.1, .taken.0, .taken.1
    )]
    Steps {
        /// The version it began with.
        from: u32,
        /// The map.
        map: &'static str,
        /// Bytes of key and value.
        made: (usize, usize),
        /// What the map takes.
        taken: (u32, u32),
    },
    /// The machine stood still longer than the programs wait.
    #[error("this machine is too slow: sessions were opened while they were copied, {rounds} times in a row")]
    Lapsed {
        /// How often it was tried.
        rounds: u32,
    },
    /// The pin directories.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// A program cannot be replaced.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

/// The pinned maps of one generation.
#[derive(Debug, Clone)]
pub(super) struct Maps(pub(super) GatewayPaths);

impl Maps {
    /// The map `name`, if it is pinned.
    pub(super) fn find(&self, name: &'static str) -> Result<Option<ByteMap>, MigrationError> {
        match ByteMap::open(&self.0.map(name)) {
            Ok(map) => Ok(Some(map)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(MigrationError::Map { action: "open", map: name, source }),
        }
    }

    /// The map `name`.
    pub(super) fn get(&self, name: &'static str) -> Result<ByteMap, MigrationError> {
        self.find(name)?.ok_or(MigrationError::Missing { map: name })
    }
}

/// Takes `entry` of map `spec` through the steps; `None` when the new version has no place for it.
pub(super) fn convert<'e>(
    chain: &Chain,
    spec: &MapSpec,
    entry: &'e mut Entry,
) -> Result<Option<&'e Entry>, MigrationError> {
    if chain.convert(spec.name, entry) == Fate::Dropped {
        return Ok(None);
    }
    let made = (entry.key.len(), entry.value.len());
    if made != (spec.key_size as usize, spec.value_size as usize) {
        let taken = (spec.key_size, spec.value_size);
        return Err(MigrationError::Steps { from: chain.version(), map: spec.name, made, taken });
    }
    Ok(Some(entry))
}

/// Maps of this build that have a predecessor whose entries are taken over as they are read, of these kinds.
fn successors<'c>(chain: &'c Chain, kinds: &'c [MapKind]) -> impl Iterator<Item = &'static MapSpec> + 'c {
    // The record is written anew; sessions and their index have rules of their own.
    const OTHERS: [&str; 3] = [map::ABI, map::SESSIONS, map::FLOWS];
    let had = |spec: &MapSpec| chain.maps().iter().any(|old| old.name == spec.name);
    MAPS.iter().filter(move |spec| kinds.contains(&spec.kind) && !OTHERS.contains(&spec.name) && had(spec))
}

/// Copies rules and configuration into new maps that nothing uses yet. Returns how many rules.
pub(super) fn copy_rules(chain: &Chain, old: &Maps, new: &Maps) -> Result<u64, MigrationError> {
    let mut copied = 0;
    for spec in successors(chain, &[MapKind::Array, MapKind::Hash, MapKind::LpmTrie]) {
        let failed = |action| move |source| MigrationError::Map { action, map: spec.name, source };
        let Some(from) = old.find(spec.name)? else { continue };
        let to = new.get(spec.name)?;
        for key in from.keys().map_err(failed("read"))? {
            let Some(value) = from.get(&key).map_err(failed("read"))? else { continue };
            let mut entry = Entry { key, value };
            if let Some(entry) = convert(chain, spec, &mut entry)? {
                to.put(&entry.key, &entry.value).map_err(failed("write"))?;
                copied += u64::from(spec.kind != MapKind::Array);
            }
        }
    }
    Ok(copied)
}

/// Brings each counter of the new maps up to what it was in the old ones. The larger one counts: where programs of both
/// generations have counted, each of these counters was mostly one program's.
pub(super) fn raise_counters(chain: &Chain, old: &Maps, new: &Maps) -> Result<(), MigrationError> {
    for spec in successors(chain, &[MapKind::PerCpuArray]) {
        let failed = |action| move |source| MigrationError::Map { action, map: spec.name, source };
        let Some(from) = old.find(spec.name)? else { continue };
        let to = new.get(spec.name)?;
        for index in 0..from.max_entries() {
            let key = index.to_ne_bytes();
            let Some(before) = from.get(&key).map_err(failed("read"))? else { continue };
            let mut moved: Option<(Vec<u8>, Vec<u8>)> = None;
            for value in from.split(&before) {
                let mut entry = Entry { key: key.to_vec(), value: value.to_vec() };
                let Some(entry) = convert(chain, spec, &mut entry)? else { continue };
                let (_, all) = moved.get_or_insert_with(|| (entry.key.clone(), Vec::new()));
                all.extend_from_slice(&entry.value);
                all.resize(all.len().next_multiple_of(8), 0);
            }
            let Some((key, all)) = moved else { continue };
            // A counter that this build does not have.
            let Some(now) = to.get(&key).map_err(failed("read"))? else { continue };
            let larger = larger(&all, &now);
            if larger != now {
                to.put(&key, &larger).map_err(failed("write"))?;
            }
        }
    }
    Ok(())
}

/// Word by word.
fn larger(one: &[u8], two: &[u8]) -> Vec<u8> {
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
    let pairs = one.chunks_exact(8).zip(two.chunks_exact(8));
    pairs.flat_map(|(one, two)| word(one).max(word(two)).to_ne_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_of_each_counter_stays() {
        let words = |words: &[u64]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
        assert_eq!(larger(&words(&[1, 700, 3]), &words(&[2, 600, 3])), words(&[2, 700, 3]));
    }
}
