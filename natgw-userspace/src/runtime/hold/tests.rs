//! What is held, rule by rule, and that no mixture of small worlds translates wrongly.

use std::collections::BTreeSet;

use natgw_common::abi::{DnatKey, DnatTarget, EipEntry, EipFlags, Fip, FipFlags, SnatPool};

use super::*;
use crate::core::{
    plan::{MapOp, plan},
    small_worlds::{Bench, worlds},
};

const EIP: [u8; 4] = [203, 0, 113, 10];
const NEW: [u8; 4] = [203, 0, 113, 11];
const POD: [u8; 4] = [10, 0, 0, 5];

fn pinned() -> Actual {
    let mut actual = Actual::default();
    actual.eips.insert(EIP, EipEntry { flags: EipFlags::Fip as u32 | EipFlags::Snat as u32 });
    actual.fip_in.insert(EIP, Fip { addr: POD, flags: FipFlags::Stateful as u32 });
    actual.dnat.insert(DnatKey::new(EIP, [0, 80], 6), DnatTarget::new(POD, [0, 80]));
    actual
}

#[test]
fn nothing_read_means_nothing_changes() {
    let held = hold(&DesiredState::default(), &pinned());
    assert!(plan(&held, &pinned()).is_empty());
}

#[test]
fn readable_objects_are_added_and_nothing_is_removed_or_loses_a_flag() {
    let mut desired = DesiredState::default();
    desired.eips.insert(NEW, EipEntry { flags: 0 });
    desired.eips.insert(EIP, EipEntry { flags: EipFlags::Fip as u32 });
    desired.fip_in.insert(EIP, Fip { addr: POD, flags: 0 });
    let plan = plan(&hold(&desired, &pinned()), &pinned());
    assert_eq!(plan.ops, [MapOp::PutEip(NEW, EipEntry { flags: 0 })]);
    assert!(plan.end.is_empty());
}

#[test]
fn a_changed_target_is_written() {
    let key = DnatKey::new(EIP, [0, 80], 6);
    let mut desired = DesiredState::default();
    desired.dnat.insert(key, DnatTarget::new(POD, [0, 81]));
    let plan = plan(&hold(&desired, &pinned()), &pinned());
    assert_eq!(plan.ops, [MapOp::PutDnat(key, DnatTarget::new(POD, [0, 81]))]);
}

/// Everything that is pinned or read is in `held`, but for pinned targets that what was read replaces.
fn holds_both(held: &DesiredState, desired: &DesiredState, pinned: &Actual) -> bool {
    let eips = pinned.eips.keys().chain(desired.eips.keys()).all(|eip| held.eips.contains_key(eip));
    let fips = pinned.fip_in.keys().all(|eip| held.fip_in.contains_key(eip))
        && desired.fip_in.iter().all(|(eip, fip)| held.fip_in[eip].addr == fip.addr);
    let dnat = pinned.dnat.keys().all(|key| held.dnat.contains_key(key))
        && desired.dnat.iter().all(|(key, target)| held.dnat[key] == *target);
    let mut pools = pinned.snat.iter().chain(&desired.snat);
    let snat = pools.all(|(key, pool)| {
        let all = |pool: &SnatPool| pool.eips.iter().take(pool.count as usize).copied().collect::<BTreeSet<_>>();
        all(&held.snat[key]).is_superset(&all(pool))
    });
    eips && fips && dnat && snat
}

#[test]
fn whatever_part_of_a_small_world_is_read_the_rest_goes_on_and_nothing_is_translated_wrongly() {
    let worlds = worlds();
    let mut bench = Bench::new();
    for pinned in worlds.iter().map(|world| &world.maps) {
        for read in &worlds {
            let held = hold(&read.desired, pinned);
            assert!(holds_both(&held, &read.desired, pinned), "{held:#?}\n{:#?}\n{pinned:#?}", read.desired);
            // A pod whose EIP has been given to another one goes by what it has left, whatever that is.
            let dispossessed = |pod: [u8; 4]| {
                let now_of = |eip| read.maps.fip_in.get(eip).is_some_and(|fip| fip.addr != pod);
                pinned.fip_in.iter().any(|(eip, fip)| fip.addr == pod && now_of(eip))
            };
            let goal = Actual::from(&held);
            let wrong = bench.wrong_packet([pinned, &goal, &read.maps], dispossessed);
            assert_eq!(wrong, None, "pinned {pinned:#?}\nread {:#?}\nheld {goal:#?}", read.maps);
            let mut maps = pinned.clone();
            for op in plan(&held, pinned).ops {
                maps.apply(&op);
                let lost = bench.lost_answer(&maps);
                assert_eq!(lost, None, "pinned {pinned:#?}\nread {:#?}\nheld {goal:#?}\nnow {maps:#?}", read.maps);
            }
            assert_eq!(maps, goal);
            assert!(plan(&hold(&read.desired, &maps), &maps).is_empty(), "held once, it stays");
        }
    }
}
