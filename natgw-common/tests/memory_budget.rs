//! The kernel memory that the maps of one gateway take, computed as the kernel does.
//!
//! `kernel/bpf/hashtab.c`: an element is `struct htab_elem` (48 bytes on 64-bit: list node 16, LRU node 24, hash 4,
//! padding 4), then key and value, each rounded up to 8; a map has as many buckets of 16 bytes as the next power of two
//! of its entries, and (preallocated) one more element per CPU. `htab_map_mem_usage` adds the map itself.
//! `bpftool map show` on Linux 6.18 says `memlock 125830240B` for `SESSIONS` and `100664368B` for `FLOWS`.
#![expect(clippy::unwrap_used, reason = "a test panics")]

use natgw_common::abi::{MAPS, MapKind, MapSpec, map};

const MIB: u64 = 1 << 20;
/// What a gateway may take for a million sessions.
const BUDGET: u64 = 256 * MIB;
const CPUS: u64 = 64;
const HTAB_ELEM: u64 = 48;
const BUCKET: u64 = 16;
/// `struct bpf_htab` and its per-CPU locks, generously.
const MAP_ITSELF: u64 = 8192;
/// `struct lpm_trie_node`: two children, prefix length, flags (before 6.10 also an `rcu_head`).
const TRIE_NODE: u64 = 16 + 24;
/// Routes in `SNAT` that the budget counts: the trie allocates on demand.
const SNAT_RULES: u64 = 1000;

fn round_up(bytes: u32) -> u64 {
    u64::from(bytes).next_multiple_of(8)
}

fn memory(spec: &MapSpec) -> u64 {
    let entries = u64::from(spec.max_entries);
    match spec.kind {
        MapKind::Hash => {
            let element = HTAB_ELEM + round_up(spec.key_size) + round_up(spec.value_size);
            entries.next_power_of_two() * BUCKET + (entries + CPUS) * element + MAP_ITSELF
        }
        MapKind::Array => entries * round_up(spec.value_size) + MAP_ITSELF,
        MapKind::PerCpuArray => entries * (8 + CPUS * round_up(spec.value_size)) + MAP_ITSELF,
        // Each rule can bring one inner node; nodes come from power-of-two slabs.
        MapKind::LpmTrie => {
            let node = (TRIE_NODE + u64::from(spec.key_size - 4) + u64::from(spec.value_size)).next_power_of_two();
            2 * SNAT_RULES * node + MAP_ITSELF
        }
    }
}

fn named(name: &str) -> &'static MapSpec {
    MAPS.iter().find(|spec| spec.name == name).unwrap()
}

#[test]
fn a_million_sessions_fit() {
    for name in [map::SESSIONS, map::FLOWS] {
        assert!(named(name).max_entries >= 1_000_000, "{name}");
    }
}

#[test]
fn all_maps_together_stay_within_the_budget() {
    let table: Vec<String> = MAPS.iter().map(|spec| format!("{:>14} {:>12}", spec.name, memory(spec))).collect();
    let total: u64 = MAPS.iter().map(memory).sum();
    assert!(total <= BUDGET, "{total} bytes, {} too many:\n{}", total - BUDGET, table.join("\n"));
}

#[test]
fn the_formula_agrees_with_what_the_kernel_says() {
    for (name, said) in [(map::SESSIONS, 125_830_240), (map::FLOWS, 100_664_368), (map::DNAT, 10_486_800)] {
        let (spec, slack) = (named(name), MAP_ITSELF + CPUS * 128);
        let computed = memory(spec);
        assert!(computed >= said && computed - said <= slack, "{name}: {computed}, the kernel says {said}");
    }
}

#[test]
fn map_names_fit_the_kernels_15_characters() {
    for spec in MAPS {
        assert!(spec.name.len() <= 15, "{}", spec.name);
    }
}
