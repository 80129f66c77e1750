//! R10: an upgrade with a new map ABI. (Deaths in the middle of one, other hooks and absent interfaces: layer `restart`.)

use natgw_common::abi::DropReason;
use natgw_tests::{
    ClusterLab,
    churn::while_connecting,
    cluster::shared,
    gateway::{abi_next_binary, natgw_binary},
    idle::{Idle, with_idle},
    maps::MapDump,
    recovery::Outcome,
    traffic::{Traffic, rules},
};

#[test]
fn r10_a_new_map_abi_takes_over_all_sessions_and_the_old_version_is_refused() {
    let mut outcome = Outcome::with("R10", &abi_next_binary());
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &with_idle(rules()));
    let traffic = Traffic::start(&lab.net);
    let idle = Idle::open(&lab.net);
    // A flow that begins during the migration is held back: its sender tries again.
    lab.drops.allow(&[DropReason::Migrating]);
    assert!(lab.daemon_mut().term().success());
    let before = MapDump::read(&lab.gateway, &["SESSIONS"]).len("SESSIONS");
    let (mut daemon, opened) = while_connecting(&lab.net, || {
        let mut daemon = lab.gateway.spawn_binary(&abi_next_binary(), &[]);
        daemon.wait_ready();
        daemon
    });
    outcome.took(daemon.ready_after());
    let migrated = daemon.wait_message(0, "maps migrated");
    let carried = migrated.number("sessions").unwrap_or_default();
    assert!(carried >= before as u64 && !opened.is_empty(), "{before} sessions before; {}", migrated.text);
    daemon.wait_complete();
    traffic.flow();

    // Back to the old version: refused, and the data plane stays.
    assert!(daemon.term().success());
    let mut old = lab.gateway.spawn_binary(&natgw_binary(), &[]);
    let status = old.wait();
    let said = old.logs().closed();
    assert_eq!(status.code(), Some(4), "{said}");
    for part in ["version is 2, expected 1", "newer natgw", "keeps running as it is"] {
        assert!(said.contains(part), "`{part}` is missing in: {said}");
    }
    idle.assert_alive();
    let seen = traffic.end(&lab.net);
    outcome.traffic(&seen);
    outcome.note(format!("{} new connections during the upgrade, each established", opened.len()));
    seen.assert_unharmed();
    outcome.hand_in();
}
