//! A plan reaches its goal, once, and never passes through a state that is worse than both ends.

use std::collections::BTreeSet;

use natgw_common::abi::EipFlags;
use proptest::{collection::btree_map, prelude::*};

use super::*;
use crate::core::{
    objects::Object,
    testing::{dnat, eip, fip, gateway, snat},
};

const A: [u8; 4] = [203, 0, 113, 10];
const POD_1: [u8; 4] = [10, 0, 1, 1];
const POD_2: [u8; 4] = [10, 0, 1, 2];

/// Every world over two EIPs and three rules, each absent or in one of its variants: a floating IP, a port mapping, and
/// a source network or a second floating IP (which may want the first one's pod).
fn worlds() -> Vec<DesiredState> {
    let eips = [vec![], vec![eip("a", "203.0.113.10")], vec![eip("b", "203.0.113.11")], {
        vec![eip("a", "203.0.113.10"), eip("b", "203.0.113.11")]
    }];
    let fips =
        [None, Some(fip("f", "a", "10.0.1.1")), Some(fip("f", "a", "10.0.1.2")), Some(fip("f", "b", "10.0.1.1"))];
    let dnats = [
        None,
        Some(dnat("d", "a", "tcp/80", "10.0.1.1:80")),
        Some(dnat("d", "a", "tcp/80", "10.0.1.2:80")),
        Some(dnat("d", "b", "tcp/80", "10.0.1.1:80")),
    ];
    let thirds = [
        None,
        Some(snat("s", "a", "10.0.1.0/24")),
        Some(snat("s", "b", "10.0.1.0/24")),
        Some(fip("g", "b", "10.0.1.1")),
    ];
    let mut worlds = Vec::new();
    for eips in &eips {
        for fip in &fips {
            for dnat in &dnats {
                for third in &thirds {
                    let rules = [fip, dnat, third].into_iter().flatten().cloned();
                    let objects = eips.iter().cloned().chain(rules).chain([gateway("gw1", &[])]);
                    let world = DesiredState::build(&objects.collect(), "gw1").0;
                    if !worlds.contains(&world) {
                        worlds.push(world);
                    }
                }
            }
        }
    }
    worlds
}

/// Which map and which key: what must not be absent in between.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identity {
    Eip([u8; 4]),
    FipIn([u8; 4]),
    FipOut([u8; 4]),
    Dnat(DnatKey),
    Snat(SnatKey),
}

fn identities(maps: &Actual) -> BTreeSet<Identity> {
    let eips = maps.eips.keys().copied().map(Identity::Eip);
    let fip_in = maps.fip_in.keys().copied().map(Identity::FipIn);
    let fip_out = maps.fip_out.keys().copied().map(Identity::FipOut);
    let dnat = maps.dnat.keys().copied().map(Identity::Dnat);
    let snat = maps.snat.keys().copied().map(Identity::Snat);
    eips.chain(fip_in).chain(fip_out).chain(dnat).chain(snat).collect()
}

/// Whether every rule names an EIP that the programs know.
fn rules_have_their_eips(maps: &Actual) -> bool {
    let pools = maps.snat.values().flat_map(|pool| pool.eips.iter().take(pool.count as usize));
    let named = maps.fip_in.keys().chain(maps.fip_out.values().map(|fip| &fip.addr));
    named.chain(maps.dnat.keys().map(|key| &key.eip)).chain(pools).all(|eip| maps.eips.contains_key(eip))
}

#[test]
fn every_step_between_any_two_small_worlds_is_make_before_break() {
    let worlds = worlds();
    // No EIP; `a` alone; `b` alone, its floating IP by either rule; both, and the second floating IP beside the first.
    assert_eq!(worlds.len(), 1 + 3 * 3 * 2 + (2 * 2 * 2 + 2) + (4 * 4 * 3 + 3 * 4));
    for from in &worlds {
        for to in &worlds {
            let goal = Actual::from(to);
            let mut maps = Actual::from(from);
            let before = identities(&maps);
            let after = identities(&goal);
            let kept: BTreeSet<_> = before.intersection(&after).collect();
            for op in plan(to, &maps).ops {
                maps.apply(&op);
                let now = identities(&maps);
                assert!(kept.iter().all(|identity| now.contains(identity)), "{op:?} removes what stays");
                assert!(now.iter().all(|i| before.contains(i) || after.contains(i)), "{op:?} makes what nobody wants");
                assert!(rules_have_their_eips(&maps), "{op:?} leaves a rule without its EIP");
            }
            assert_eq!(maps, goal);
            assert!(plan(to, &maps).is_empty());
        }
    }
}

#[test]
fn no_write_is_idle() {
    for from in &worlds() {
        for to in &worlds() {
            let actual = Actual::from(from);
            let mut maps = actual.clone();
            for op in plan(to, &actual).ops {
                let before = maps.clone();
                maps.apply(&op);
                assert_ne!(maps, before, "{op:?} changes nothing");
            }
        }
    }
}

fn world(objects: impl IntoIterator<Item = Object>) -> DesiredState {
    DesiredState::build(&objects.into_iter().collect(), "gw1").0
}

/// EIP `a` and `rules`.
fn on_a(rules: impl IntoIterator<Item = Object>) -> DesiredState {
    world([eip("a", "203.0.113.10")].into_iter().chain(rules))
}

#[test]
fn the_order_is_eips_rules_then_removed_rules_then_removed_eips() {
    let from =
        on_a([fip("f", "a", "10.0.1.1"), dnat("d", "a", "tcp/80", "10.0.1.1:80"), snat("s", "a", "10.0.2.0/24")]);
    let to = world([
        eip("b", "203.0.113.11"),
        fip("f", "b", "10.0.1.2"),
        dnat("d", "b", "tcp/80", "10.0.1.1:80"),
        snat("s", "b", "10.0.1.0/24"),
    ]);
    let ops = plan(&to, &Actual::from(&from)).ops;
    let names: Vec<_> =
        ops.iter().map(|op| format!("{op:?}").split('(').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(
        names,
        [
            "PutEip",
            "PutFipOut",
            "PutFipIn",
            "PutDnat",
            "PutSnat",
            "DelSnat",
            "DelDnat",
            "DelFipIn",
            "DelFipOut",
            "DelEip"
        ]
    );
}

/// `in` or `out`, address and target by their last bytes, `*` for one that needs sessions; deletions have no target.
fn floating_ips(to: &DesiredState, from: &DesiredState) -> Vec<String> {
    let half = |name, key: [u8; 4], fip: Fip| {
        let mark = if fip.has(natgw_common::abi::FipFlags::Stateful) { "*" } else { "" };
        Some(format!("{name} {}>{}{mark}", key[3], fip.addr[3]))
    };
    let written = |op| match op {
        MapOp::PutFipIn(key, fip) => half("in", key, fip),
        MapOp::PutFipOut(key, fip) => half("out", key, fip),
        MapOp::DelFipIn(key) => Some(format!("in {}", key[3])),
        MapOp::DelFipOut(key) => Some(format!("out {}", key[3])),
        MapOp::PutSnat(..) => Some("snat".to_owned()),
        MapOp::DelSnat(..) => Some("no snat".to_owned()),
        MapOp::PutEip(..) | MapOp::DelEip(..) | MapOp::PutDnat(..) | MapOp::DelDnat(..) => None,
    };
    plan(to, &Actual::from(from)).ops.into_iter().filter_map(written).collect()
}

#[test]
fn half_a_floating_ip_has_sessions() {
    let both = |rules: &[Object]| {
        world([eip("a", "203.0.113.10"), eip("b", "203.0.113.11")].into_iter().chain(rules.iter().cloned()))
    };
    let (none, here) = (both(&[]), both(&[fip("f", "a", "10.0.1.1")]));
    assert_eq!(floating_ips(&here, &none), ["out 1>10*", "in 10>1", "out 1>10"]);
    assert_eq!(floating_ips(&none, &here), ["out 1>10*", "in 10", "out 1"]);
    let other_pod = both(&[fip("f", "a", "10.0.1.2")]);
    assert_eq!(floating_ips(&other_pod, &here), ["out 1>10*", "out 2>10*", "in 10>2", "out 1", "out 2>10"]);
    let other_eip = both(&[fip("f", "b", "10.0.1.1")]);
    assert_eq!(floating_ips(&other_eip, &here), ["in 10>1*", "out 1>11*", "in 11>1", "in 10", "out 1>11"]);
}

#[test]
fn a_floating_ip_has_sessions_before_its_eip_hands_out_ports_and_until_it_no_longer_does() {
    let here = on_a([fip("f", "a", "10.0.1.1")]);
    let shared = on_a([fip("f", "a", "10.0.1.1"), snat("s", "a", "10.0.1.0/24")]);
    assert_eq!(floating_ips(&shared, &here), ["out 1>10*", "in 10>1*", "snat"]);
    assert_eq!(floating_ips(&here, &shared), ["no snat", "out 1>10", "in 10>1"]);
}

#[test]
fn the_narrowest_source_network_comes_first_and_goes_last() {
    let both = [eip("a", "203.0.113.10"), eip("b", "203.0.113.11")];
    let with = |rules: Vec<Object>| world(both.iter().cloned().chain(rules));
    let wide_on = |eip| snat("wide", eip, "10.0.1.0/24");
    let to = with(vec![wide_on("b"), snat("narrow", "a", "10.0.1.1/32")]);
    let prefixes = |to: &DesiredState, from: &DesiredState| {
        let ops = plan(to, &Actual::from(from)).ops.into_iter();
        ops.filter_map(|op| {
            if let MapOp::PutSnat(key, _) = op {
                Some(format!("put /{}", key.prefix_len))
            } else if let MapOp::DelSnat(key) = op {
                Some(format!("delete /{}", key.prefix_len))
            } else {
                None
            }
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(prefixes(&to, &with(vec![wide_on("a")])), ["put /32", "put /24"]);
    assert_eq!(prefixes(&with(vec![]), &to), ["delete /24", "delete /32"]);
}

#[test]
fn a_floating_ip_that_goes_or_changes_its_pod_ends_its_sessions() {
    let from = Actual::from(&on_a([fip("f", "a", "10.0.1.1")]));
    let ended = vec![EndSessions::Fip { eip: A, pod: POD_1 }];
    assert_eq!(plan(&on_a([]), &from).end, ended);
    assert_eq!(plan(&on_a([fip("f", "a", "10.0.1.2")]), &from).end, ended);
    assert_eq!(plan(&on_a([fip("g", "a", "10.0.1.1"), snat("s", "a", "10.0.1.0/24")]), &from).end, []);
}

#[test]
fn a_port_mapping_that_goes_or_changes_its_target_ends_its_sessions() {
    let from = Actual::from(&on_a([dnat("d", "a", "tcp/80", "10.0.1.1:80")]));
    let key = DnatKey::new(A, [0, 80], 6);
    let ended = vec![EndSessions::Dnat { key, target: DnatTarget::new(POD_1, [0, 80]) }];
    assert_eq!(plan(&on_a([]), &from).end, ended);
    assert_eq!(plan(&on_a([dnat("d", "a", "tcp/80", "10.0.1.1:81")]), &from).end, ended);
    assert_eq!(plan(&on_a([dnat("d", "a", "tcp/80", "10.0.1.2:80")]), &from).end, ended);
    let more = [dnat("d", "a", "TCP/80", "10.0.1.1:80"), dnat("e", "a", "udp/80", "10.0.1.2:80")];
    assert_eq!(plan(&on_a(more), &from).end, []);
}

#[test]
fn an_eip_that_goes_ends_its_sessions_and_a_source_network_that_goes_ends_none() {
    let from = Actual::from(&on_a([snat("s", "a", "10.0.1.0/24")]));
    assert_eq!(plan(&on_a([]), &from).end, []);
    assert_eq!(plan(&world([]), &from).end, [EndSessions::Eip(A)]);
}

#[test]
fn a_port_mapping_that_goes_ends_nothing_that_its_floating_ip_carries_on() {
    let both = [fip("f", "a", "10.0.1.1"), dnat("d", "a", "tcp/80", "10.0.1.1:80")];
    let end = |to: &DesiredState| plan(to, &Actual::from(&on_a(both.clone()))).end;
    assert_eq!(end(&on_a([fip("f", "a", "10.0.1.1")])), []);
    assert_eq!(end(&on_a([fip("f", "a", "10.0.1.2")])).len(), 2);
}

#[test]
fn an_unknown_world_in_the_maps_is_replaced() {
    let mut actual = Actual::default();
    actual.fip_out.insert(POD_2, Fip { addr: [1, 2, 3, 4], flags: 7 });
    actual.eips.insert(A, EipEntry { flags: EipFlags::Fip as u32 | 1 << 31 });
    let to = on_a([]);
    let plan = plan(&to, &actual);
    assert_eq!(plan.ops, [MapOp::PutEip(A, EipEntry { flags: 0 }), MapOp::DelFipOut(POD_2)]);
    assert_eq!(plan.end, []);
}

fn maps() -> impl Strategy<Value = Actual> {
    let addr = || (0_u8..4).prop_map(|n| [10, 0, 0, n]);
    let fips = || btree_map(addr(), (addr(), 0_u32..2).prop_map(|(addr, flags)| Fip { addr, flags }), 0..4);
    let dnat_key = (addr(), 0_u8..2).prop_map(|(eip, port)| DnatKey::new(eip, [0, port], 6));
    let target = (addr(), 0_u8..2).prop_map(|(addr, port)| DnatTarget::new(addr, [0, port]));
    let snat_key = (0_u8..4, 23_u32..25).prop_map(|(n, prefix_len)| SnatKey { prefix_len, addr: [10, 0, n * 2, 0] });
    let pool = addr().prop_map(|eip| {
        let mut pool = SnatPool { count: 1, eips: [[0; 4]; natgw_common::abi::SNAT_POOL_MAX] };
        pool.eips[0] = eip;
        pool
    });
    let eips = btree_map(addr(), (0_u32..8).prop_map(|flags| EipEntry { flags }), 0..4);
    (eips, fips(), fips(), btree_map(dnat_key, target, 0..6), btree_map(snat_key, pool, 0..4))
        .prop_map(|(eips, fip_in, fip_out, dnat, snat)| Actual { eips, fip_in, fip_out, dnat, snat })
}

proptest! {
    #[test]
    fn a_plan_turns_any_maps_into_the_desired_ones_and_is_empty_the_second_time(from in maps(), to in maps()) {
        let Actual { eips, fip_in, fip_out, dnat, snat } = to.clone();
        let desired = DesiredState { eips, fip_in, fip_out, dnat, snat, ..DesiredState::default() };
        let mut now = from.clone();
        for op in &plan(&desired, &from).ops {
            now.apply(op);
        }
        prop_assert_eq!(&now, &to);
        prop_assert!(plan(&desired, &now).is_empty());
    }
}
