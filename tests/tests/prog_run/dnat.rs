//! Port mappings: EIP:port to pod:port, and the replies.

use natgw_common::{
    abi::{
        ConfigFlags,
        Counter::{DnatIn, DnatOut, PassExternal, PassInternal, PassKernelAnswers},
        DropReason::{FlowConflict, Fragment, NoSession},
        SessionStat::{Created, Reclaimed},
    },
    tcp_state::TcpState::{AnsweredByInternal, AnsweredByPeer, Closed, FinPeer, OpeningInternal, OpeningPeer, Reset},
};
use natgw_tests::prog_run::{Age, EIP, EIP2, Flow, L4, PEER, PEER2, POD, POD2, Pkt, Row, RuleSet, check_all};

use crate::support::{TCP, UDP};

const CLIENT: ([u8; 4], u16) = (PEER, 50123);
const DIALLED: ([u8; 4], u16) = (EIP, 80);
const SERVER: ([u8; 4], u16) = (POD, 8080);

fn rules() -> RuleSet {
    RuleSet::none().dnat(TCP, DIALLED, SERVER).dnat(UDP, (EIP, 53), (POD, 5353))
}

fn tcp() -> Flow {
    Flow::dnat(TCP, SERVER, DIALLED, CLIENT)
}

/// The same flow of the pod, which it has begun behind SNAT.
fn begun_by_the_pod() -> Flow {
    Flow::snat(TCP, SERVER, (EIP, 8080), CLIENT)
}

fn conflicts() -> Vec<Row> {
    vec![
        Row::ext_in("a flow of the pod that was never accepted gives way", &Pkt::tcp("A", CLIENT, DIALLED))
            .rules(rules())
            .before([begun_by_the_pod().state(OpeningInternal)])
            .redirects(&Pkt::tcp("A", CLIENT, SERVER).hop(), DnatIn)
            .stat(Created)
            .stat(Reclaimed)
            .after([tcp().state(OpeningPeer)]),
        Row::ext_in("one that was answered does not", &Pkt::tcp("A", CLIENT, DIALLED))
            .rules(rules())
            .before([begun_by_the_pod().state(AnsweredByPeer)])
            .drops(FlowConflict),
        Row::ext_in("nor one on which an RST was seen", &Pkt::tcp("A", CLIENT, DIALLED))
            .rules(rules())
            .before([begun_by_the_pod().state(Reset)])
            .drops(FlowConflict),
    ]
}

fn flows() -> Vec<Row> {
    let (syn, syn_in) = (Pkt::tcp("S", CLIENT, DIALLED), Pkt::tcp("S", CLIENT, SERVER).hop());
    vec![
        Row::ext_in("a SYN opens a session", &syn)
            .rules(rules())
            .redirects(&syn_in, DnatIn)
            .stat(Created)
            .after([tcp().state(OpeningPeer)]),
        Row::ext_in("a repeated SYN changes nothing", &syn)
            .rules(rules())
            .before([tcp().state(OpeningPeer)])
            .redirects(&syn_in, DnatIn),
        Row::ext_in("a packet from the middle of a connection opens a session", &Pkt::tcp("A", CLIENT, DIALLED))
            .rules(rules())
            .redirects(&Pkt::tcp("A", CLIENT, SERVER).hop(), DnatIn)
            .stat(Created)
            .after([tcp().state(OpeningPeer)]),
        Row::int_in(
            "the reply leaves with the EIP and the port dialled, without an SNAT rule",
            &Pkt::tcp("SA", SERVER, CLIENT),
        )
        .rules(rules())
        .before([tcp().state(OpeningPeer)])
        .redirects(&Pkt::tcp("SA", DIALLED, CLIENT).hop(), DnatOut)
        .after([tcp().state(AnsweredByInternal)]),
        Row::ext_in("the ACK of the peer establishes it", &Pkt::tcp("A", CLIENT, DIALLED))
            .rules(rules())
            .before([tcp().state(AnsweredByInternal)])
            .redirects(&Pkt::tcp("A", CLIENT, SERVER).hop(), DnatIn)
            .after([tcp()]),
        Row::ext_in("a flood of SYNs does not", &Pkt::tcp("S", CLIENT, DIALLED))
            .rules(rules())
            .before([tcp().state(AnsweredByInternal)])
            .redirects(&Pkt::tcp("S", CLIENT, SERVER).hop(), DnatIn),
        Row::ext_in("established, in", &Pkt::tcp("AP", CLIENT, DIALLED))
            .rules(rules())
            .before([tcp()])
            .redirects(&Pkt::tcp("AP", CLIENT, SERVER).hop(), DnatIn),
        Row::int_in("established, out", &Pkt::tcp("AP", SERVER, CLIENT))
            .rules(rules())
            .before([tcp()])
            .redirects(&Pkt::tcp("AP", DIALLED, CLIENT).hop(), DnatOut),
        Row::ext_in("a session survives its rule until it is swept", &Pkt::tcp("A", CLIENT, DIALLED))
            .rules(RuleSet::none().eip(EIP))
            .before([tcp()])
            .redirects(&Pkt::tcp("A", CLIENT, SERVER).hop(), DnatIn),
        Row::ext_in("a FIN of the peer", &Pkt::tcp("FA", CLIENT, DIALLED))
            .rules(rules())
            .before([tcp()])
            .redirects(&Pkt::tcp("FA", CLIENT, SERVER).hop(), DnatIn)
            .after([tcp().state(FinPeer)]),
        Row::int_in("the FIN of the pod closes it", &Pkt::tcp("FA", SERVER, CLIENT))
            .rules(rules())
            .before([tcp().state(FinPeer)])
            .redirects(&Pkt::tcp("FA", DIALLED, CLIENT).hop(), DnatOut)
            .after([tcp().state(Closed)]),
        Row::ext_in("an RST only shortens its life", &Pkt::tcp("R", CLIENT, DIALLED))
            .rules(rules())
            .before([tcp()])
            .redirects(&Pkt::tcp("R", CLIENT, SERVER).hop(), DnatIn)
            .after([tcp().state(Reset)]),
        Row::ext_in("a session seen two seconds ago is refreshed", &Pkt::tcp("A", CLIENT, DIALLED))
            .rules(rules())
            .before([tcp().aged(2)])
            .redirects(&Pkt::tcp("A", CLIENT, SERVER).hop(), DnatIn)
            .after([tcp().aged(2).last(Age::Now)]),
        Row::ext_in("an expired session is made anew", &syn)
            .rules(rules())
            .before([tcp().aged(31)])
            .redirects(&syn_in, DnatIn)
            .stat(Created)
            .stat(Reclaimed)
            .after([tcp().state(OpeningPeer)]),
        Row::ext_in("UDP opens a session", &Pkt::udp(CLIENT, (EIP, 53)))
            .rules(rules())
            .redirects(&Pkt::udp(CLIENT, (POD, 5353)).hop(), DnatIn)
            .stat(Created)
            .after([Flow::dnat(UDP, (POD, 5353), (EIP, 53), CLIENT)]),
        Row::int_in("the UDP reply", &Pkt::udp((POD, 5353), CLIENT))
            .rules(rules())
            .before([Flow::dnat(UDP, (POD, 5353), (EIP, 53), CLIENT)])
            .redirects(&Pkt::udp((EIP, 53), CLIENT).hop(), DnatOut),
        Row::ext_in("UDP without a checksum", &Pkt::new(L4::UdpWithoutChecksum, CLIENT, (EIP, 53)))
            .not_complete()
            .rules(rules())
            .redirects(&Pkt::new(L4::UdpWithoutChecksum, CLIENT, (POD, 5353)).hop(), DnatIn)
            .stat(Created)
            .after([Flow::dnat(UDP, (POD, 5353), (EIP, 53), CLIENT)]),
        Row::ext_in("IP options", &Pkt::tcp("A", CLIENT, DIALLED).options())
            .rules(rules())
            .before([tcp()])
            .redirects(&Pkt::tcp("A", CLIENT, SERVER).options().hop(), DnatIn),
        Row::int_in("IP options, reply", &Pkt::tcp("A", SERVER, CLIENT).options())
            .rules(rules())
            .before([tcp()])
            .redirects(&Pkt::tcp("A", DIALLED, CLIENT).options().hop(), DnatOut),
    ]
}

fn exits() -> Vec<Row> {
    let no_redirect = |row: Row| row.config(|config| config.flags &= !(ConfigFlags::Redirect as u32));
    vec![
        Row::ext_in("with its last hop: translated, the kernel answers", &Pkt::tcp("A", CLIENT, DIALLED).ttl(1))
            .rules(rules())
            .before([tcp()])
            .hands_over(&Pkt::tcp("A", CLIENT, SERVER).ttl(1), DnatIn),
        Row::int_in("a reply with its last hop: the kernel answers the pod", &Pkt::tcp("A", SERVER, CLIENT).ttl(1))
            .rules(rules())
            .before([tcp()])
            .passes(PassKernelAnswers),
        no_redirect(Row::ext_in("--redirect off: in", &Pkt::tcp("A", CLIENT, DIALLED)))
            .rules(rules())
            .before([tcp()])
            .hands_over(&Pkt::tcp("A", CLIENT, SERVER), DnatIn),
        no_redirect(Row::int_in("--redirect off: reply", &Pkt::tcp("A", SERVER, CLIENT)))
            .rules(rules())
            .before([tcp()])
            .hands_over(&Pkt::tcp("A", DIALLED, CLIENT), DnatOut),
    ]
}

fn refusals() -> Vec<Row> {
    vec![
        Row::ext_in("an RST begins no session", &Pkt::tcp("R", CLIENT, DIALLED)).rules(rules()).drops(NoSession),
        Row::ext_in("a FIN begins no session", &Pkt::tcp("FA", CLIENT, DIALLED)).rules(rules()).drops(NoSession),
        Row::ext_in("a FIN of an expired session", &Pkt::tcp("FA", CLIENT, DIALLED))
            .rules(rules())
            .before([tcp().aged(31)])
            .drops(NoSession),
        Row::ext_in("the first fragment of a mapped port", &Pkt::udp(CLIENT, (EIP, 53)).fragment(0, true))
            .rules(rules())
            .drops(Fragment),
        Row::ext_in("the first fragment of a known session", &Pkt::tcp("A", CLIENT, DIALLED).fragment(0, true))
            .rules(RuleSet::none().eip(EIP))
            .before([tcp()])
            .drops(Fragment),
        Row::ext_in(
            "a later fragment goes to the stack, where it never completes",
            &Pkt::udp(CLIENT, (EIP, 53)).fragment(9, false),
        )
        .rules(rules())
        .passes(PassExternal),
        Row::ext_in("the other protocol of a mapped port", &Pkt::udp(CLIENT, DIALLED))
            .rules(rules())
            .passes(PassExternal),
        Row::ext_in("a port that is not mapped", &Pkt::tcp("S", CLIENT, (EIP, 81))).rules(rules()).passes(PassExternal),
        Row::ext_in("a ping to an EIP with port mappings: the gateway answers", &Pkt::echo(8, PEER, EIP, 5))
            .rules(rules())
            .passes(PassExternal),
        Row::ext_in("another EIP", &Pkt::tcp("S", CLIENT, (EIP2, 80))).rules(rules().eip(EIP2)).passes(PassExternal),
        Row::ext_in(
            "two mapped ports of one pod port, dialled from one port: the pod could not tell them apart",
            &Pkt::tcp("S", CLIENT, (EIP, 81)),
        )
        .rules(rules().dnat(TCP, (EIP, 81), SERVER))
        .before([tcp()])
        .drops(FlowConflict),
        Row::ext_in("the same, when the first connection has closed: taken over", &Pkt::tcp("S", CLIENT, (EIP, 81)))
            .rules(rules().dnat(TCP, (EIP, 81), SERVER))
            .before([tcp().state(Closed)])
            .redirects(&Pkt::tcp("S", CLIENT, SERVER).hop(), DnatIn)
            .stat(Created)
            .stat(Reclaimed)
            .after([Flow::dnat(TCP, SERVER, (EIP, 81), CLIENT).state(OpeningPeer)]),
        Row::ext_in("another client on the same port", &Pkt::tcp("S", (PEER2, 50123), DIALLED))
            .rules(rules())
            .before([tcp()])
            .redirects(&Pkt::tcp("S", (PEER2, 50123), SERVER).hop(), DnatIn)
            .stat(Created)
            .after([tcp(), Flow::dnat(TCP, SERVER, DIALLED, (PEER2, 50123)).state(OpeningPeer)]),
        Row::int_in("a pod's own flow from its mapped port has no rule", &Pkt::tcp("S", SERVER, (PEER2, 9)))
            .rules(rules())
            .before([tcp()])
            .passes(PassInternal),
        Row::int_in("a stranger's flow to the same peer", &Pkt::tcp("A", (POD2, 8080), CLIENT))
            .rules(rules())
            .before([tcp()])
            .passes(PassInternal),
    ]
}

pub(crate) fn rows() -> Vec<Row> {
    [flows(), conflicts(), exits(), refusals()].concat()
}

#[test]
fn port_mappings_translate_both_ways_and_refuse_what_is_not_theirs() {
    check_all(&rows());
}
