//! How the programs are attached when nobody says how: the best that this kernel has.

use natgw_tests::{
    Lab, Rules, kernel,
    lab::{EIP1, EIP2},
    oracle,
    probe::{IcmpProbe, UdpEcho, UdpProbe},
    topology::{POD2, SERVER, SERVER2},
};
use serde_json::Value;
use std::time::Duration;

use crate::support::{VPC_CIDR, assert_all_clean, at};

/// Slow enough for an emulated machine: the probes must lose nothing because of natgw, not of the processor.
const INTERVAL: Duration = Duration::from_millis(5);

/// The mechanism of each hook, as `natgw status` says it.
fn mechanisms(lab: &Lab) -> Vec<String> {
    let output = lab.gateway.natgw(&["status", "-o", "json", "--netns", &lab.net.gw.path().display().to_string()]);
    let status: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let hooks = status["hooks"].as_array().expect("status has hooks");
    hooks.iter().map(|hook| hook["mechanism"].as_str().unwrap_or("none").to_owned()).collect()
}

#[test]
fn the_best_attachment_that_the_kernel_has_is_chosen_said_and_outlives_the_daemon() {
    if oracle::selected() {
        return;
    }
    let rules = Rules::new().eip("eip1", EIP1).snat("eip1", VPC_CIDR).eip("eip2", EIP2).fip("eip2", POD2);
    let mut lab = Lab::new(&rules);
    let best = if kernel::has_tcx() { "tcx" } else { "clsact" };
    assert_eq!(mechanisms(&lab), [best; 3]);
    let said = lab.daemon().logs().text();
    assert_eq!(said.contains("clsact filters through netlink: no TCX before Linux 6.6"), best == "clsact", "{said}");

    let _echo = UdpEcho::start(&lab.net.server2, 7002);
    let snat = UdpProbe::start(&lab.net.client, at(SERVER2, 7002), INTERVAL);
    let fip = IcmpProbe::start(&lab.net.server, EIP2, 70, INTERVAL);
    let ping = IcmpProbe::start(&lab.net.client, SERVER, 71, INTERVAL);
    snat.wait_answers(50);
    lab.daemon_mut().kill9();
    snat.wait_answers(150);
    let daemon = lab.gateway.start();
    lab.replace_daemon(daemon);
    assert_eq!(mechanisms(&lab), [best; 3]);
    snat.wait_answers(250);
    snat.stop().assert_lossless("SNAT");
    fip.stop().assert_lossless("FIP");
    ping.stop().assert_lossless("ping through SNAT");
    assert_all_clean(&lab.net);
}
