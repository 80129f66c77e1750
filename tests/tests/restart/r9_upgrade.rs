//! R9: an upgrade with the same map ABI replaces the programs and nothing else.

use natgw_tests::{
    Lab,
    maps::MapDump,
    pinned::link,
    traffic::{Traffic, assert_unchanged, rules},
};

const UPGRADES: usize = 5;
const LINKS: [&str; 3] = ["int_in", "ext_in", "ext_out"];

#[test]
fn r9_programs_are_replaced_behind_living_links_and_no_packet_is_lost() {
    let mut lab = Lab::new(&rules());
    let traffic = Traffic::start(&lab.net);
    let before = MapDump::rules(&lab.gateway);
    for round in 0..UPGRADES {
        let old = LINKS.map(|name| link(&lab.gateway, name));
        assert!(lab.daemon_mut().term().success());
        let daemon = lab.gateway.start();
        lab.replace_daemon(daemon);
        for ((old, new), name) in old.iter().zip(LINKS.map(|name| link(&lab.gateway, name))).zip(LINKS) {
            assert_eq!(old.0, new.0, "{round} {name}: the link stays, so there is no moment without a program");
            assert_ne!(old.1, new.1, "{round} {name}: the program behind it is the new one");
        }
    }
    assert_unchanged(&before, &MapDump::rules(&lab.gateway));
    traffic.assert_unharmed(&lab.net);
}
