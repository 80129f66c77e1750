//! What depends on the kernel that runs beneath, with nothing chosen by an argument: the layer `kernels` runs this on
//! kernels with and without TCX.

use natgw_tests::{
    External, Lab, Proto, Rules, Topology,
    capture::{Capture, Way, passed},
    kernel,
    lab::{EIP1, EIP2},
    probe::UdpEcho,
    topology::{CLIENT, POD2, SERVER},
};

use crate::{
    support::{VPC_CIDR, assert_udp_echoes, at},
    vlan_macvlan::check,
};

/// `natgw status` of the gateway.
fn status(lab: &Lab) -> String {
    let output = lab.gateway.natgw(&["status", "--netns", &lab.net.gw.path().display().to_string()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_kernel_decides_how_programs_are_attached_and_a_restart_keeps_them() {
    let rules = Rules::new()
        .eip("eip1", EIP1)
        .snat("eip1", VPC_CIDR)
        .dnat("eip1", Proto::Tcp, 80, CLIENT, 8080)
        .dnat("eip1", Proto::Udp, 53, CLIENT, 5353)
        .eip("eip2", EIP2)
        .fip("eip2", POD2);
    let mut lab = Lab::new(&rules);
    let mechanism = if kernel::has_tcx() { "tcx" } else { "clsact" };
    let said =
        |lab: &Lab| lab.daemon().wait_message(0, "ready").field("attach").and_then(|v| v.as_str().map(str::to_owned));
    assert_eq!(said(&lab).as_deref(), Some(mechanism));
    let before = status(&lab);
    assert!(before.lines().any(|line| line.split_whitespace().take(2).eq(["hooks", mechanism])), "{before}");
    let links = lab.gateway.pins().join("links/int_in").exists();
    assert_eq!(links, kernel::has_tcx(), "a pinned link, or none");
    check(&lab);

    // Without a daemon, and with its successor, which adopts what it finds.
    lab.daemon_mut().kill9();
    {
        let _echo = UdpEcho::start(&lab.net.client, 5353);
        assert_udp_echoes(&lab.net.server, at(EIP1, 53));
    }
    let mut daemon = lab.gateway.spawn();
    let ready = daemon.wait_ready();
    assert_eq!(ready.number("map_writes"), Some(0), "{}", ready.text);
    lab.replace_daemon(daemon);
    assert_eq!(said(&lab).as_deref(), Some(mechanism));
    {
        let _echo = UdpEcho::start(&lab.net.client, 5353);
        assert_udp_echoes(&lab.net.server, at(EIP1, 53));
    }

    lab.daemon_mut().term();
    let netns = lab.net.gw.path().display().to_string();
    let detached = lab.gateway.natgw(&["detach", "--netns", &netns]);
    assert!(detached.status.success(), "{}", String::from_utf8_lossy(&detached.stderr));
    assert!(!lab.gateway.pins().exists(), "no pin is left");
    let attached = lab.net.gw.command("bpftool", &["net", "show"]);
    assert!(!attached.contains("natgw_"), "{attached}");
}

#[test]
fn what_leaves_a_gateway_with_a_vlan_inside_is_tagged_and_translated_on_the_wire() {
    if !kernel::has_link_type("vlan") {
        return;
    }
    let rules = Rules::new().eip("eip1", EIP1).snat("eip1", VPC_CIDR).dnat("eip1", Proto::Udp, 53, CLIENT, 5353);
    let lab = Lab::on(Topology::builder().external(External::VlanInside).build(), &rules, &[]);
    let net = &lab.net;
    // The tag goes into the frame before the frame is seen by a capture.
    net.gw.command("ethtool", &["-K", "nic", "txvlan", "off"]);
    let _outside = UdpEcho::start(&net.server, 7002);
    let _inside = UdpEcho::start(&net.client, 5353);
    let capture = Capture::start(&net.gw);
    assert_udp_echoes(&net.client, at(SERVER, 7002));
    assert_udp_echoes(&net.server, at(EIP1, 53));
    let captured = capture.stop();
    let sources: Vec<_> = passed(&captured, "nic", Way::Out).iter().map(|packet| packet.source).collect();
    assert!(!sources.is_empty() && sources.iter().all(|source| *source == EIP1), "{sources:?}");
    let tags: Vec<_> = captured.iter().filter(|one| one.interface == "nic" && one.way == Way::Out).collect();
    assert!(tags.iter().all(|one| one.vlan == Some(100)), "every frame has the tag of VLAN 100: {tags:?}");
}
