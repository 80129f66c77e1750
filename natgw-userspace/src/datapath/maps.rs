//! Typed access to the pinned maps, for the daemon and for tools that run without it.
//!
//! Opened from the pins in every case, so there is one way in; the layouts are checked first. Every write goes through
//! here and is counted: a restart that finds nothing to change must not write.

use std::{collections::BTreeMap, io, os::fd::AsFd as _};

use aya::{
    Pod,
    maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, lpm_trie::Key},
};
use natgw_common::abi::{
    AbiRecord, Config, Counter, DnatKey, DnatTarget, DropReason, EipEntry, Fip, MapLayout, RECORD_MAPS, Session,
    SessionKey, SessionStat, SnatKey, SnatPool, Timeouts, Traffic, map,
};
use thiserror::Error;

use super::{
    abi_check::{self, AbiError, FoundMap},
    migration::places,
    pins::GatewayPaths,
    raw,
    sessions::{BATCH, SessionTable, Sessions},
};
use crate::core::plan::{Actual, MapOp};

/// A map cannot be read or written.
#[derive(Debug, Error)]
pub enum MapsError {
    /// The gateway has no data plane.
    #[error("gateway `{gateway}` has no data plane below {}: it was never started, or it was detached", root.display())]
    NotPinned {
        /// The gateway.
        gateway: String,
        /// Where its pins would be.
        root: std::path::PathBuf,
    },
    /// The data plane was made by another version.
    #[error(transparent)]
    Abi(#[from] AbiError),
    /// A map has no room left.
    #[error("map `{map}` is full: all of its {capacity} entries are in use")]
    Full {
        /// The map.
        map: &'static str,
        /// Its capacity.
        capacity: u32,
    },
    /// A system call on a map failed.
    #[error("cannot {action} map `{map}`: {}", chain(.source))]
    Map {
        /// What was tried.
        action: &'static str,
        /// The map.
        map: &'static str,
        /// Why not.
        source: MapError,
    },
    /// No random number.
    #[error("cannot draw the port secret: {0}")]
    Random(io::Error),
}

/// An error and its sources in one line: aya's own messages leave out the errno.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

fn failed(action: &'static str, map: &'static str) -> impl Fn(MapError) -> MapsError {
    move |source| MapsError::Map { action, map, source }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "no other variant of aya's comes from an element")]
fn errno(error: &MapError) -> Option<i32> {
    match error {
        MapError::SyscallError(error) => error.io_error.raw_os_error(),
        MapError::IoError(error) => error.raw_os_error(),
        MapError::KeyNotFound | MapError::ElementNotFound => Some(libc::ENOENT),
        _ => None,
    }
}

/// All counters, summed over the CPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    /// By [`Counter`], in the order of [`Counter::ALL`].
    pub traffic: Vec<(Counter, Traffic)>,
    /// By [`DropReason`].
    pub drops: Vec<(DropReason, Traffic)>,
    /// By [`SessionStat`].
    pub sessions: Vec<(SessionStat, u64)>,
}

type Addr = [u8; 4];

/// A hash map with the name and capacity that its errors quote.
#[derive(Debug)]
struct Table<K: Pod, V: Pod> {
    name: &'static str,
    capacity: u32,
    /// A second descriptor, for batches: aya keeps its own to itself.
    data: MapData,
    map: HashMap<MapData, K, V>,
}

impl<K: Pod + Ord, V: Pod> Table<K, V> {
    fn open(paths: &GatewayPaths, found: &[FoundMap], name: &'static str) -> Result<Self, MapsError> {
        let open = || MapData::from_pin(paths.map(name)).map_err(failed("open", name));
        let map = HashMap::try_from(Map::HashMap(open()?)).map_err(failed("open", name))?;
        let capacity = found.iter().find(|found| found.name == name).map_or(0, |found| found.max_entries);
        Ok(Self { name, capacity, data: open()?, map })
    }

    fn read(&self) -> Result<BTreeMap<K, V>, MapsError> {
        let mut entries = Vec::new();
        let mut cursor = None;
        loop {
            cursor = raw::lookup_batch(&self.data.fd().as_fd(), cursor, BATCH, &mut entries)
                .map_err(|error| failed("read", self.name)(error.into()))?;
            if cursor.is_none() {
                return Ok(entries.into_iter().collect());
            }
        }
    }

    fn put(&mut self, key: &K, value: &V) -> Result<(), MapsError> {
        let (name, capacity) = (self.name, self.capacity);
        self.map.insert(key, value, 0).map_err(|error| full_or("write", name, capacity, error))
    }

    fn delete(&mut self, key: &K) -> Result<(), MapsError> {
        let name = self.name;
        gone_is_fine(self.map.remove(key)).map_err(failed("delete from", name))
    }
}

fn full_or(action: &'static str, map: &'static str, capacity: u32, error: MapError) -> MapsError {
    // Hash maps say E2BIG, LPM tries ENOSPC.
    if matches!(errno(&error), Some(libc::E2BIG | libc::ENOSPC)) {
        return MapsError::Full { map, capacity };
    }
    failed(action, map)(error)
}

fn gone_is_fine(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(error) if errno(&error) == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

/// The pinned maps of one gateway.
pub struct Maps {
    abi: Array<MapData, AbiRecord>,
    config: Array<MapData, Config>,
    eips: Table<Addr, EipEntry>,
    fip_in: Table<Addr, Fip>,
    fip_out: Table<Addr, Fip>,
    dnat: Table<DnatKey, DnatTarget>,
    snat: LpmTrie<MapData, Addr, SnatPool>,
    snat_capacity: u32,
    sessions: SessionTable,
    counters: PerCpuArray<MapData, Traffic>,
    drops: PerCpuArray<MapData, Traffic>,
    session_stats: PerCpuArray<MapData, u64>,
    writes: u64,
}

impl std::fmt::Debug for Maps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Maps").field("writes", &self.writes).finish_non_exhaustive()
    }
}

impl Maps {
    /// Opens the pinned maps, for tools that run without the daemon and its lock.
    ///
    /// # Errors
    /// The gateway has no data plane, or one of another layout.
    pub fn open(paths: &GatewayPaths) -> Result<Self, MapsError> {
        let paths = &places::counting(paths);
        let found = abi_check::read_pins(paths)?;
        let expected = abi_check::expected(0);
        let adoption = abi_check::compare(paths.gateway(), &found, &expected, abi_version(paths, &found)?)?;
        if !adoption.missing.is_empty() {
            return Err(MapsError::NotPinned { gateway: paths.gateway().to_owned(), root: paths.root().to_owned() });
        }
        Self::open_checked(paths, &found)
    }

    /// Opens maps whose layouts the caller has compared.
    pub(super) fn open_checked(paths: &GatewayPaths, found: &[FoundMap]) -> Result<Self, MapsError> {
        let data = |name: &'static str| MapData::from_pin(paths.map(name)).map_err(failed("open", name));
        let per_cpu = |name| -> Result<Map, MapsError> { Ok(Map::PerCpuArray(data(name)?)) };
        let capacity = |name: &str| found.iter().find(|found| found.name == name).map_or(0, |found| found.max_entries);
        Ok(Self {
            abi: Map::Array(data(map::ABI)?).try_into().map_err(failed("open", map::ABI))?,
            config: Map::Array(data(map::CONFIG)?).try_into().map_err(failed("open", map::CONFIG))?,
            eips: Table::open(paths, found, map::EIPS)?,
            fip_in: Table::open(paths, found, map::FIP_IN)?,
            fip_out: Table::open(paths, found, map::FIP_OUT)?,
            dnat: Table::open(paths, found, map::DNAT)?,
            snat: Map::LpmTrie(data(map::SNAT)?).try_into().map_err(failed("open", map::SNAT))?,
            snat_capacity: capacity(map::SNAT),
            sessions: SessionTable::open(&paths.map(map::SESSIONS)).map_err(failed("open", map::SESSIONS))?,
            counters: per_cpu(map::COUNTERS)?.try_into().map_err(failed("open", map::COUNTERS))?,
            drops: per_cpu(map::DROPS)?.try_into().map_err(failed("open", map::DROPS))?,
            session_stats: per_cpu(map::SESSION_STATS)?.try_into().map_err(failed("open", map::SESSION_STATS))?,
            writes: 0,
        })
    }

    /// How many map writes this value has made. A restart with nothing changed makes none.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes
    }

    /// What the rule maps hold.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn read_actual(&self) -> Result<Actual, MapsError> {
        Ok(Actual {
            eips: self.eips.read()?,
            fip_in: self.fip_in.read()?,
            fip_out: self.fip_out.read()?,
            dnat: self.dnat.read()?,
            snat: self.read_snat()?,
        })
    }

    /// Rules have one writer, so a walk key by key sees every prefix once.
    fn read_snat(&self) -> Result<BTreeMap<SnatKey, SnatPool>, MapsError> {
        self.snat
            .iter()
            .map(|entry| entry.map(|(key, pool)| (SnatKey { prefix_len: key.prefix_len(), addr: key.data() }, pool)))
            .collect::<Result<_, _>>()
            .map_err(failed("read", map::SNAT))
    }

    /// Carries out one write.
    ///
    /// # Errors
    /// The map is full or gone. Deleting what is absent is no error.
    pub fn apply(&mut self, op: &MapOp) -> Result<(), MapsError> {
        self.writes += 1;
        match op {
            MapOp::PutEip(key, value) => self.eips.put(key, value),
            MapOp::PutFipIn(key, value) => self.fip_in.put(key, value),
            MapOp::PutFipOut(key, value) => self.fip_out.put(key, value),
            MapOp::PutDnat(key, value) => self.dnat.put(key, value),
            MapOp::PutSnat(key, value) => self
                .snat
                .insert(&Key::new(key.prefix_len, key.addr), value, 0)
                .map_err(|error| full_or("write", map::SNAT, self.snat_capacity, error)),
            MapOp::DelEip(key) => self.eips.delete(key),
            MapOp::DelFipIn(key) => self.fip_in.delete(key),
            MapOp::DelFipOut(key) => self.fip_out.delete(key),
            MapOp::DelDnat(key) => self.dnat.delete(key),
            MapOp::DelSnat(key) => gone_is_fine(self.snat.remove(&Key::new(key.prefix_len, key.addr)))
                .map_err(failed("delete from", map::SNAT)),
        }
    }

    /// The configuration; `None`: never written.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn config(&self) -> Result<Option<Config>, MapsError> {
        let config = self.config.get(&0, 0).map_err(failed("read", map::CONFIG))?;
        // A written one has a port range, which cannot be 0 to 0.
        Ok((config.port_max != 0).then_some(config))
    }

    /// Writes the configuration unless it is this one already. Returns whether it wrote.
    ///
    /// # Errors
    /// The map cannot be read or written.
    pub fn set_config(&mut self, config: &Config) -> Result<bool, MapsError> {
        if self.config()?.as_ref() == Some(config) {
            return Ok(false);
        }
        self.writes += 1;
        self.config.set(0, config, 0).map_err(failed("write", map::CONFIG))?;
        Ok(true)
    }

    /// Changes the configuration: `change` gets the pinned one, or a new one with a freshly drawn `port_secret` and
    /// the RFC timeouts. Written only when it differs. Returns whether it wrote. Call it before
    /// [`super::Datapath::attach`].
    ///
    /// # Errors
    /// The map cannot be read or written, or no random number can be had.
    pub fn update_config(&mut self, change: impl FnOnce(&mut Config)) -> Result<bool, MapsError> {
        let mut config = match self.config()? {
            Some(config) => config,
            None => new_config()?,
        };
        change(&mut config);
        self.set_config(&config)
    }

    /// Lets sessions be opened that a killed migration still holds up.
    pub(super) fn release(&mut self) -> Result<(), MapsError> {
        match self.config()? {
            Some(config) if config.hold_until_ns != 0 => {
                self.set_config(&Config { hold_until_ns: 0, ..config }).map(drop)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// All counters.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn counters(&self) -> Result<Counters, MapsError> {
        let traffic = |array, name, index: u32| -> Result<Traffic, MapsError> {
            Ok(per_cpu(array, name, index)?.iter().fold(Traffic::default(), |sum, one: &Traffic| Traffic {
                packets: sum.packets.wrapping_add(one.packets),
                bytes: sum.bytes.wrapping_add(one.bytes),
            }))
        };
        let sessions = |index: u32| -> Result<u64, MapsError> {
            let values = per_cpu(&self.session_stats, map::SESSION_STATS, index)?;
            Ok(values.iter().copied().fold(0, u64::wrapping_add))
        };
        Ok(Counters {
            traffic: Counter::ALL
                .iter()
                .map(|c| Ok((*c, traffic(&self.counters, map::COUNTERS, *c as u32)?)))
                .collect::<Result<_, MapsError>>()?,
            drops: DropReason::ALL
                .iter()
                .map(|r| Ok((*r, traffic(&self.drops, map::DROPS, *r as u32)?)))
                .collect::<Result<_, MapsError>>()?,
            sessions: SessionStat::ALL
                .iter()
                .map(|s| Ok((*s, sessions(*s as u32)?)))
                .collect::<Result<_, MapsError>>()?,
        })
    }

    /// Walks all sessions. One that lives through the walk is seen exactly once, one that comes or goes meanwhile at
    /// most once. An error ends the walk.
    #[must_use]
    pub fn sessions(&self) -> Sessions<'_> {
        self.sessions.iter()
    }

    /// How many sessions there are. Walks the table: 0.4 µs each.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn session_count(&self) -> Result<u64, MapsError> {
        let mut count = 0;
        let mut cursor = None;
        let mut batch: Vec<(SessionKey, Session)> = Vec::new();
        loop {
            batch.clear();
            cursor = self
                .sessions
                .batch(cursor, BATCH, &mut batch)
                .map_err(|error| failed("read", map::SESSIONS)(error.into()))?;
            count += batch.len() as u64;
            if cursor.is_none() {
                return Ok(count);
            }
        }
    }

    /// Capacity of the session table.
    #[must_use]
    pub fn session_capacity(&self) -> u32 {
        self.sessions.capacity()
    }

    /// Writes the ABI record when there is none. Returns whether it wrote.
    pub(super) fn ensure_record(&mut self, found: &[FoundMap]) -> Result<bool, MapsError> {
        let current = self.abi.get(&0, 0).map_err(failed("read", map::ABI))?;
        if current.version != 0 {
            return Ok(false);
        }
        self.writes += 1;
        self.abi.set(0, record(found), 0).map_err(failed("write", map::ABI))?;
        Ok(true)
    }
}

/// The version in the pinned ABI record; `None` when there is no record, or when the record's own map has another
/// layout, which the comparison reports better.
pub(super) fn abi_version(paths: &GatewayPaths, found: &[FoundMap]) -> Result<Option<u32>, MapsError> {
    let fits = |found: &&FoundMap| found.name == map::ABI && found.value_size as usize == size_of::<AbiRecord>();
    if !found.iter().any(|one| fits(&one)) {
        return Ok(None);
    }
    let data = MapData::from_pin(paths.map(map::ABI)).map_err(failed("open", map::ABI))?;
    let Ok(array) = Array::<_, AbiRecord>::try_from(Map::Array(data)) else { return Ok(None) };
    let record = array.get(&0, 0).map_err(failed("read", map::ABI))?;
    Ok((record.version != 0).then_some(record.version))
}

/// What the record says about these maps.
fn record(found: &[FoundMap]) -> AbiRecord {
    let mut record =
        AbiRecord { version: natgw_common::abi::ABI_VERSION, count: 0, maps: [MapLayout::EMPTY; RECORD_MAPS] };
    let ours = found.iter().filter(|found| natgw_common::abi::MAPS.iter().any(|spec| spec.name == found.name));
    for (slot, found) in record.maps.iter_mut().zip(ours) {
        let mut name = [0; 16];
        for (to, from) in name.iter_mut().zip(found.name.bytes()) {
            *to = from;
        }
        *slot = MapLayout {
            name,
            kind: found.kind,
            key_size: found.key_size,
            value_size: found.value_size,
            max_entries: found.max_entries,
            flags: found.flags,
        };
        record.count += 1;
    }
    record
}

/// A configuration with a secret of its own. Everything the operator decides is still zero or default.
fn new_config() -> Result<Config, MapsError> {
    Ok(Config {
        flags: 0,
        int_ifindex: 0,
        ext_ifindex: 0,
        port_min: 1024,
        port_max: 65535,
        port_secret: raw::random_u64().map_err(MapsError::Random)?,
        timeouts: Timeouts::DEFAULT,
        hold_until_ns: 0,
    })
}

/// The values of all CPUs. An index beyond the map belongs to a counter that the map's maker did not know yet.
fn per_cpu<V: Pod>(array: &PerCpuArray<MapData, V>, name: &'static str, index: u32) -> Result<Vec<V>, MapsError> {
    if index >= array.len() {
        return Ok(Vec::new());
    }
    array.get(&index, 0).map(|values| values.to_vec()).map_err(failed("read", name))
}

#[cfg(test)]
mod tests {
    use natgw_common::abi::MAPS;

    use super::*;

    #[test]
    fn the_record_lists_every_map_by_name() {
        let found: Vec<_> = MAPS
            .iter()
            .map(|spec| FoundMap {
                name: spec.name.to_owned(),
                kind: spec.kind as u32,
                key_size: spec.key_size,
                value_size: spec.value_size,
                max_entries: spec.max_entries,
                flags: spec.flags,
            })
            .collect();
        let record = record(&found);
        assert_eq!(record.count as usize, MAPS.len());
        assert_eq!(&record.maps[0].name, b"ABI\0\0\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(record.maps[record.count as usize], MapLayout::EMPTY);
    }

    #[test]
    fn two_new_configurations_have_different_secrets() {
        assert_ne!(new_config().unwrap().port_secret, new_config().unwrap().port_secret);
    }
}
