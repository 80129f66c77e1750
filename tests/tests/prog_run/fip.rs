//! Floating IPs: one to one, any protocol, stateless unless a flow needs a session.

use natgw_common::{
    abi::{
        ConfigFlags,
        Counter::{FipIn, FipOut, PassInternal, PassKernelAnswers},
        SessionStat::Created,
    },
    tcp_state::TcpState,
};
use natgw_tests::{
    packet::checksum,
    prog_run::{EIP, EIP2, ELSEWHERE, FAR_POD, Flow, L4, NEIGHBOUR, PEER, POD, POD2, Pkt, Row, RuleSet, check_all},
};

use crate::support::{ESP, GRE, ICMP, SCTP, TCP, UDP};

fn rules() -> RuleSet {
    RuleSet::none().fip(EIP, POD)
}

/// A UDP-Lite packet (RFC 3828) whose checksum covers all of it.
fn udp_lite(src: [u8; 4], dst: [u8; 4]) -> Pkt {
    let mut body = [40000_u16.to_be_bytes(), 5000_u16.to_be_bytes(), [0; 2], [0; 2]].concat();
    body.extend(b"payload!");
    let pseudo = [&src[..], &dst, &[0, 136], &u16::try_from(body.len()).unwrap().to_be_bytes()].concat();
    let sum = checksum(&[&pseudo, &body]).to_be_bytes();
    body[6..8].copy_from_slice(&sum);
    Pkt::raw(136, src, dst).payload(body)
}

/// A UDP packet whose checksum computes to 0 between `src` and `dst`, and which therefore says 0xffff.
fn udp_summing_to_zero(src: ([u8; 4], u16), dst: ([u8; 4], u16)) -> Pkt {
    let packet = Pkt::udp(src, dst);
    (0..=u16::MAX)
        .map(|word| packet.clone().payload(word.to_be_bytes()))
        .find(|packet| packet.ip()[26..28] == [0xff, 0xff])
        .expect("one of the 65536 words makes it so")
}

fn stateless() -> Vec<Row> {
    let out = |what, packet: Pkt| {
        let translated = Pkt { src: EIP, ..packet.clone() }.hop();
        Row::int_in(what, &packet).rules(rules()).redirects(&translated, FipOut)
    };
    let inward = |what, packet: Pkt| {
        let translated = Pkt { dst: POD, ..packet.clone() }.hop();
        Row::ext_in(what, &packet).rules(rules()).redirects(&translated, FipIn)
    };
    let (pod, eip, peer) = ((POD, 40000), (EIP, 40000), (PEER, 443));
    vec![
        out("TCP SYN out", Pkt::tcp("S", pod, peer)),
        out("TCP data out", Pkt::tcp("AP", pod, peer)),
        out("a TCP RST needs no session", Pkt::tcp("R", pod, peer)),
        out("TCP with an empty payload", Pkt::tcp("A", pod, peer).payload([])),
        out("an odd payload length", Pkt::tcp("A", pod, peer).payload(*b"odd")),
        out("UDP out", Pkt::udp(pod, peer)),
        out("UDP without a checksum stays without", Pkt::new(L4::UdpWithoutChecksum, pod, peer)),
        out("ping out", Pkt::echo(8, POD, PEER, 77)),
        out("ping answer out", Pkt::echo(0, POD, PEER, 77)),
        out("GRE out", Pkt::raw(GRE, POD, PEER)),
        out("ESP out", Pkt::raw(ESP, POD, PEER)),
        out("SCTP out: its checksum covers no address", Pkt::raw(SCTP, POD, PEER)),
        out("a protocol without any payload", Pkt::raw(GRE, POD, PEER).payload([])),
        out("IP options out, TCP", Pkt::tcp("A", pod, peer).options()),
        out("IP options out, GRE", Pkt::raw(GRE, POD, PEER).options()),
        out("first fragment of UDP out", Pkt::udp(pod, peer).fragment(0, true)),
        out("later fragment of UDP out", Pkt::udp(pod, peer).fragment(100, true)),
        out("last fragment of TCP out", Pkt::tcp("A", pod, peer).fragment(100, false)),
        out("a fragment of three bytes", Pkt::tcp("A", pod, peer).fragment(100, false).payload(*b"end")),
        out("first fragment of a ping out", Pkt::echo(8, POD, PEER, 77).fragment(0, true)),
        out("two hops left", Pkt::udp(pod, peer).ttl(2)),
        out("to a host whose hardware address is not known yet", Pkt::udp(pod, (NEIGHBOUR, 53))),
        inward("TCP SYN in", Pkt::tcp("S", peer, eip)),
        inward("a TCP RST in needs no session", Pkt::tcp("R", peer, eip)),
        inward("UDP in", Pkt::udp(peer, eip)),
        inward("UDP without a checksum in", Pkt::new(L4::UdpWithoutChecksum, peer, eip)),
        inward("ping in", Pkt::echo(8, PEER, EIP, 77)),
        inward("ping answer in", Pkt::echo(0, PEER, EIP, 77)),
        inward("GRE in", Pkt::raw(GRE, PEER, EIP)),
        inward("IP options in", Pkt::udp(peer, eip).options()),
        inward("first fragment in", Pkt::udp(peer, eip).fragment(0, true)),
        inward("later fragment in", Pkt::udp(peer, eip).fragment(7, false)),
        Row::int_in("UDP-Lite has UDP's pseudo header", &udp_lite(POD, PEER))
            .rules(rules())
            .redirects(&udp_lite(EIP, PEER).hop(), FipOut),
        Row::int_in(
            "a UDP checksum that becomes 0 is sent as 0xffff",
            &Pkt { src: POD, ..udp_summing_to_zero((EIP, 40000), peer) },
        )
        .rules(rules())
        .redirects(&udp_summing_to_zero((EIP, 40000), peer).hop(), FipOut),
        Row::int_in("a UDP checksum of 0xffff is one", &udp_summing_to_zero(pod, peer))
            .rules(rules())
            .redirects(&Pkt { src: EIP, ..udp_summing_to_zero(pod, peer) }.hop(), FipOut),
    ]
}

fn exits() -> Vec<Row> {
    let packet = Pkt::udp((POD, 40000), (PEER, 53));
    let inbound = Pkt::udp((PEER, 53), (EIP, 40000));
    let no_redirect = |row: Row| row.config(|config| config.flags &= !(ConfigFlags::Redirect as u32));
    vec![
        Row::int_in("with its last hop: the kernel answers the pod", &packet.clone().ttl(1))
            .rules(rules())
            .passes(PassKernelAnswers),
        Row::int_in("a fragment with its last hop", &packet.clone().fragment(0, true).ttl(1))
            .rules(rules())
            .passes(PassKernelAnswers),
        Row::ext_in(
            "with its last hop in: translated, so that the pod's own answer is no leak",
            &inbound.clone().ttl(1),
        )
        .rules(rules())
        .hands_over(&inbound.clone().between(PEER, POD).ttl(1), FipIn),
        no_redirect(Row::int_in("--redirect off: out", &packet))
            .rules(rules())
            .hands_over(&packet.clone().between(EIP, PEER), FipOut),
        no_redirect(Row::ext_in("--redirect off: in", &inbound))
            .rules(rules())
            .hands_over(&inbound.clone().between(PEER, POD), FipIn),
        Row::int_in("to another subnet of the VPC: not translated", &Pkt::udp((POD, 1), (FAR_POD, 2)))
            .rules(rules())
            .passes(PassInternal),
        Row::int_in("a fragment to another subnet of the VPC", &Pkt::udp((POD, 1), (FAR_POD, 2)).fragment(1, false))
            .rules(rules())
            .passes(PassInternal),
        Row::int_in("out by a third interface: not translated", &Pkt::udp((POD, 1), (ELSEWHERE, 2)))
            .rules(rules())
            .passes(PassInternal),
    ]
}

fn stateful() -> Vec<Row> {
    let (pod, peer) = ((POD, 40000), (PEER, 443));
    let shared = || RuleSet::none().stateful_fip(EIP, POD).snat([10, 0, 0, 0], 16, &[EIP]);
    let two = || RuleSet::none().stateful_fip(EIP, POD).stateful_fip(EIP2, POD);
    let primary = Flow::fip(TCP, pod, (EIP, 40000), peer);
    let asked = Flow::fip(ICMP, (POD, 0), (EIP, 0), (PEER, 77)).asked_by_peer();
    let secondary = Flow::fip(UDP, (POD, 53), (EIP2, 53), (PEER, 9999));
    vec![
        Row::int_in("a new flow of a floating IP that also carries SNAT takes a session", &Pkt::tcp("S", pod, peer))
            .rules(shared())
            .redirects(&Pkt::tcp("S", (EIP, 40000), peer).hop(), FipOut)
            .stat(Created)
            .after([primary.clone().state(TcpState::OpeningInternal)]),
        Row::int_in("its port is not one that an SNAT flow uses", &Pkt::udp((POD, 40000), (PEER, 53)))
            .rules(shared())
            .config(|config| (config.port_min, config.port_max) = (50000, 50000))
            .before([Flow::snat(UDP, (POD2, 40000), (EIP, 40000), (PEER, 53))])
            .redirects(&Pkt::udp((EIP, 50000), (PEER, 53)).hop(), FipOut)
            .stat(Created)
            .after([
                Flow::snat(UDP, (POD2, 40000), (EIP, 40000), (PEER, 53)),
                Flow::fip(UDP, (POD, 40000), (EIP, 50000), (PEER, 53)),
            ]),
        Row::int_in("a known flow of a stateful floating IP", &Pkt::tcp("A", pod, peer))
            .rules(shared())
            .before([primary.clone()])
            .redirects(&Pkt::tcp("A", (EIP, 40000), peer).hop(), FipOut),
        Row::ext_in("its reply", &Pkt::tcp("A", peer, (EIP, 40000)))
            .rules(shared())
            .before([primary.clone()])
            .redirects(&Pkt::tcp("A", peer, pod).hop(), FipIn),
        Row::ext_in("a new flow from outside takes a session", &Pkt::tcp("S", (PEER, 999), (EIP, 22)))
            .rules(shared())
            .redirects(&Pkt::tcp("S", (PEER, 999), (POD, 22)).hop(), FipIn)
            .stat(Created)
            .after([Flow::fip(TCP, (POD, 22), (EIP, 22), (PEER, 999)).state(TcpState::OpeningPeer)]),
        Row::ext_in("a reply of another pod's SNAT session goes there", &Pkt::udp((PEER, 53), (EIP, 40000)))
            .rules(shared())
            .before([Flow::snat(UDP, (POD2, 41000), (EIP, 40000), (PEER, 53))])
            .redirects(&Pkt::udp((PEER, 53), (POD2, 41000)).hop(), natgw_common::abi::Counter::SnatIn),
        Row::ext_in("a RST of no session in: to the pod, without a session", &Pkt::tcp("R", peer, (EIP, 40000)))
            .rules(shared())
            .redirects(&Pkt::tcp("R", peer, pod).hop(), FipIn),
        Row::int_in("a RST of no session out: as the pod's own address", &Pkt::tcp("R", pod, peer))
            .rules(shared())
            .redirects(&Pkt::tcp("R", (EIP, 40000), peer).hop(), FipOut),
        Row::ext_in("a stateful floating IP: GRE takes a session too", &Pkt::raw(GRE, PEER, EIP))
            .rules(shared())
            .redirects(&Pkt::raw(GRE, PEER, POD).hop(), FipIn)
            .stat(Created)
            .after([Flow::fip(GRE, (POD, 0), (EIP, 0), (PEER, 0))]),
        Row::ext_in("a ping of the peer takes a session of its own kind", &Pkt::echo(8, PEER, EIP, 77))
            .rules(shared())
            .before([Flow::snat(ICMP, (POD2, 77), (EIP, 77), (PEER, 0))])
            .redirects(&Pkt::echo(8, PEER, POD, 77).hop(), FipIn)
            .stat(Created)
            .after([Flow::snat(ICMP, (POD2, 77), (EIP, 77), (PEER, 0)), asked.clone()]),
        Row::int_in("and the pod's answer finds it", &Pkt::echo(0, POD, PEER, 77))
            .rules(shared())
            .before([asked])
            .redirects(&Pkt::echo(0, EIP, PEER, 77).hop(), FipOut),
        Row::ext_in("the second floating IP of a pod: a new flow from outside", &Pkt::udp((PEER, 9999), (EIP2, 53)))
            .rules(two())
            .redirects(&Pkt::udp((PEER, 9999), (POD, 53)).hop(), FipIn)
            .stat(Created)
            .after([secondary.clone()]),
        Row::int_in("its reply leaves with the second address", &Pkt::udp((POD, 53), (PEER, 9999)))
            .rules(two())
            .before([secondary])
            .redirects(&Pkt::udp((EIP2, 53), (PEER, 9999)).hop(), FipOut),
        Row::int_in("a pod with two floating IPs: a new flow leaves with the first", &Pkt::udp((POD, 1), (PEER, 2)))
            .rules(two())
            .redirects(&Pkt::udp((EIP, 1), (PEER, 2)).hop(), FipOut)
            .stat(Created)
            .after([Flow::fip(UDP, (POD, 1), (EIP, 1), (PEER, 2))]),
    ]
}

fn precedence() -> Vec<Row> {
    let syn = Pkt::tcp("S", (PEER, 999), (EIP, 80));
    let rules = || rules().dnat(TCP, (EIP, 80), (POD2, 8080));
    vec![
        Row::ext_in("a floating IP comes before a port mapping of the same EIP", &syn)
            .rules(rules())
            .redirects(&syn.clone().between(PEER, POD).hop(), FipIn),
        Row::ext_in(
            "a known session of the port mapping comes before the floating IP",
            &Pkt::tcp("A", (PEER, 999), (EIP, 80)),
        )
        .rules(rules())
        .before([Flow::dnat(TCP, (POD2, 8080), (EIP, 80), (PEER, 999))])
        .redirects(&Pkt::tcp("A", (PEER, 999), (POD2, 8080)).hop(), natgw_common::abi::Counter::DnatIn),
        Row::int_in("a floating IP comes before SNAT", &Pkt::udp((POD, 1), (PEER, 2)))
            .rules(rules().snat([10, 0, 0, 0], 16, &[EIP2]))
            .redirects(&Pkt::udp((EIP, 1), (PEER, 2)).hop(), FipOut),
    ]
}

pub(crate) fn rows() -> Vec<Row> {
    [stateless(), exits(), stateful(), precedence()].concat()
}

#[test]
fn floating_ips_translate_every_protocol_both_ways() {
    check_all(&rows());
}
