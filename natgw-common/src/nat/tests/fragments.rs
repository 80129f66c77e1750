//! Fragments: translated where addresses alone decide, refused where ports would have to.

use super::{
    frame::*,
    gateway::{Gateway, Side::*},
};

#[test]
fn a_floating_ip_carries_every_fragment() {
    let mut gateway = Gateway::new();
    gateway.0.rules.fip("203.0.113.8", "10.0.0.8");
    gateway.0.rules.fip("203.0.113.9", "10.0.0.9");
    let (out, back) = (udp("10.0.0.9:22 > 8.8.8.8:5000"), udp("8.8.8.8:5000 > 203.0.113.9:22"));
    let hairpin = udp("10.0.0.9:22 > 203.0.113.8:5000");
    gateway.table(&[
        (Vpc, out.first_fragment(), "external fip_out 203.0.113.9:22 > 8.8.8.8:5000"),
        (Vpc, out.later_fragment(), "external fip_out 203.0.113.9 > 8.8.8.8"),
        (Outside, back.first_fragment(), "internal fip_in 8.8.8.8:5000 > 10.0.0.9:22"),
        (Outside, back.later_fragment(), "internal fip_in 8.8.8.8 > 10.0.0.9"),
        (Vpc, hairpin.first_fragment(), "internal hairpin_out 203.0.113.9:22 > 10.0.0.8:5000"),
        (Vpc, hairpin.later_fragment(), "internal hairpin_out 203.0.113.9 > 10.0.0.8"),
        (Vpc, echo("10.0.0.9 > 8.8.8.8", 7).first_fragment(), "external fip_out 203.0.113.9 > 8.8.8.8 id 7"),
    ]);
}

#[test]
fn a_fragmented_datagram_of_a_floating_ip_still_has_a_right_checksum() {
    let mut gateway = Gateway::new();
    gateway.0.rules.fip("203.0.113.9", "10.0.0.9");
    let whole = udp("10.0.0.9:22 > 8.8.8.8:5000");
    let first = Frame(whole.0[..14 + 20 + 16].to_vec()).with_ip(|ip| ip.more_fragments = true);
    let mut rest = whole.0[..14 + 20].to_vec();
    rest.extend_from_slice(&whole.0[14 + 20 + 16..]);
    let rest = Frame(rest).with_ip(|ip| ip.fragment_offset = 2u16.try_into().unwrap());
    let (first, rest) = (gateway.vpc(&first).frame(), gateway.vpc(&rest).frame());
    let mut joined = first.0.clone();
    joined.extend_from_slice(&rest.ip()[20..]);
    let joined = Frame(joined).with_ip(|ip| ip.more_fragments = false);
    assert_eq!(super::verify::checksums(&joined), Ok(()));
    assert_eq!(joined, gateway.vpc(&whole).frame());
}

#[test]
fn what_needs_ports_is_refused_and_counted() {
    let mut gateway = Gateway::with_snat();
    gateway.0.rules.dnat(17, "203.0.113.1:80 > 10.0.0.8:8080");
    gateway.table(&[
        (Vpc, udp("10.0.0.5:4000 > 8.8.8.8:53").first_fragment(), "drop fragment"),
        (Vpc, udp("10.0.0.5:4000 > 8.8.8.8:53").later_fragment(), "drop fragment"),
        (Outside, udp("8.8.8.8:53 > 203.0.113.1:80").first_fragment(), "drop fragment"),
        (Vpc, udp("10.0.0.5:53 > 203.0.113.1:80").first_fragment(), "drop fragment"),
        (Vpc, udp("10.0.0.5:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.1:4000 > 8.8.8.8:53"),
        (Outside, udp("8.8.8.8:53 > 203.0.113.1:4000").first_fragment(), "drop fragment"),
    ]);
    assert_eq!(gateway.sessions(), 1);
}

#[test]
fn what_is_not_ours_is_left_to_the_kernel() {
    Gateway::with_snat().table(&[
        (Vpc, udp("10.0.0.5:4000 > 10.1.0.5:53").first_fragment(), "pass pass_internal"),
        (Vpc, udp("10.7.0.5:4000 > 8.8.8.8:53").later_fragment(), "pass pass_internal"),
        (Vpc, udp("10.0.0.5:4000 > 203.0.113.1:53").first_fragment(), "pass pass_internal"),
        (Outside, udp("8.8.8.8:53 > 203.0.113.1:4000").first_fragment(), "pass pass_external"),
        (Outside, udp("8.8.8.8:53 > 203.0.113.1:4000").later_fragment(), "pass pass_external"),
    ]);
}

#[test]
fn a_fragment_to_a_floating_ip_from_a_client_without_one_is_refused() {
    let mut gateway = Gateway::with_snat();
    gateway.0.rules.fip("203.0.113.9", "10.0.0.9");
    gateway.table(&[
        (Vpc, udp("10.0.0.5:4000 > 203.0.113.9:53").first_fragment(), "drop fragment"),
        (Vpc, udp("10.0.0.5:4000 > 203.0.113.9:53").later_fragment(), "drop fragment"),
    ]);
}

#[test]
fn a_fragmented_reply_of_a_port_mapping_does_not_leave_with_a_private_source() {
    let mut gateway = Gateway::new();
    gateway.0.rules.dnat(17, "203.0.113.1:53 > 10.0.0.8:53");
    gateway.table(&[
        (Outside, udp("8.8.8.8:5000 > 203.0.113.1:53"), "internal dnat_in 8.8.8.8:5000 > 10.0.0.8:53"),
        (Vpc, udp("10.0.0.8:53 > 8.8.8.8:5000").first_fragment(), "drop fragment"),
    ]);
}

/// A known limit: that a pod is the target of a mapping, no map tells.
#[test]
fn later_fragments_of_a_port_mapping_s_reply_match_no_rule() {
    let mut gateway = Gateway::new();
    gateway.0.rules.dnat(17, "203.0.113.1:53 > 10.0.0.8:53");
    let later = udp("10.0.0.8:53 > 8.8.8.8:5000").later_fragment();
    assert_eq!(gateway.vpc(&later), "pass pass_internal");
    gateway.drop_unmatched();
    assert_eq!(gateway.vpc(&later), "drop unmatched");
}

#[test]
fn a_fragment_for_an_snat_client_does_not_reach_the_pod_that_has_the_same_eip_as_its_floating_ip() {
    let mut gateway = Gateway::with_snat();
    gateway.0.rules.fip("203.0.113.1", "10.0.0.9");
    gateway.table(&[
        (Vpc, udp("10.0.0.5:4000 > 8.8.8.8:53"), "external snat_out 203.0.113.1:4000 > 8.8.8.8:53"),
        (Outside, udp("8.8.8.8:53 > 203.0.113.1:4000").first_fragment(), "drop fragment"),
        (Outside, udp("8.8.8.8:53 > 203.0.113.1:4001").first_fragment(), "internal fip_in 8.8.8.8:53 > 10.0.0.9:4001"),
    ]);
}
