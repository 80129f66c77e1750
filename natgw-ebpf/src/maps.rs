//! Every map. Shapes must equal `natgw_common::abi::MAPS`, which the loader checks against the kernel's view.

use aya_ebpf::{
    btf_maps::{Array, HashMap, LpmTrie, PerCpuArray},
    macros::btf_map,
};
use natgw_common::abi::{
    AbiRecord, Config, Counter, DnatKey, DnatTarget, DropReason, EipEntry, Fip, FlowKey, Session, SessionKey,
    SessionStat, SnatPool, Traffic,
};

#[btf_map]
pub(crate) static ABI: Array<AbiRecord, 1> = Array::new();
#[btf_map]
pub(crate) static CONFIG: Array<Config, 1> = Array::new();
#[btf_map]
pub(crate) static EIPS: HashMap<[u8; 4], EipEntry, 16_384> = HashMap::new();
#[btf_map]
pub(crate) static FIP_IN: HashMap<[u8; 4], Fip, 16_384> = HashMap::new();
#[btf_map]
pub(crate) static FIP_OUT: HashMap<[u8; 4], Fip, 16_384> = HashMap::new();
#[btf_map]
pub(crate) static DNAT: HashMap<DnatKey, DnatTarget, 131_072> = HashMap::new();
#[btf_map]
pub(crate) static SNAT: LpmTrie<[u8; 4], SnatPool, 131_072> = LpmTrie::new();
#[btf_map]
pub(crate) static SESSIONS: HashMap<SessionKey, Session, 1_048_576> = HashMap::new();
#[btf_map]
pub(crate) static FLOWS: HashMap<FlowKey, SessionKey, 1_048_576> = HashMap::new();
#[btf_map]
pub(crate) static COUNTERS: PerCpuArray<Traffic, { Counter::COUNT as usize }> = PerCpuArray::new();
#[btf_map]
pub(crate) static DROPS: PerCpuArray<Traffic, { DropReason::COUNT as usize }> = PerCpuArray::new();
#[btf_map]
pub(crate) static SESSION_STATS: PerCpuArray<u64, { SessionStat::COUNT as usize }> = PerCpuArray::new();
