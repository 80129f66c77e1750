//! Several EIPs for one CIDR.

use std::collections::BTreeMap;

use super::{frame::*, gateway::Gateway};
use crate::{abi::SnatPool, nat::pick};

const EIPS: [&str; 5] = ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4", "203.0.113.5"];

fn pool(eips: &[&str]) -> SnatPool {
    let mut pool = SnatPool { count: u32::try_from(eips.len()).unwrap(), eips: [[0; 4]; 16] };
    for (slot, eip) in pool.eips.iter_mut().zip(eips) {
        *slot = addr(eip);
    }
    pool
}

fn choices(eips: &[&str]) -> BTreeMap<[u8; 4], [u8; 4]> {
    let pool = pool(eips);
    let source = |i: u16| [10, 0, i.to_be_bytes()[0], i.to_be_bytes()[1]];
    (0..1000).map(source).map(|src| (src, pick(&pool, src, 7).unwrap())).collect()
}

#[test]
fn a_source_keeps_its_eip_for_every_flow() {
    let mut gateway = Gateway::new();
    gateway.0.rules.snat("10.0.0.0/24", &EIPS);
    let first = gateway.vpc(&udp("10.0.0.5:4000 > 8.8.8.8:53")).frame().parse().ip.src;
    for port in 4001..4100 {
        let out = gateway.vpc(&tcp(&format!("10.0.0.5:{port} > 9.9.9.9:443"), SYN));
        assert_eq!(out.frame().parse().ip.src, first);
    }
}

#[test]
fn removing_one_eip_moves_only_its_own_sources() {
    let before = choices(&EIPS);
    for removed in 0..EIPS.len() {
        let mut left = EIPS.to_vec();
        let gone = addr(left.remove(removed));
        for (src, eip) in choices(&left) {
            assert!(before[&src] == gone || before[&src] == eip, "{src:?} moved though its EIP stayed");
        }
    }
}

#[test]
fn adding_an_eip_takes_sources_only_for_itself_wherever_it_stands() {
    let before = choices(&EIPS[..4]);
    let first = [EIPS[4], EIPS[0], EIPS[1], EIPS[2], EIPS[3]];
    let after = choices(&first);
    assert!(after.iter().all(|(src, eip)| *eip == addr(EIPS[4]) || *eip == before[src]));
    assert_eq!(after, choices(&EIPS), "the order of a pool means nothing");
}

#[test]
fn sources_spread_evenly_over_the_pool() {
    let mut count = BTreeMap::new();
    for eip in choices(&EIPS).into_values() {
        *count.entry(eip).or_insert(0) += 1;
    }
    // 1000 sources, 200 each; four standard deviations are 51.
    assert_eq!(count.len(), EIPS.len());
    assert!(count.values().all(|n| (149..=251).contains(n)), "{count:?}");
}

#[test]
fn an_empty_pool_and_one_that_claims_too_many_are_harmless() {
    assert_eq!(pick(&pool(&[]), addr("10.0.0.5"), 7), None);
    let lying = SnatPool { count: 1000, ..pool(&EIPS) };
    assert!(pick(&lying, addr("10.0.0.5"), 7).is_some());
}

#[test]
fn a_session_keeps_its_eip_when_the_pool_changes() {
    let mut gateway = Gateway::new();
    gateway.0.rules.snat("10.0.0.0/24", &EIPS[..1]);
    assert_eq!(gateway.vpc(&udp("10.0.0.5:4000 > 8.8.8.8:53")), "external snat_out 203.0.113.1:4000 > 8.8.8.8:53");
    gateway.0.rules.snat("10.0.0.0/24", &EIPS[1..2]);
    assert_eq!(gateway.vpc(&udp("10.0.0.5:4000 > 8.8.8.8:53")), "external snat_out 203.0.113.1:4000 > 8.8.8.8:53");
    assert_eq!(gateway.vpc(&udp("10.0.0.5:4001 > 8.8.8.8:53")), "external snat_out 203.0.113.2:4001 > 8.8.8.8:53");
}
