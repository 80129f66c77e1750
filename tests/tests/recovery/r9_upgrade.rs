//! R9: an upgrade with the same map ABI replaces the programs and nothing else.

use std::{fs, path::PathBuf};

use natgw_tests::{
    ClusterLab,
    cluster::shared,
    gateway::natgw_binary,
    maps::MapDump,
    pinned::link,
    recovery::Outcome,
    traffic::{Traffic, assert_unchanged, rules},
};
const UPGRADES: usize = 4;
const LINKS: [&str; 3] = ["int_in", "ext_in", "ext_out"];

/// The next image's binary: another file at another place.
fn next_version(lab: &ClusterLab<'_>, number: usize) -> PathBuf {
    let path = lab.gateway.dir().join(format!("natgw-{number}"));
    fs::copy(natgw_binary(), &path).expect("the test's directory is writable");
    path
}

#[test]
fn r9_programs_are_replaced_behind_living_links_and_no_packet_is_lost() {
    let mut outcome = Outcome::of("R9");
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &rules());
    let traffic = Traffic::start(&lab.net);
    let before = MapDump::rules(&lab.gateway);
    for round in 0..UPGRADES {
        let old = LINKS.map(|name| link(&lab.gateway, name));
        let binary = next_version(&lab, round);
        // A container is replaced: the old one ends in order, the new one starts.
        assert!(lab.daemon_mut().term().success());
        let mut daemon = lab.gateway.spawn_binary(&binary, &[]);
        let ready = daemon.wait_ready();
        outcome.took(daemon.ready_after());
        outcome.map_writes(ready.number("map_writes"));
        daemon.wait_complete();
        lab.replace_daemon(daemon);
        for ((old, new), name) in old.iter().zip(LINKS.map(|name| link(&lab.gateway, name))).zip(LINKS) {
            assert_eq!(old.0, new.0, "{round} {name}: the link stays, so there is no moment without a program");
            assert_ne!(old.1, new.1, "{round} {name}: the program behind it is the new one");
        }
        traffic.flow();
    }
    assert_unchanged(&before, &MapDump::rules(&lab.gateway));
    let seen = traffic.end(&lab.net);
    outcome.traffic(&seen);
    outcome
        .note(format!("{UPGRADES} upgrades to another binary; the links stay, the programs behind them are replaced"));
    seen.assert_unharmed();
    outcome.hand_in();
}
