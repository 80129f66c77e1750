//! ICMP errors: both headers are translated, every checksum stays right, no session changes.

use natgw_common::{
    abi::{
        Counter::{IcmpErrorIn, IcmpErrorOut, PassExternal, PassInternal, PassKernelAnswers},
        DropReason::{HairpinTtl, IcmpErrorMalformed, IcmpErrorNoSession},
    },
    tcp_state::TcpState::FinPeer,
};
use natgw_tests::prog_run::{
    EIP, EIP2, EIP3, EXT_ADDR, End, FAR_POD, Flow, HOP, L4, PEER, POD, POD2, Pkt, Row, RuleSet, check_all,
};

use crate::support::{GRE, ICMP, TCP, UDP};

const CLIENT: End = (POD, 40000);
const SHOWN: End = (EIP, 50000);
const WEB: End = (PEER, 443);
/// A router inside the VPC.
const INSIDE_HOP: [u8; 4] = [10, 0, 0, 99];

const UNREACHABLE: (u8, u8) = (3, 3);
const TOO_BIG: (u8, u8) = (3, 4);
const TIME_EXCEEDED: (u8, u8) = (11, 0);

fn snat() -> RuleSet {
    RuleSet::none().snat([10, 0, 0, 0], 8, &[EIP])
}

fn tcp() -> Flow {
    Flow::snat(TCP, CLIENT, SHOWN, WEB)
}

/// Errors from outside about what a pod had sent.
fn inward() -> Vec<Row> {
    let about_tcp = |kind| {
        let seen = Pkt::error(kind, HOP, EIP, Pkt::tcp("A", SHOWN, WEB).ttl(1));
        let told = Pkt::error(kind, HOP, POD, Pkt::tcp("A", CLIENT, WEB).ttl(1)).hop();
        (seen, told)
    };
    let row = |what, (seen, told): (Pkt, Pkt), flow: Flow| {
        Row::ext_in(what, &seen).rules(snat()).before([flow.aged(3)]).redirects(&told, IcmpErrorIn)
    };
    let both = |(seen, told): (Pkt, Pkt), change: fn(Pkt) -> Pkt| (change(seen), change(told));
    let udp = || Flow::snat(UDP, CLIENT, SHOWN, (PEER, 53));
    let about_udp = |l4: L4| {
        (
            Pkt::error(UNREACHABLE, PEER, EIP, Pkt::new(l4.clone(), SHOWN, (PEER, 53))),
            Pkt::error(UNREACHABLE, PEER, POD, Pkt::new(l4, CLIENT, (PEER, 53))).hop(),
        )
    };
    let ping = (
        Pkt::error(TIME_EXCEEDED, HOP, EIP, Pkt::echo(8, EIP, PEER, 50000).ttl(1)),
        Pkt::error(TIME_EXCEEDED, HOP, POD, Pkt::echo(8, POD, PEER, 77).ttl(1)).hop(),
    );
    let gre = (
        Pkt::error(UNREACHABLE, PEER, EIP, Pkt::raw(GRE, EIP, PEER)),
        Pkt::error(UNREACHABLE, PEER, POD, Pkt::raw(GRE, POD, PEER)).hop(),
    );
    vec![
        row("port unreachable about TCP", about_tcp(UNREACHABLE), tcp()),
        row("fragmentation needed keeps its MTU", about_tcp(TOO_BIG), tcp()),
        row("time exceeded", about_tcp(TIME_EXCEEDED), tcp()),
        row("parameter problem", about_tcp((12, 0)), tcp()),
        row("source quench", about_tcp((4, 0)), tcp()),
        row("about a connection that is closing", about_tcp(UNREACHABLE), tcp().state(FinPeer)),
        row("only 8 bytes of TCP are quoted", both(about_tcp(TOO_BIG), |error| error.quoting(8)), tcp()),
        row("the TCP header is quoted, nothing else", both(about_tcp(TOO_BIG), |error| error.quoting(20)), tcp()),
        row("IP options in the quoted packet", both(about_tcp(TOO_BIG), |error| error.about(Pkt::options)), tcp()),
        row(
            "IP options in the quoted packet, 8 bytes behind them",
            both(about_tcp(TOO_BIG), |error| error.about(Pkt::options).quoting(8)),
            tcp(),
        ),
        row("IP options in the error itself", both(about_tcp(TOO_BIG), Pkt::options), tcp()),
        row(
            "an RFC 4884 extension behind the quote",
            both(about_tcp(TIME_EXCEEDED), |error| error.quoting(108).trailer(&[0x20, 0, 1, 2, 3, 4, 5, 6])),
            tcp(),
        ),
        row("about UDP", about_udp(L4::Udp), udp()),
        row("about UDP without a checksum", about_udp(L4::UdpWithoutChecksum), udp()),
        row("about UDP, 8 bytes", both(about_udp(L4::Udp), |error| error.quoting(8)), udp()),
        row("about a ping", ping, Flow::snat(ICMP, (POD, 77), (EIP, 50000), (PEER, 0))),
        row("about GRE", gre, Flow::snat(GRE, (POD, 0), (EIP, 0), (PEER, 0))),
        Row::ext_in("about a packet of no session: the stack discards it", &about_tcp(TOO_BIG).0)
            .rules(snat())
            .passes(PassExternal),
        Row::ext_in("with its last hop: translated, the kernel discards it", &about_tcp(TOO_BIG).0.ttl(1))
            .rules(snat())
            .before([tcp()])
            .hands_over(&Pkt::error(TOO_BIG, HOP, POD, Pkt::tcp("A", CLIENT, WEB).ttl(1)).ttl(1), IcmpErrorIn),
        Row::ext_in("quoting less than 8 bytes", &about_tcp(TOO_BIG).0.quoting(7))
            .rules(snat())
            .before([tcp()])
            .passes(PassExternal),
        Row::ext_in(
            "about an error",
            &Pkt::error(TOO_BIG, HOP, EIP, Pkt::error(TOO_BIG, EIP, PEER, Pkt::udp(SHOWN, WEB))),
        )
        .rules(snat())
        .before([tcp()])
        .passes(PassExternal),
        Row::ext_in("to another EIP than the one it quotes: forged", &about_tcp(TOO_BIG).0.between(HOP, EIP2))
            .rules(snat().eip(EIP2))
            .before([tcp()])
            .passes(PassExternal),
        Row::ext_in("a redirect is no error", &Pkt::error((5, 1), HOP, EIP, Pkt::tcp("A", SHOWN, WEB)))
            .rules(snat())
            .before([tcp()])
            .passes(PassExternal),
        Row::ext_in(
            "about the tuple of a hairpinned session: forged",
            &Pkt::error(UNREACHABLE, HOP, EIP, Pkt::udp((EIP, 7), (POD2, 8))),
        )
        .rules(RuleSet::none().eip(EIP))
        .before([Flow::hairpin(UDP, (POD, 1), (EIP, 2), (EIP, 7), (POD2, 8))])
        .passes(PassExternal),
    ]
}

/// Errors about packets of stateless floating IPs.
fn floating() -> Vec<Row> {
    let rules = || RuleSet::none().fip(EIP, POD);
    let shown = Pkt::udp((EIP, 40000), (PEER, 53));
    let own = Pkt::udp((POD, 40000), (PEER, 53));
    let inner_later = |src| Pkt::udp((src, 0), (PEER, 0)).fragment(8, false);
    vec![
        Row::ext_in("a floating IP: about its own packet", &Pkt::error(UNREACHABLE, PEER, EIP, shown.clone()))
            .rules(rules())
            .redirects(&Pkt::error(UNREACHABLE, PEER, POD, own.clone()).hop(), IcmpErrorIn),
        Row::ext_in("a floating IP: about GRE", &Pkt::error(UNREACHABLE, PEER, EIP, Pkt::raw(GRE, EIP, PEER)))
            .rules(rules())
            .redirects(&Pkt::error(UNREACHABLE, PEER, POD, Pkt::raw(GRE, POD, PEER)).hop(), IcmpErrorIn),
        Row::ext_in("a floating IP: about a later fragment", &Pkt::error(UNREACHABLE, PEER, EIP, inner_later(EIP)))
            .rules(rules())
            .redirects(&Pkt::error(UNREACHABLE, PEER, POD, inner_later(POD)).hop(), IcmpErrorIn),
        Row::int_in(
            "a floating IP: the pod's error about a packet from outside",
            &Pkt::error(UNREACHABLE, POD, PEER, Pkt::udp((PEER, 9), (POD, 10))),
        )
        .rules(rules())
        .redirects(&Pkt::error(UNREACHABLE, EIP, PEER, Pkt::udp((PEER, 9), (EIP, 10))).hop(), IcmpErrorOut),
        Row::int_in(
            "a floating IP: a VPC router's error hides behind the EIP",
            &Pkt::error(TIME_EXCEEDED, INSIDE_HOP, PEER, Pkt::udp((PEER, 9), (POD, 10)).ttl(1)),
        )
        .rules(rules())
        .redirects(&Pkt::error(TIME_EXCEEDED, EIP, PEER, Pkt::udp((PEER, 9), (EIP, 10)).ttl(1)).hop(), IcmpErrorOut),
    ]
}

/// Errors of the VPC about what came from outside.
fn outward() -> Vec<Row> {
    let rules = || RuleSet::none().dnat(TCP, (EIP, 80), (POD, 8080));
    let session = || Flow::dnat(TCP, (POD, 8080), (EIP, 80), (PEER, 999));
    let delivered = || Pkt::tcp("A", (PEER, 999), (POD, 8080));
    let sent = || Pkt::tcp("A", (PEER, 999), (EIP, 80));
    let snat_reply = || Pkt::udp((PEER, 53), CLIENT);
    vec![
        Row::int_in("the pod's error about a port mapping", &Pkt::error(UNREACHABLE, POD, PEER, delivered()))
            .rules(rules())
            .before([session().aged(3)])
            .redirects(&Pkt::error(UNREACHABLE, EIP, PEER, sent()).hop(), IcmpErrorOut),
        Row::int_in("a VPC router's error about it", &Pkt::error(TOO_BIG, INSIDE_HOP, PEER, delivered()))
            .rules(rules())
            .before([session()])
            .redirects(&Pkt::error(TOO_BIG, EIP, PEER, sent()).hop(), IcmpErrorOut),
        Row::int_in("quoting 8 bytes", &Pkt::error(TOO_BIG, INSIDE_HOP, PEER, delivered()).quoting(8))
            .rules(rules())
            .before([session()])
            .redirects(&Pkt::error(TOO_BIG, EIP, PEER, sent()).quoting(8).hop(), IcmpErrorOut),
        Row::int_in("IP options inside and outside", &Pkt::error(TOO_BIG, POD, PEER, delivered().options()).options())
            .rules(rules())
            .before([session()])
            .redirects(&Pkt::error(TOO_BIG, EIP, PEER, sent().options()).options().hop(), IcmpErrorOut),
        Row::int_in(
            "the pod's error about the reply of an SNAT session",
            &Pkt::error(UNREACHABLE, POD, PEER, snat_reply()),
        )
        .rules(snat())
        .before([Flow::snat(UDP, CLIENT, SHOWN, (PEER, 53))])
        .redirects(&Pkt::error(UNREACHABLE, EIP, PEER, Pkt::udp((PEER, 53), SHOWN)).hop(), IcmpErrorOut),
        Row::int_in("about the peer's ping", &Pkt::error(UNREACHABLE, POD, PEER, Pkt::echo(8, PEER, POD, 7)))
            .rules(RuleSet::none().eip(EIP))
            .before([Flow::fip(ICMP, (POD, 0), (EIP, 0), (PEER, 7)).asked_by_peer()])
            .redirects(&Pkt::error(UNREACHABLE, EIP, PEER, Pkt::echo(8, PEER, EIP, 7)).hop(), IcmpErrorOut),
        Row::int_in(
            "about a packet of no session, from a pod behind SNAT",
            &Pkt::error(UNREACHABLE, POD, PEER, snat_reply()),
        )
        .rules(snat())
        .drops(IcmpErrorNoSession),
        Row::int_in("of a pod without any rule: forwarded as it is", &Pkt::error(UNREACHABLE, POD, PEER, snat_reply()))
            .passes(PassInternal),
        Row::int_in(
            "to another subnet of the VPC",
            &Pkt::error(UNREACHABLE, POD, FAR_POD, Pkt::udp((FAR_POD, 1), (POD, 2))),
        )
        .rules(snat())
        .passes(PassInternal),
        Row::int_in("quoting less than 8 bytes", &Pkt::error(UNREACHABLE, POD, PEER, delivered()).quoting(7))
            .rules(rules())
            .before([session()])
            .drops(IcmpErrorMalformed),
        Row::int_in("about an error", &Pkt::error(TOO_BIG, POD, PEER, Pkt::error(TOO_BIG, PEER, POD, delivered())))
            .rules(rules())
            .before([session()])
            .drops(IcmpErrorMalformed),
        Row::int_in(
            "quoting what is no IPv4",
            &Pkt { payload: vec![0x60; 40], ..Pkt::raw(1, POD, PEER) }.payload(bad_quote()),
        )
        .rules(rules())
        .before([session()])
        .drops(IcmpErrorMalformed),
        Row::int_in("with its last hop", &Pkt::error(UNREACHABLE, POD, PEER, delivered()).ttl(1))
            .rules(rules())
            .before([session()])
            .passes(PassKernelAnswers),
    ]
}

/// Port unreachable about something of IP version 6.
fn bad_quote() -> Vec<u8> {
    let mut body = vec![3, 3, 0, 0, 0, 0, 0, 0];
    body.extend([0x60; 40]);
    body
}

fn hairpinned() -> Vec<Row> {
    let rules = || RuleSet::none().dnat(TCP, (EIP, 80), (POD2, 8080)).snat([10, 0, 0, 0], 8, &[EIP3]);
    let session = || Flow::hairpin(TCP, CLIENT, (EIP, 80), (EIP, 50000), (POD2, 8080));
    let at_server = || Pkt::tcp("A", (EIP, 50000), (POD2, 8080));
    let at_client = || Pkt::tcp("A", (EIP, 80), CLIENT);
    let both = || RuleSet::none().fip(EIP, POD).fip(EIP2, POD2);
    vec![
        Row::int_in("the server's error about a hairpinned packet", &Pkt::error(UNREACHABLE, POD2, EIP, at_server()))
            .rules(rules())
            .before([session()])
            .redirects(&Pkt::error(UNREACHABLE, EIP, POD, Pkt::tcp("A", CLIENT, (EIP, 80))).hop(), IcmpErrorOut),
        Row::int_in("the client's error about the answer", &Pkt::error(UNREACHABLE, POD, EIP, at_client()))
            .rules(rules())
            .before([session()])
            .redirects(
                &Pkt::error(UNREACHABLE, EIP, POD2, Pkt::tcp("A", (POD2, 8080), (EIP, 50000))).hop(),
                IcmpErrorOut,
            ),
        Row::int_in("with its last hop", &Pkt::error(UNREACHABLE, POD2, EIP, at_server()).ttl(1))
            .rules(rules())
            .before([session()])
            .drops(HairpinTtl),
        Row::int_in("between two floating IPs", &Pkt::error(UNREACHABLE, POD2, EIP, Pkt::udp((EIP, 1), (POD2, 2))))
            .rules(both())
            .redirects(&Pkt::error(UNREACHABLE, EIP2, POD, Pkt::udp((POD, 1), (EIP2, 2))).hop(), IcmpErrorOut),
        Row::int_in(
            "to an EIP, about nothing known: the stack discards it",
            &Pkt::error(UNREACHABLE, POD2, EIP, at_server()),
        )
        .rules(rules())
        .passes(PassInternal),
    ]
}

/// Errors that the gateway's kernel makes about packets it had seen translated, at egress of the external interface.
fn own() -> Vec<Row> {
    let rules = || RuleSet::none().dnat(TCP, (EIP, 80), (POD, 8080)).fip(EIP2, POD2);
    let session = || Flow::dnat(TCP, (POD, 8080), (EIP, 80), (PEER, 999));
    let own = |kind, about| Pkt::error(kind, EXT_ADDR, PEER, about);
    let expired = || own(TIME_EXCEEDED, Pkt::tcp("A", (PEER, 999), (POD, 8080)).ttl(1));
    vec![
        Row::ext_out("time exceeded about a port mapping", &expired())
            .rules(rules())
            .before([session()])
            .becomes(&Pkt::error(TIME_EXCEEDED, EIP, PEER, Pkt::tcp("A", (PEER, 999), (EIP, 80)).ttl(1))),
        Row::ext_out("too big about a floating IP", &own(TOO_BIG, Pkt::udp((PEER, 1), (POD2, 2))))
            .rules(rules())
            .becomes(&Pkt::error(TOO_BIG, EIP2, PEER, Pkt::udp((PEER, 1), (EIP2, 2)))),
        Row::ext_out("quoting IP options", &own(TOO_BIG, Pkt::udp((PEER, 1), (POD2, 2)).options()))
            .rules(rules())
            .becomes(&Pkt::error(TOO_BIG, EIP2, PEER, Pkt::udp((PEER, 1), (EIP2, 2)).options())),
        Row::ext_out("about a packet that was not translated", &own(UNREACHABLE, Pkt::udp((PEER, 1), (EXT_ADDR, 2))))
            .rules(rules()),
        Row::ext_out("a forwarded error was judged where it came in", &expired())
            .rules(rules())
            .before([session()])
            .ingress(1),
        Row::ext_out("no error", &Pkt::udp((EXT_ADDR, 1), (PEER, 2))).rules(rules()),
        Row::ext_out("the gateway's own ping", &Pkt::echo(8, EXT_ADDR, PEER, 2)).rules(rules()),
        Row::ext_out("a translated reply on its way out by the kernel", &Pkt::tcp("A", (EIP, 80), (PEER, 999)))
            .rules(rules())
            .before([session()]),
        Row::ext_out("before the daemon has configured anything", &expired())
            .rules(rules())
            .before([session()])
            .not_configured(),
    ]
}

pub(crate) fn rows() -> Vec<Row> {
    [inward(), floating(), outward(), hairpinned(), own()].concat()
}

#[test]
fn icmp_errors_are_translated_inside_and_outside() {
    check_all(&rows());
}
