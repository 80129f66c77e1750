//! Floating IPs one half at a time.
//!
//! A floating IP is two entries, so there are always states that have one of them, and a daemon that is killed there
//! leaves that state for good. Without sessions its answers would be lost: a pod's packets leave with an EIP that leads
//! elsewhere, or an EIP leads to a pod whose answers leave with another address. So as long as the halves do not
//! match, and as long as their EIP hands out ports, the flows of each half are marked to have sessions, which bring the
//! answers back. The marks come before everything that makes them necessary and go after it.

use std::collections::{BTreeMap, BTreeSet};

use natgw_common::abi::{Fip, FipFlags, SnatPool};

use super::{Actual, DesiredState, MapOp};

type Fips = BTreeMap<[u8; 4], Fip>;

/// The writes of `FIP_OUT` and `FIP_IN` that set something, in three parts. What is gone is not among them.
#[derive(Debug, Default)]
pub(super) struct Floating {
    /// Entries that stay for now get a mark.
    pub(super) marks: Vec<MapOp>,
    /// Entries get another address. All of `FIP_OUT` comes before all of `FIP_IN`.
    pub(super) moves: Vec<MapOp>,
    /// Entries lose their mark.
    pub(super) clears: Vec<MapOp>,
}

/// As [`super::plan`] needs them: marks, moves, SNAT, deletions (`FIP_IN` before `FIP_OUT`), clears.
pub(super) fn floating(desired: &DesiredState, actual: &Actual) -> Floating {
    let (hand_out_now, hand_out_then) = (handing_out(&actual.snat), handing_out(&desired.snat));
    let moves_away = |pod: &[u8; 4], eip| {
        let now = actual.fip_out.get(pod).map(|out| out.addr);
        desired.fip_out.get(pod).is_some_and(|out| out.addr != eip && Some(out.addr) != now)
    };

    // A pod that has no floating IP any more loses its outbound half last, and one that moves may do so after another
    // pod has got its EIP.
    let mark_out = |pod: &[u8; 4], old: &Fip| {
        desired.fip_out.get(pod).is_none_or(|new| {
            new.addr != old.addr && desired.fip_in.get(&old.addr).is_some_and(|back| back.addr != *pod)
        })
    };
    // The pod's outbound half moves before the inbound one; and ports may be handed out before the latter goes.
    let mark_in = |eip: &[u8; 4], old: &Fip| {
        moves_away(&old.addr, *eip) || (!desired.fip_in.contains_key(eip) && hand_out_then.contains(eip))
    };
    // The inbound half follows; and ports are handed out until SNAT has gone.
    let begin_out = |pod: &[u8; 4], new: &Fip| {
        let leads_here = actual.fip_in.get(&new.addr).is_some_and(|back| back.addr == *pod);
        !leads_here || hand_out_now.contains(&new.addr)
    };
    let begin_in = |eip: &[u8; 4], _: &Fip| hand_out_now.contains(eip);

    let mut all = Floating::default();
    all.of_map(&desired.fip_out, &actual.fip_out, MapOp::PutFipOut, mark_out, begin_out);
    all.of_map(&desired.fip_in, &actual.fip_in, MapOp::PutFipIn, mark_in, begin_in);
    all
}

impl Floating {
    /// `mark` says of an entry that is there, `begin` of one that gets its address, whether it needs sessions besides
    /// what is desired.
    fn of_map(
        &mut self,
        desired: &Fips,
        actual: &Fips,
        put: fn([u8; 4], Fip) -> MapOp,
        mark: impl Fn(&[u8; 4], &Fip) -> bool,
        begin: impl Fn(&[u8; 4], &Fip) -> bool,
    ) {
        let marked = |key: &[u8; 4], old: Fip| {
            let new = desired.get(key).filter(|new| new.addr == old.addr);
            let needed = mark(key, &old) || new.is_some_and(|new| new.has(FipFlags::Stateful));
            if needed { stateful(old) } else { old }
        };
        for (key, old) in actual {
            if marked(key, *old) != *old {
                self.marks.push(put(*key, marked(key, *old)));
            }
        }
        for (key, new) in desired {
            let written = if let Some(old) = actual.get(key).filter(|old| old.addr == new.addr) {
                marked(key, *old)
            } else {
                let written = if begin(key, new) { stateful(*new) } else { *new };
                self.moves.push(put(*key, written));
                written
            };
            if written != *new {
                self.clears.push(put(*key, *new));
            }
        }
    }
}

fn stateful(fip: Fip) -> Fip {
    Fip { flags: fip.flags | FipFlags::Stateful as u32, ..fip }
}

/// The EIPs that hand out ports.
fn handing_out<K>(snat: &BTreeMap<K, SnatPool>) -> BTreeSet<[u8; 4]> {
    snat.values().flat_map(|pool| pool.eips.iter().take(pool.count as usize)).copied().collect()
}
