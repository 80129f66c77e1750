//! R10: an upgrade with a new map ABI. The sessions move, no connection is reset, no packet of a known flow is lost; the
//! first packet of a new flow may be, and its sender tries again.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use natgw_common::abi::DropReason;
use natgw_tests::traffic::{Traffic, at, rules};
use natgw_tests::{
    Daemon, Lab, Topology,
    churn::while_connecting,
    clock,
    gateway::{abi_next_binary, natgw_binary},
    idle::{Idle, with_idle},
    maps::MapDump,
    tcp,
    topology::SERVER,
};

fn upgrade(lab: &Lab) -> Daemon {
    let mut daemon = lab.gateway.spawn_binary(&abi_next_binary(), &[]);
    daemon.wait_ready();
    daemon
}

/// A program that runs the new version and lets it die at `step`.
fn dying(lab: &Lab, step: &str) -> PathBuf {
    let script = lab.gateway.dir().join(format!("die-at-{step}"));
    let text = format!("#!/bin/sh\nNATGW_DIE_AT={step} exec {} \"$@\"\n", abi_next_binary().display());
    fs::write(&script, text).expect("the test's directory is writable");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    script
}

#[test]
fn r10_a_new_map_abi_takes_over_all_sessions_and_the_old_version_is_refused() {
    for args in [[].as_slice(), &["--attach", "clsact"]] {
        let mut lab = Lab::on(Topology::new(), &with_idle(rules()), args);
        lab.allow_drops(&[DropReason::Migrating]);
        let traffic = Traffic::start(&lab.net);
        let idle = Idle::open(&lab.net);
        lab.daemon_mut().term();
        let before = MapDump::read(&lab.gateway, &["SESSIONS"]).len("SESSIONS");
        let (daemon, opened) = while_connecting(&lab.net, || upgrade(&lab));
        let migrated = daemon.wait_message(0, "maps migrated");
        println!("{} connections were opened meanwhile; {}", opened.len(), migrated.text);
        assert!(migrated.number("sessions").is_some_and(|carried| carried >= before as u64), "{}", migrated.text);
        assert!(!opened.is_empty());
        traffic.flow();
        idle.assert_alive();
        lab.replace_daemon(daemon);

        // The same version once more: nothing to do.
        assert!(lab.daemon_mut().term().success());
        let mut daemon = lab.gateway.spawn_binary(&abi_next_binary(), &[]);
        let ready = daemon.wait_ready();
        assert_eq!(ready.number("map_writes"), Some(0), "{}", ready.text);
        assert!(!daemon.logs().text().contains("maps migrated"), "{}", daemon.logs().text());
        lab.replace_daemon(daemon);
        traffic.flow();

        // Back to the old version: refused.
        lab.daemon_mut().term();
        let mut old = lab.gateway.spawn_binary(&natgw_binary(), &[]);
        let status = old.wait();
        let said = old.logs().closed();
        assert_eq!(status.code(), Some(4), "{said}");
        for part in ["version is 2, expected 1", "newer natgw", "keeps running as it is"] {
            assert!(said.contains(part), "`{part}` is missing in: {said}");
        }
        traffic.assert_unharmed(&lab.net);
        drop(opened);
    }
}

#[test]
fn r10_an_upgrade_killed_again_and_again_harms_no_known_flow() {
    let mut lab = Lab::new(&with_idle(rules()));
    lab.allow_drops(&[DropReason::Migrating]);
    let traffic = Traffic::start(&lab.net);
    let idle = Idle::open(&lab.net);
    lab.daemon_mut().kill9();
    // Before the commit, inside it, with one hook switched, with all of them.
    for step in ["carried", "committing", "int_in", "ext_in", "released"] {
        let mut daemon = lab.gateway.spawn_binary(&dying(&lab, step), &[]);
        let status = daemon.wait();
        assert!(!status.success(), "{step}: {}", daemon.logs().text());
        traffic.flow();
    }
    let daemon = upgrade(&lab);
    let migrated = daemon.wait_message(0, "maps migrated");
    assert!(migrated.text.contains("\"resumed\":true"), "{}", migrated.text);
    lab.replace_daemon(daemon);
    traffic.flow();
    idle.assert_alive();
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn r10_new_flows_wait_two_seconds_for_an_upgrade_that_was_killed_and_no_longer() {
    let mut lab = Lab::new(&rules());
    lab.allow_drops(&[DropReason::Migrating]);
    let _server = tcp::TcpServer::start(&lab.net.server, 7001);
    lab.daemon_mut().kill9();
    for step in ["held", "switched"] {
        let mut daemon = lab.gateway.spawn_binary(&dying(&lab, step), &[]);
        daemon.wait();
        let died = std::time::Instant::now();
        clock::eventually("a new connection after the kill", Duration::from_secs(8), || {
            tcp::connect(&lab.net.client, at(SERVER, 7001)).is_ok()
        });
        // The last SYN that is dropped is sent just before the end of the hold, the next one a second or two later.
        assert!(died.elapsed() < Duration::from_secs(6), "{step}: {:?}", died.elapsed());
    }
    let daemon = upgrade(&lab);
    lab.replace_daemon(daemon);
    tcp::assert_transfers(&lab.net.client, at(SERVER, 7001), 10_000);
}

#[test]
fn r10_an_interface_that_is_away_during_the_upgrade_finds_the_new_programs_when_it_comes() {
    let mut lab = Lab::new(&rules());
    lab.allow_drops(&[DropReason::Migrating]);
    let traffic = Traffic::start(&lab.net);
    lab.daemon_mut().kill9();
    lab.net.unplug_external();
    let mut daemon = lab.gateway.spawn_binary(&abi_next_binary(), &[]);
    let migrated = daemon.wait_message(0, "maps migrated");
    assert_eq!(migrated.number("hooks"), Some(1), "only the internal interface is there: {}", migrated.text);
    lab.net.plug_external();
    daemon.wait_ready();
    lab.replace_daemon(daemon);
    traffic.assert_survived(&lab.net);
}
