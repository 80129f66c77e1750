//! Broken packets: dropped with a reason, never sent on half-translated.

use natgw_common::abi::{
    Counter::{FipIn, FipOut, SnatOut},
    DropReason::{MalformedIpv4, RewriteFailed, TruncatedL4},
};
use natgw_tests::{
    packet::Packet,
    prog_run::{EIP, End, Flow, Input, PEER, POD, Pkt, Program, Rig, Row, RuleSet, check_all},
};

use crate::support::{TCP, UDP};

const CLIENT: End = (POD, 40000);
const SHOWN: End = (EIP, 40000);
const WEB: End = (PEER, 443);

fn rules() -> RuleSet {
    RuleSet::none().fip(EIP, POD)
}

/// Both programs with the frame of `packet`, changed.
fn broken(what: &'static str, packet: &Pkt, change: impl Fn(&mut Vec<u8>)) -> [Row; 2] {
    let frame = |packet: &Pkt| {
        let mut frame = packet.frame();
        change(&mut frame);
        frame
    };
    let inward = packet.clone().with((packet.dst, packet.dport), (EIP, packet.sport)).external();
    [
        Row::bytes(what, Program::IntIn, frame(packet)).rules(rules()),
        Row::bytes(what, Program::ExtIn, frame(&inward)).rules(rules()),
    ]
}

/// Writes the total length of the IP header.
fn total_len(frame: &mut [u8], len: u16) {
    frame[16..18].copy_from_slice(&len.to_be_bytes());
}

pub(crate) fn rows() -> Vec<Row> {
    let tcp = Pkt::tcp("A", CLIENT, WEB);
    let udp = Pkt::udp(CLIENT, WEB);
    let ping = Pkt::echo(8, POD, PEER, 7);
    let headers = [
        broken("IP version 6 in an IPv4 frame", &tcp, |frame| frame[14] = 0x65),
        broken("an IP header of 16 bytes", &tcp, |frame| frame[14] = 0x44),
        broken("more bytes announced than there are", &tcp, |frame| total_len(frame, 1000)),
        broken("fewer bytes announced than the header has", &tcp, |frame| total_len(frame, 19)),
        broken("a total length of 0", &tcp, |frame| total_len(frame, 0)),
        broken("options announced beyond the packet", &udp, |frame| {
            frame[14] = 0x4f;
            total_len(frame, 59);
        }),
    ];
    let transport = [
        broken("19 bytes of TCP", &tcp.clone().payload([]), |frame| total_len(frame, 39)),
        broken("7 bytes of UDP", &udp, |frame| total_len(frame, 27)),
        broken("7 bytes of ICMP", &ping, |frame| total_len(frame, 27)),
        broken("no transport header at all", &tcp, |frame| total_len(frame, 20)),
        broken("a first fragment without the ports", &udp.clone().fragment(0, true), |frame| {
            total_len(frame, 24);
        }),
    ];
    let mut rows = Vec::new();
    rows.extend(headers.concat().into_iter().map(|row| row.drops(MalformedIpv4)));
    rows.extend(transport.concat().into_iter().map(|row| row.drops(TruncatedL4)));
    let dccp = Pkt::raw(33, POD, PEER).payload(*b"tiny");
    rows.extend([
        Row::int_in("a protocol whose checksum to update is cut off", &dccp)
            .rules(rules())
            .drops(RewriteFailed)
            .any_frame(),
        Row::ext_in("the same from outside", &dccp.with((PEER, 0), (EIP, 0)))
            .rules(rules())
            .drops(RewriteFailed)
            .any_frame(),
        Row::int_in("Ethernet padding behind the packet", &udp.clone().payload(*b"x"))
            .rules(rules())
            .redirects(&udp.clone().payload(*b"x").with(SHOWN, WEB).hop(), FipOut)
            .padded(&[0; 17]),
        Row::int_in("padding behind a packet of a session", &tcp.clone().payload([]))
            .rules(RuleSet::none().eip(EIP))
            .before([Flow::snat(TCP, CLIENT, SHOWN, WEB)])
            .redirects(&tcp.payload([]).with(SHOWN, WEB).hop(), SnatOut)
            .padded(&[0xee; 6]),
        Row::ext_in("a wrong checksum stays wrong by as much", &Pkt::udp(WEB, SHOWN))
            .rules(rules())
            .redirects(&Pkt::udp(WEB, CLIENT).hop(), FipIn)
            .damaged(&[14 + 20 + 6]),
        Row::int_in("a wrong IP checksum stays wrong by as much", &Pkt::udp(CLIENT, WEB))
            .rules(rules())
            .redirects(&Pkt::udp(SHOWN, WEB).hop(), FipOut)
            .damaged(&[14 + 10]),
    ]);
    rows
}

#[test]
fn broken_packets_are_dropped_with_a_reason() {
    check_all(&rows());
}

/// Cuts packets at every length, with the announced length kept and adjusted: a redirect may only be one of a packet
/// that is whole by its own account.
#[test]
fn no_truncation_of_any_packet_is_sent_on_as_garbage() {
    let mut rig = Rig::new(Rig::SMALL);
    rig.set_config(&Rig::config());
    rig.set_rules(
        &RuleSet::none().snat([10, 0, 0, 0], 8, &[EIP]).dnat(TCP, (EIP, 80), CLIENT).stateful_fip(EIP, [10, 0, 0, 9]),
    );
    let now = Rig::now();
    rig.set_sessions(&[Flow::snat(TCP, CLIENT, SHOWN, WEB), Flow::snat(UDP, CLIENT, SHOWN, WEB)], now);
    let error = Pkt::error((3, 4), PEER, EIP, Pkt::tcp("A", SHOWN, WEB).options());
    let packets = [
        (Program::IntIn, Pkt::tcp("A", CLIENT, WEB)),
        (Program::IntIn, Pkt::tcp("A", CLIENT, WEB).options()),
        (Program::IntIn, Pkt::udp(CLIENT, WEB)),
        (Program::IntIn, Pkt::echo(8, POD, PEER, 3)),
        (Program::ExtIn, Pkt::tcp("A", WEB, SHOWN).external()),
        (Program::ExtIn, error.clone().external()),
        (Program::ExtOut, Pkt::error((11, 0), EIP, PEER, Pkt::tcp("A", WEB, CLIENT)).external()),
    ];
    let (int, ext) = rig.ifindexes();
    let rig = &rig;
    let redirected = rig.netns().run(|| {
        let mut redirected = 0;
        for (program, packet) in packets {
            let whole = packet.frame();
            // BPF_PROG_TEST_RUN itself refuses less than an IP header.
            for len in 34..whole.len() {
                for adjusted in [false, true] {
                    let mut frame = whole[..len].to_vec();
                    if adjusted {
                        total_len(&mut frame, u16::try_from(len - 14).unwrap());
                    }
                    let ifindex = if program == Program::IntIn { int } else { ext };
                    let ingress_ifindex = if program == Program::ExtOut { 0 } else { ifindex };
                    let output = rig.run(program, &Input { ingress_ifindex, ..Input::new(&frame, ifindex) }).unwrap();
                    assert!([-1, 2, 7].contains(&output.verdict), "{program:?} {len}: {}", output.verdict);
                    assert_eq!(output.frame.len(), frame.len());
                    if output.verdict != 7 {
                        // Left alone, or dropped.
                        assert!(output.verdict == 2 || output.frame == frame || program == Program::ExtOut);
                        continue;
                    }
                    assert!(adjusted, "{program:?} redirects {len} of {} bytes", whole.len());
                    // The IP header was broken by the cut (its checksum), and must be broken no further.
                    let ihl = usize::from(output.frame[14] & 15) * 4;
                    assert!(len >= 14 + ihl + 8, "{program:?} redirects {len} bytes");
                    redirected += 1;
                }
            }
            let output = Packet::parse(&whole[14..]);
            assert!(output.is_ok(), "{output:?}");
        }
        redirected
    });
    assert!(redirected > 0, "cut payloads are still packets");
}
