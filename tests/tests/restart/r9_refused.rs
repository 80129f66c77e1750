//! R9: an upgrade whose program the kernel's verifier refuses. It ends, says why, and what was there goes on.

use std::{collections::BTreeSet, fs};

use natgw_common::abi::{MAPS, program};
use natgw_tests::{
    Lab,
    doctored::{Doctor, VERDICT},
    maps::{MapDump, RULE_MAPS},
    pinned::{link, map},
    traffic::{Traffic, assert_unchanged, rules},
};

const LINKS: [&str; 3] = ["int_in", "ext_in", "ext_out"];

/// The pins of the gateway.
fn pins(lab: &Lab) -> BTreeSet<String> {
    let dirs = ["maps", "maps_next", "maps_old", "links", "progs"].map(|name| lab.gateway.pins().join(name));
    let files = dirs.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten();
    files.map(|file| file.expect("bpffs can be listed").path().display().to_string()).collect()
}

#[test]
fn r9_a_program_that_the_verifier_refuses_is_named_with_the_end_of_its_log_and_nothing_is_touched() {
    let mut lab = Lab::new(&rules());
    let doctor = Doctor::new();
    let traffic = Traffic::start(&lab.net);
    lab.daemon_mut().term();
    let before = (MapDump::read(&lab.gateway, &RULE_MAPS), LINKS.map(|name| link(&lab.gateway, name)), pins(&lab));
    let maps = || MAPS.iter().map(|spec| map(&lab.gateway, spec.name)).collect::<Vec<_>>();
    let same = maps();

    for name in [program::INT_IN, program::EXT_IN, program::EXT_OUT, program::SWEEP] {
        let binary = doctor.refused(lab.gateway.dir(), name);
        let mut refused = lab.gateway.spawn_binary(&binary, &[]);
        let status = refused.wait();
        let said = refused.logs().closed();
        assert_eq!(status.code(), Some(1), "the documented code of another failure: {said}");
        for part in [&*format!("the kernel refused program `{name}`"), "end of the verifier's log:", VERDICT] {
            assert!(said.contains(part), "{name}: `{part}` is missing in: {said}");
        }
        assert!(!said.contains("data plane loaded") && !said.contains("panicked"), "{name}: {said}");
        assert_eq!(
            LINKS.map(|name| link(&lab.gateway, name)),
            before.1,
            "{name}: the old programs stay behind the same links"
        );
        assert_eq!(pins(&lab), before.2, "{name}: nothing is pinned and nothing unpinned");
        assert_eq!(maps(), same, "{name}: behind the pins are the same maps");
        assert_unchanged(&before.0, &MapDump::read(&lab.gateway, &RULE_MAPS));
        traffic.flow();
    }

    // And the version before finds its place as it left it.
    let mut daemon = lab.gateway.spawn();
    let ready = daemon.wait_ready();
    assert_eq!(ready.number("map_writes"), Some(0), "{}", ready.text);
    lab.replace_daemon(daemon);
    traffic.assert_unharmed(&lab.net);
}
