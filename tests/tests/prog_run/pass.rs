//! What natgw does not touch.

use natgw_common::abi::Counter::{PassExternal, PassInternal};
use natgw_tests::prog_run::{
    EIP, EIP2, EXT_ADDR, INT_ADDR, NOWHERE, PEER, PEER_MAC, POD, Pkt, Program, Row, RuleSet, check_all,
};

fn rules() -> RuleSet {
    RuleSet::none().fip(EIP, POD).eip(EIP2)
}

/// The frame of `packet` with another Ethernet type, and `insert` before it.
fn typed(packet: &Pkt, ether_type: [u8; 2], insert: &[u8]) -> Vec<u8> {
    let mut frame = packet.frame();
    frame.splice(12..14, insert.iter().copied().chain(ether_type));
    frame
}

pub(crate) fn rows() -> Vec<Row> {
    let out = Pkt::udp((POD, 40000), (PEER, 53));
    let inward = Pkt::udp((PEER, 53), (EIP, 40000)).external();
    let flood = |packet: &Pkt, mac| Pkt { mac, ..packet.clone() }.frame();
    let both = |what: &'static str, out: Vec<u8>, inward: Vec<u8>| {
        [Row::bytes(what, Program::IntIn, out).rules(rules()), Row::bytes(what, Program::ExtIn, inward).rules(rules())]
    };
    let tag = [0x81, 0x00, 0x00, 0x64];
    let priority = [0x81, 0x00, 0x20, 0x00];
    let untouched = [
        both("ARP", typed(&out, [8, 6], &[]), typed(&inward, [8, 6], &[])),
        both("IPv6", typed(&out, [0x86, 0xdd], &[]), typed(&inward, [0x86, 0xdd], &[])),
        both("an 802.1Q tag in the frame", typed(&out, [8, 0], &tag), typed(&inward, [8, 0], &tag)),
        both("a priority tag in the frame", typed(&out, [8, 0], &priority), typed(&inward, [8, 0], &priority)),
        both("somebody else's hardware address", flood(&out, PEER_MAC), flood(&inward, PEER_MAC)),
        both("a broadcast", flood(&out, [0xff; 6]), flood(&inward, [0xff; 6])),
        both("a multicast", flood(&out, [1, 0, 0x5e, 0, 0, 1]), flood(&inward, [1, 0, 0x5e, 0, 0, 1])),
    ];
    let mut rows = untouched.concat();
    rows.extend([
        Row::int_in("before the daemon has configured anything", &out).rules(rules()).not_configured(),
        Row::ext_in("before the daemon has configured anything", &inward).rules(rules()).not_configured(),
        Row::int_in("no rules at all: plain forwarding", &out).passes(PassInternal),
        Row::int_in("GRE without a rule", &Pkt::raw(47, POD, PEER)).passes(PassInternal),
        Row::int_in("to the gateway itself", &Pkt::echo(8, POD, INT_ADDR, 1)).rules(rules()).passes(PassInternal),
        Row::ext_in("a ping of the gateway itself", &Pkt::echo(8, PEER, EXT_ADDR, 1))
            .rules(rules())
            .passes(PassExternal),
        Row::ext_in("a ping of an EIP without a rule", &Pkt::echo(8, PEER, EIP2, 1))
            .rules(rules())
            .passes(PassExternal),
        Row::ext_in("TCP to an EIP without a rule", &Pkt::tcp("S", (PEER, 1), (EIP2, 2)))
            .rules(rules())
            .passes(PassExternal),
        Row::ext_in("GRE to an EIP without a rule", &Pkt::raw(47, PEER, EIP2)).rules(rules()).passes(PassExternal),
        Row::ext_in("a packet for the VPC that asks for no translation", &Pkt::udp((PEER, 1), (POD, 2)))
            .rules(rules())
            .passes(PassExternal),
        Row::int_in("to a host there is no route to", &Pkt::udp((POD, 1), (NOWHERE, 2)))
            .rules(rules())
            .passes(PassInternal),
    ]);
    rows
}

#[test]
fn what_is_not_ours_passes_untouched() {
    check_all(&rows());
}
