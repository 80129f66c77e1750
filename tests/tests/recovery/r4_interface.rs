//! R4: `net1` goes and comes back with a new MAC address, as when multus plugs it again.

use std::time::{Duration, Instant};

use natgw_tests::{
    ClusterLab, announcements,
    cluster::shared,
    lab::{EIP1, EIP2},
    maps::MapDump,
    recovery::Outcome,
    traffic::{Traffic, assert_unchanged, rules},
};
use natgw_userspace::core::objects::Kind;
use serde_json::Value;

/// How often every EIP is announced, a second apart.
const ANNOUNCEMENTS: usize = 3;

#[test]
fn r4_a_net1_that_comes_back_is_said_to_be_missing_and_then_carries_everything_again() {
    let mut outcome = Outcome::of("R4");
    let cluster = shared();
    let lab = ClusterLab::new(&cluster, &rules());
    let (net, gw) = (&lab.net, lab.gateway.name().to_owned());
    let traffic = Traffic::start(net);
    let before = MapDump::rules(&lab.gateway);
    let old_mac = net.gw.mac("net1");
    net.unplug_external();
    let eip = lab.objects.name("eip1");
    let _ = lab.objects.wait_programmed(Kind::IptablesEip, &eip, "False", "InterfaceMissing");
    let missing = |condition: &Value| condition["reason"] == "InterfaceMissing";
    let _ = lab.objects.wait_condition(Kind::VpcNatGateway, &gw, "Ready", missing);

    let mark = lab.daemon().logs().mark();
    let patience = Duration::from_secs(10);
    let listeners = [EIP1, EIP2].map(|eip| announcements::listen(&net.server, eip, ANNOUNCEMENTS, patience));
    // The interface is there somewhere in the middle of this.
    let plugged = Instant::now();
    net.plug_external();
    let attached = lab.daemon().wait_line(mark, "programs attached to net1", |line| {
        line.message() == "programs attached" && line.text.contains("net1")
    });
    outcome.took(attached.at.saturating_duration_since(plugged));
    net.wait_links();
    let new_mac = net.gw.mac("net1");
    assert_ne!(old_mac, new_mac, "the test's own premise");
    for listener in listeners {
        let heard = listener.join().expect("the listener does not panic");
        assert_eq!(heard.iter().map(|(_, mac)| *mac).collect::<Vec<_>>(), [new_mac; ANNOUNCEMENTS]);
    }
    let _ = lab.objects.wait_condition(Kind::VpcNatGateway, &gw, "Ready", |condition| condition["status"] == "True");
    let _ = lab.objects.wait_programmed(Kind::IptablesEip, &eip, "True", "Programmed");
    let seen = traffic.end(net);
    outcome.traffic(&seen);
    outcome.note("what was lost was sent while there was no interface, and until the programs were attached to the new one; every EIP was announced again, and repeated");
    seen.assert_survived();
    assert_unchanged(&before, &MapDump::rules(&lab.gateway));
    outcome.hand_in();
}
