//! Which EIP of a pool a source uses: rendezvous hashing, so that adding or removing one EIP moves only the sources
//! of that one (RFC 4787 REQ-2, RFC 6888 REQ-2: paired).

use crate::abi::{SNAT_POOL_MAX, SnatPool};

/// The EIP of `pool` that `src` sticks to; `None` for an empty pool.
#[must_use]
#[inline(always)]
pub fn pick(pool: &SnatPool, src: [u8; 4], secret: u64) -> Option<[u8; 4]> {
    if pool.count == 1 {
        return pool.eips.first().copied();
    }
    let mut best: Option<(u64, [u8; 4])> = None;
    let mut i = 0;
    while i < SNAT_POOL_MAX {
        let Some(&eip) = pool.eips.get(i) else { break };
        i += 1;
        if i > pool.count as usize {
            break;
        }
        let weight = mix(secret ^ (u64::from(u32::from_ne_bytes(src)) << 32 | u64::from(u32::from_ne_bytes(eip))));
        match best {
            Some((heaviest, _)) if heaviest >= weight => {}
            _ => best = Some((weight, eip)),
        }
    }
    best.map(|(_, eip)| eip)
}

/// A 64-bit finaliser with full avalanche (Stafford's variant 13 of `MurmurHash3`'s).
#[inline(always)]
const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
