//! R9: an upgrade with the same map ABI replaces the programs and nothing else.

use natgw_tests::{Lab, command, maps::MapDump};
use serde_json::Value;

use natgw_tests::traffic::{Traffic, assert_unchanged, rules};

/// Identity of a pinned link and of the program behind it.
pub(crate) fn link(lab: &Lab, name: &str) -> (u64, u64) {
    let path = lab.gateway.pins().join("links").join(name).display().to_string();
    let shown = command::run("bpftool", &["-j", "link", "show", "pinned", &path]);
    let json: Value = serde_json::from_str(&shown).expect("bpftool prints JSON");
    let json = json.as_array().and_then(|list| list.first()).unwrap_or(&json);
    let number = |field: &str| json.get(field).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {field}: {shown}"));
    (number("id"), number("prog_id"))
}

#[test]
fn r9_programs_are_replaced_behind_living_links_and_no_packet_is_lost() {
    let mut lab = Lab::new(&rules());
    let traffic = Traffic::start(&lab.net);
    let before = MapDump::rules(&lab.gateway);
    for round in 0..5 {
        let old = ["int_in", "ext_in", "ext_out"].map(|name| link(&lab, name));
        // A container is replaced: the old one ends in order, the new one starts.
        lab.daemon_mut().term();
        let daemon = lab.gateway.start();
        lab.replace_daemon(daemon);
        let new = ["int_in", "ext_in", "ext_out"].map(|name| link(&lab, name));
        for (old, new) in old.iter().zip(&new) {
            assert_eq!(old.0, new.0, "round {round}: the link stays, so there is no moment without a program");
            assert_ne!(old.1, new.1, "round {round}: the program behind it is the new one");
        }
    }
    assert_unchanged(&before, &MapDump::rules(&lab.gateway));
    traffic.assert_unharmed(&lab.net);
}
