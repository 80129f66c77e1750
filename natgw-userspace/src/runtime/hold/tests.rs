//! What is held, rule by rule, and that no mixture of small worlds translates wrongly.

use std::collections::BTreeSet;

use natgw_common::abi::{DnatKey, DnatTarget, EipEntry, EipFlags, Fip, FipFlags, SnatPool};

use super::*;
use crate::core::{
    objects::Object,
    plan::{MapOp, plan},
    small_worlds::{Bench, worlds},
    testing::{aged, eip, fip, snat},
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

fn world(rules: &[&Object]) -> DesiredState {
    let eips = [eip("a", "203.0.113.10"), eip("b", "203.0.113.11")];
    DesiredState::build(&eips.iter().chain(rules.iter().copied()).cloned().collect(), "gw1").0
}

/// Whether what is held when `pinned` were the rules and only `read` can be read, is the same as with all of `rules`.
fn holds(read: &[&Object], pinned: &[&Object], rules: &[&Object]) -> bool {
    let held = hold(&world(read), &Actual::from(&world(pinned)));
    Actual::from(&held) == Actual::from(&world(rules))
}

#[test]
fn a_pod_leaves_with_its_pinned_eip_until_that_rule_is_read_too() {
    let (on_a, on_b) = (aged(fip("f", "a", "10.0.1.1"), 2), aged(fip("g", "b", "10.0.1.1"), 3));
    assert!(holds(&[&on_b], &[&on_a], &[&on_a, &on_b]), "the second EIP answers as itself");
    let older_b = aged(on_b, 1);
    assert!(holds(&[&older_b, &on_a], &[&on_a], &[&older_b, &on_a]), "both are read, and so are their ages");
}

#[test]
fn an_eip_that_is_read_for_another_pod_leaves_nothing_to_its_former_one() {
    let (was, is) = (fip("f", "a", "10.0.1.1"), fip("f", "a", "10.0.1.2"));
    assert!(holds(&[&is], &[&was], &[&is]));
}

#[test]
fn pinned_eips_stay_in_a_pool_and_a_pinned_floating_ip_beside_it_gets_sessions() {
    let [on_b, on_a] = [("s", "b"), ("t", "a")].map(|(name, eip)| snat(name, eip, "10.0.1.0/24"));
    let fip = fip("f", "b", "10.0.1.1");
    assert!(holds(&[&on_b], &[&on_a, &fip], &[&on_b, &on_a, &fip]));
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
    for (number, pinned) in worlds.iter().map(|world| &world.maps).enumerate() {
        // One in seven, each time others: 18,000 pairs.
        for read in worlds.iter().skip(number % 7).step_by(7) {
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
