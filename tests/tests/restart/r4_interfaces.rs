//! R4: the external interface goes and comes back with a new MAC address.

use std::time::{Duration, Instant};

use natgw_tests::{
    Lab, announcements,
    lab::{EIP1, EIP2},
    maps::MapDump,
};

use natgw_tests::traffic::{Traffic, assert_unchanged, rules};

#[test]
fn r4_a_new_net1_carries_the_old_connections_on_and_every_eip_is_announced_again() {
    let lab = Lab::new(&rules());
    let net = &lab.net;
    let traffic = Traffic::start(net);
    let before = MapDump::rules(&lab.gateway);
    let old_mac = net.gw.mac("net1");
    net.unplug_external();
    let mark = lab.daemon().logs().mark();
    let listeners = [EIP1, EIP2].map(|eip| announcements::listen(&net.server, eip, 1, Duration::from_secs(5)));
    net.plug_external();
    let plugged = Instant::now();
    let attached = lab.daemon().wait_line(mark, "programs attached to net1", |line| {
        line.message() == "programs attached" && line.text.contains("net1")
    });
    let took = attached.at.saturating_duration_since(plugged);
    assert!(took < Duration::from_millis(100), "attached {took:?} after it was there");
    net.wait_links();
    let new_mac = net.gw.mac("net1");
    assert_ne!(old_mac, new_mac, "the test's own premise");
    for listener in listeners {
        let heard = listener.join().expect("the listener does not panic");
        assert_eq!(heard.iter().map(|(_, mac)| *mac).collect::<Vec<_>>(), [new_mac]);
    }
    // The very connections of before: nothing was reset while the interface was away.
    traffic.assert_survived(net);
    assert_unchanged(&before, &MapDump::rules(&lab.gateway));
}
