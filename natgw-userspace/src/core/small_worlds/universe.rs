//! The addresses of the small worlds, and a number for what the rule maps hold of them.
//!
//! Everything a rule map can hold over two elastic IPs and two pods fits into one word: each map entry is a cell of a
//! few bits. A packet's fate depends on the cells it has read and on nothing else, which makes it cheap to remember.

use natgw_common::abi::{DnatKey, DnatTarget, Fip, FipFlags, SnatKey, SnatPool};

use crate::core::plan::Actual;

pub(super) type Addr = [u8; 4];

pub(super) const EIPS: [Addr; 2] = [[203, 0, 113, 10], [203, 0, 113, 11]];
/// The first one also has a source network of its own.
pub(super) const PODS: [Addr; 2] = [[10, 0, 1, 1], [10, 0, 1, 2]];
/// A host outside.
pub(super) const PEER: Addr = [198, 51, 100, 1];
/// The mapped port of each EIP.
pub(super) const MAPPED: [u8; 2] = [0, 80];
/// Where it leads in each pod: in one to the same port, in the other to another.
pub(super) const TARGETS: [DnatTarget; 2] =
    [DnatTarget::new(PODS[0], [0, 80]), DnatTarget::new(PODS[1], 8080_u16.to_be_bytes())];
/// A source network of both pods, and one of the first alone.
pub(super) const NETWORKS: [SnatKey; 2] =
    [SnatKey { prefix_len: 24, addr: [10, 0, 1, 0] }, SnatKey { prefix_len: 32, addr: PODS[0] }];

/// A set of cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) struct Cells(pub(super) u32);

impl Cells {
    pub(super) const fn eip(which: usize) -> Self {
        Self(0xf << (which * 4))
    }
    pub(super) const fn fip_in(eip: usize) -> Self {
        Self(0x7 << (8 + eip * 3))
    }
    pub(super) const fn fip_out(pod: usize) -> Self {
        Self(0x7 << (14 + pod * 3))
    }
    pub(super) const fn dnat(eip: usize) -> Self {
        Self(0x3 << (20 + eip * 2))
    }
    /// Both: a look-up by longest prefix reads the trie as a whole.
    pub(super) const SNAT: Self = Self(0x3f << 24);

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What all cells hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) struct Code(pub(super) u32);

impl Code {
    /// The number of `maps`, which must hold nothing from outside the universe.
    pub(super) fn of(maps: &Actual) -> Self {
        let mut code = 0;
        let mut put = |cells: Cells, value: u32| code |= value << cells.0.trailing_zeros();
        for (key, entry) in &maps.eips {
            put(Cells::eip(place(&EIPS, key)), 1 | entry.flags << 1);
        }
        for (key, fip) in &maps.fip_in {
            put(Cells::fip_in(place(&EIPS, key)), half(&PODS, *fip));
        }
        for (key, fip) in &maps.fip_out {
            put(Cells::fip_out(place(&PODS, key)), half(&EIPS, *fip));
        }
        for (key, target) in &maps.dnat {
            let eip = place(&EIPS, &key.eip);
            assert_eq!(*key, DnatKey::new(EIPS[eip], MAPPED, 6));
            put(Cells::dnat(eip), 1 + number(place(&TARGETS, target)));
        }
        for (key, pool) in &maps.snat {
            put(Cells(0x7 << (24 + place(&NETWORKS, key) * 3)), pool_number(pool));
        }
        Self(code)
    }

    pub(super) const fn only(self, cells: Cells) -> Self {
        Self(self.0 & cells.0)
    }
}

/// Where `wanted` is in `all`.
pub(super) fn place<T: PartialEq + std::fmt::Debug>(all: &[T], wanted: &T) -> usize {
    all.iter().position(|one| one == wanted).unwrap_or_else(|| panic!("{wanted:?} is not of this universe"))
}

fn number(place: usize) -> u32 {
    u32::try_from(place).expect("a small place")
}

fn half(all: &[Addr], fip: Fip) -> u32 {
    1 + number(place(all, &fip.addr)) * 2 + u32::from(fip.has(FipFlags::Stateful))
}

fn pool_number(pool: &SnatPool) -> u32 {
    let used = &pool.eips[..pool.count as usize];
    let pools: [&[Addr]; 4] = [&EIPS[..1], &EIPS[1..], &EIPS, &[EIPS[1], EIPS[0]]];
    1 + number(place(&pools, &used))
}
