//! Reading and writing the rule maps.

use natgw_common::abi::{
    Counter, DnatKey, DnatTarget, DropReason, EipEntry, Fip, SNAT_POOL_MAX, SessionStat, SnatKey, SnatPool,
};
use natgw_userspace::{
    core::plan::{Actual, MapOp},
    datapath::Maps,
};

use crate::rig::Rig;

fn pool(eips: &[[u8; 4]]) -> SnatPool {
    let mut pool = SnatPool { count: u32::try_from(eips.len()).unwrap(), eips: [[0; 4]; SNAT_POOL_MAX] };
    pool.eips[..eips.len()].copy_from_slice(eips);
    pool
}

/// One of everything, and many of the large ones, so that reading takes several batches.
fn puts() -> Vec<MapOp> {
    let eip = [203, 0, 113, 1];
    let mut ops = vec![
        MapOp::PutEip(eip, EipEntry { flags: 7 }),
        MapOp::PutFipIn(eip, Fip { addr: [10, 0, 0, 5], flags: 1 }),
        MapOp::PutFipOut([10, 0, 0, 5], Fip { addr: eip, flags: 0 }),
    ];
    ops.extend((1..=10_000u16).map(|port| {
        MapOp::PutDnat(
            DnatKey::new(eip, port.to_be_bytes(), 6),
            DnatTarget::new([10, 0, 1, 1], (port + 1).to_be_bytes()),
        )
    }));
    for prefix_len in [0, 8, 16, 24, 32] {
        let masked = u32::MAX.checked_shl(32 - prefix_len).unwrap_or(0) & u32::from_be_bytes([10, 1, 2, 3]);
        ops.push(MapOp::PutSnat(SnatKey { prefix_len, addr: masked.to_be_bytes() }, pool(&[eip, [203, 0, 113, 2]])));
    }
    ops
}

#[test]
fn what_is_written_is_read_back_and_what_is_deleted_is_gone() {
    let rig = Rig::new();
    let lock = rig.lock();
    let (mut datapath, _) = rig.load(&lock).unwrap();
    let maps = datapath.maps();
    let before = maps.writes();
    let mut model = Actual::default();
    for op in puts() {
        maps.apply(&op).unwrap();
        model.apply(&op);
    }
    assert_eq!(maps.read_actual().unwrap(), model);
    assert_eq!(maps.writes() - before, puts().len() as u64);
    assert_eq!(Maps::open(&rig.paths).unwrap().read_actual().unwrap(), model, "tools see the same");

    for (key, _) in model.dnat.clone().into_iter().step_by(2) {
        maps.apply(&MapOp::DelDnat(key)).unwrap();
        model.apply(&MapOp::DelDnat(key));
    }
    let others: Vec<_> = model.snat.keys().copied().map(MapOp::DelSnat).collect();
    for op in others.into_iter().chain([
        MapOp::DelFipIn([203, 0, 113, 1]),
        MapOp::DelFipOut([10, 0, 0, 5]),
        MapOp::DelEip([203, 0, 113, 1]),
    ]) {
        maps.apply(&op).unwrap();
        model.apply(&op);
        maps.apply(&op).unwrap();
    }
    assert_eq!(maps.read_actual().unwrap(), model);
}

#[test]
fn a_full_map_is_named_with_its_capacity() {
    let rig = Rig::new();
    let lock = rig.lock();
    let (mut datapath, _) = rig.load(&lock).unwrap();
    let result = (0..=16_384u32)
        .map(|n| datapath.maps().apply(&MapOp::PutEip(n.to_be_bytes(), EipEntry { flags: 0 })))
        .find_map(Result::err);
    assert_eq!(result.unwrap().to_string(), "map `EIPS` is full: all of its 16384 entries are in use");
}

#[test]
fn an_equal_configuration_is_not_written_again() {
    let rig = Rig::new();
    let lock = rig.lock();
    let (mut datapath, _) = rig.load(&lock).unwrap();
    let maps = datapath.maps();
    assert_eq!(maps.config().unwrap(), None);
    assert!(maps.update_config(|config| config.ext_ifindex = 5).unwrap());
    let (writes, config) = (maps.writes(), maps.config().unwrap().unwrap());
    assert!(!maps.update_config(|config| config.ext_ifindex = 5).unwrap());
    assert!(!maps.set_config(&config).unwrap());
    assert_eq!(maps.writes(), writes);
    assert!(maps.update_config(|config| config.ext_ifindex = 6).unwrap());
    assert_eq!(maps.config().unwrap().unwrap().port_secret, config.port_secret);
}

#[test]
fn fresh_counters_are_all_there_and_zero() {
    let rig = Rig::new();
    let lock = rig.lock();
    let (mut datapath, _) = rig.load(&lock).unwrap();
    let counters = datapath.maps().counters().unwrap();
    assert_eq!(counters.traffic.len(), Counter::ALL.len());
    assert_eq!(counters.drops.len(), DropReason::ALL.len());
    assert_eq!(counters.sessions.len(), SessionStat::ALL.len());
    assert!(counters.traffic.iter().all(|(_, traffic)| traffic.packets == 0));
    assert_eq!(datapath.maps().session_count().unwrap(), 0);
}
