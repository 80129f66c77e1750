//! Names and shapes of every map and program: the one list that the loader, the ABI check and the docs share.

use core::mem::size_of;

use super::{
    AbiRecord, Config, Counter, DnatKey, DnatTarget, DropReason, EipEntry, Fip, FlowKey, Session, SessionKey,
    SessionStat, SnatKey, SnatPool, Traffic,
};

/// Version of the layouts in this module. Raised by every change of one of them.
pub const ABI_VERSION: u32 = if cfg!(feature = "abi-next") { 2 } else { 1 };

/// Map names as the kernel shows them (at most 15 characters).
pub mod map {
    /// Layouts of all the others.
    pub const ABI: &str = "ABI";
    /// Interfaces, timeouts, flags.
    pub const CONFIG: &str = "CONFIG";
    /// Elastic IPs.
    pub const EIPS: &str = "EIPS";
    /// EIP to pod.
    pub const FIP_IN: &str = "FIP_IN";
    /// Pod to EIP.
    pub const FIP_OUT: &str = "FIP_OUT";
    /// EIP:port to pod:port.
    pub const DNAT: &str = "DNAT";
    /// Source CIDR to EIPs.
    pub const SNAT: &str = "SNAT";
    /// Sessions by their external tuple.
    pub const SESSIONS: &str = "SESSIONS";
    /// Internal tuple to session key.
    pub const FLOWS: &str = "FLOWS";
    /// Traffic per rule kind.
    pub const COUNTERS: &str = "COUNTERS";
    /// Traffic per drop reason.
    pub const DROPS: &str = "DROPS";
    /// Session events.
    pub const SESSION_STATS: &str = "SESSION_STATS";
}

/// Program names.
pub mod program {
    /// TC ingress of the internal interface.
    pub const INT_IN: &str = "natgw_int_in";
    /// TC ingress of the external interface.
    pub const EXT_IN: &str = "natgw_ext_in";
    /// TC egress of the external interface: the kernel's own ICMP errors about translated packets.
    pub const EXT_OUT: &str = "natgw_ext_out";
    /// Removal of sessions, run by user space through `BPF_PROG_TEST_RUN`.
    pub const SWEEP: &str = "natgw_sweep";
}

/// Kernel map types in use, with the kernel's numbers (`enum bpf_map_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum MapKind {
    /// `BPF_MAP_TYPE_HASH`
    Hash = 1,
    /// `BPF_MAP_TYPE_ARRAY`
    Array = 2,
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`
    PerCpuArray = 6,
    /// `BPF_MAP_TYPE_LPM_TRIE`
    LpmTrie = 11,
}

/// The shape of one map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapSpec {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: MapKind,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value (of one CPU, for per-CPU maps).
    pub value_size: u32,
    /// Default capacity; user space may choose another when it creates the map.
    pub max_entries: u32,
    /// Creation flags (`BPF_F_*`).
    pub flags: u32,
}

/// `BPF_F_NO_PREALLOC`: the only way to create an LPM trie.
const NO_PREALLOC: u32 = 1;

#[expect(clippy::cast_possible_truncation, reason = "keys and values are far below 4 GiB")]
const fn spec<K, V>(name: &'static str, kind: MapKind, max_entries: u32, flags: u32) -> MapSpec {
    MapSpec { name, kind, key_size: size_of::<K>() as u32, value_size: size_of::<V>() as u32, max_entries, flags }
}

/// Every pinned map.
pub const MAPS: &[MapSpec] = &[
    spec::<u32, AbiRecord>(map::ABI, MapKind::Array, 1, 0),
    spec::<u32, Config>(map::CONFIG, MapKind::Array, 1, 0),
    spec::<[u8; 4], EipEntry>(map::EIPS, MapKind::Hash, 16_384, 0),
    spec::<[u8; 4], Fip>(map::FIP_IN, MapKind::Hash, 16_384, 0),
    spec::<[u8; 4], Fip>(map::FIP_OUT, MapKind::Hash, 16_384, 0),
    spec::<DnatKey, DnatTarget>(map::DNAT, MapKind::Hash, 131_072, 0),
    spec::<SnatKey, SnatPool>(map::SNAT, MapKind::LpmTrie, 131_072, NO_PREALLOC),
    spec::<SessionKey, Session>(map::SESSIONS, MapKind::Hash, 1_048_576, 0),
    spec::<FlowKey, SessionKey>(map::FLOWS, MapKind::Hash, 1_048_576, 0),
    spec::<u32, Traffic>(map::COUNTERS, MapKind::PerCpuArray, Counter::COUNT, 0),
    spec::<u32, Traffic>(map::DROPS, MapKind::PerCpuArray, DropReason::COUNT, 0),
    spec::<u32, u64>(map::SESSION_STATS, MapKind::PerCpuArray, SessionStat::COUNT, 0),
];
