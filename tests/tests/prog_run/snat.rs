//! Source NAT: many sources behind one EIP, by longest prefix, each flow with a port of its own.

use natgw_common::{
    abi::{
        ConfigFlags,
        Counter::{FipOut, PassExternal, PassInternal, PassKernelAnswers, SnatIn, SnatOut},
        DropReason::{Fragment, NoSession, Unmatched},
        SessionStat::Created,
    },
    tcp_state::TcpState::{AnsweredByPeer, OpeningInternal, Reset},
};
use natgw_tests::prog_run::{
    Age, EIP, EIP2, EIP3, ELSEWHERE, FAR_POD, Flow, Input, L4, NEIGHBOUR, PEER, POD, POD2, Pkt, Program, Rig, Row,
    RuleSet, check_all,
};

use crate::support::{GRE, ICMP, TCP, UDP};

const CLIENT: ([u8; 4], u16) = (POD, 40000);
const SHOWN: ([u8; 4], u16) = (EIP, 40000);
const WEB: ([u8; 4], u16) = (PEER, 443);
const DNS: ([u8; 4], u16) = (PEER, 53);

fn rules() -> RuleSet {
    RuleSet::none().snat([10, 0, 0, 0], 8, &[EIP])
}

fn tcp() -> Flow {
    Flow::snat(TCP, CLIENT, SHOWN, WEB)
}

fn udp() -> Flow {
    Flow::snat(UDP, CLIENT, SHOWN, DNS)
}

fn tcp_flows() -> Vec<Row> {
    vec![
        Row::int_in("a SYN opens a session and keeps its port", &Pkt::tcp("S", CLIENT, WEB))
            .rules(rules())
            .redirects(&Pkt::tcp("S", SHOWN, WEB).hop(), SnatOut)
            .stat(Created)
            .after([tcp().state(OpeningInternal)]),
        Row::int_in("a repeated SYN changes nothing", &Pkt::tcp("S", CLIENT, WEB))
            .rules(rules())
            .before([tcp().state(OpeningInternal)])
            .redirects(&Pkt::tcp("S", SHOWN, WEB).hop(), SnatOut),
        Row::ext_in("the SYN-ACK", &Pkt::tcp("SA", WEB, SHOWN))
            .rules(rules())
            .before([tcp().state(OpeningInternal)])
            .redirects(&Pkt::tcp("SA", WEB, CLIENT).hop(), SnatIn)
            .after([tcp().state(AnsweredByPeer)]),
        Row::ext_in("a simultaneous open", &Pkt::tcp("S", WEB, SHOWN))
            .rules(rules())
            .before([tcp().state(OpeningInternal)])
            .redirects(&Pkt::tcp("S", WEB, CLIENT).hop(), SnatIn)
            .after([tcp().state(AnsweredByPeer)]),
        Row::int_in("the ACK of the pod establishes it", &Pkt::tcp("A", CLIENT, WEB))
            .rules(rules())
            .before([tcp().state(AnsweredByPeer)])
            .redirects(&Pkt::tcp("A", SHOWN, WEB).hop(), SnatOut)
            .after([tcp()]),
        Row::ext_in("more data of the peer does not", &Pkt::tcp("A", WEB, SHOWN))
            .rules(rules())
            .before([tcp().state(AnsweredByPeer)])
            .redirects(&Pkt::tcp("A", WEB, CLIENT).hop(), SnatIn),
        Row::int_in("established, out", &Pkt::tcp("AP", CLIENT, WEB))
            .rules(rules())
            .before([tcp()])
            .redirects(&Pkt::tcp("AP", SHOWN, WEB).hop(), SnatOut),
        Row::ext_in("established, in", &Pkt::tcp("AP", WEB, SHOWN))
            .rules(rules())
            .before([tcp()])
            .redirects(&Pkt::tcp("AP", WEB, CLIENT).hop(), SnatIn),
        Row::int_in("seen two seconds ago: refreshed", &Pkt::tcp("A", CLIENT, WEB))
            .rules(rules())
            .before([tcp().aged(2)])
            .redirects(&Pkt::tcp("A", SHOWN, WEB).hop(), SnatOut)
            .after([tcp().aged(2).last(Age::Now)]),
        Row::int_in("a session survives its rule", &Pkt::tcp("A", CLIENT, WEB))
            .rules(RuleSet::none().eip(EIP))
            .before([tcp()])
            .redirects(&Pkt::tcp("A", SHOWN, WEB).hop(), SnatOut),
        Row::int_in("a session survives a floating IP given to its pod", &Pkt::tcp("A", CLIENT, WEB))
            .rules(rules().fip(EIP2, POD))
            .before([tcp()])
            .redirects(&Pkt::tcp("A", SHOWN, WEB).hop(), SnatOut),
        Row::ext_in("an RST of the peer only shortens its life", &Pkt::tcp("RA", WEB, SHOWN))
            .rules(rules())
            .before([tcp()])
            .redirects(&Pkt::tcp("RA", WEB, CLIENT).hop(), SnatIn)
            .after([tcp().state(Reset)]),
        Row::int_in("traffic after a (forged) RST establishes it again", &Pkt::tcp("A", CLIENT, WEB))
            .rules(rules())
            .before([tcp().state(Reset)])
            .redirects(&Pkt::tcp("A", SHOWN, WEB).hop(), SnatOut)
            .after([tcp()]),
        Row::int_in("IP options", &Pkt::tcp("A", CLIENT, WEB).options())
            .rules(rules())
            .before([tcp()])
            .redirects(&Pkt::tcp("A", SHOWN, WEB).options().hop(), SnatOut),
        Row::int_in("a connection met in its middle gets a session", &Pkt::tcp("A", CLIENT, WEB))
            .rules(rules())
            .redirects(&Pkt::tcp("A", SHOWN, WEB).hop(), SnatOut)
            .stat(Created)
            .after([tcp().state(OpeningInternal)]),
        Row::int_in("an RST of no session", &Pkt::tcp("R", CLIENT, WEB)).rules(rules()).drops(NoSession),
        Row::int_in("a late FIN of no session must not leave with a private source", &Pkt::tcp("FA", CLIENT, WEB))
            .rules(rules())
            .drops(NoSession),
        Row::ext_in("a SYN to an EIP with SNAT only: the gateway resets it", &Pkt::tcp("S", WEB, SHOWN))
            .rules(rules())
            .passes(PassExternal),
        Row::ext_in("another peer's packet to a port in use", &Pkt::tcp("A", (PEER, 444), SHOWN))
            .rules(rules())
            .before([tcp()])
            .passes(PassExternal),
    ]
}

fn other_flows() -> Vec<Row> {
    let ping = Flow::snat(ICMP, (POD, 77), (EIP, 77), (PEER, 0));
    let timestamp = |kind, src, dst| Pkt::echo(kind, src, dst, 9).payload([0; 12]);
    vec![
        Row::int_in("UDP opens a session", &Pkt::udp(CLIENT, DNS))
            .rules(rules())
            .redirects(&Pkt::udp(SHOWN, DNS).hop(), SnatOut)
            .stat(Created)
            .after([udp()]),
        Row::int_in("UDP out", &Pkt::udp(CLIENT, DNS))
            .rules(rules())
            .before([udp()])
            .redirects(&Pkt::udp(SHOWN, DNS).hop(), SnatOut),
        Row::ext_in("UDP reply", &Pkt::udp(DNS, SHOWN))
            .rules(rules())
            .before([udp()])
            .redirects(&Pkt::udp(DNS, CLIENT).hop(), SnatIn),
        Row::ext_in("UDP reply to a translated port", &Pkt::udp(DNS, (EIP, 1024)))
            .rules(rules())
            .before([Flow::snat(UDP, CLIENT, (EIP, 1024), DNS)])
            .redirects(&Pkt::udp(DNS, CLIENT).hop(), SnatIn),
        Row::int_in("UDP without a checksum, port translated", &Pkt::new(L4::UdpWithoutChecksum, CLIENT, DNS))
            .not_complete()
            .rules(rules())
            .before([Flow::snat(UDP, CLIENT, (EIP, 1024), DNS)])
            .redirects(&Pkt::new(L4::UdpWithoutChecksum, (EIP, 1024), DNS).hop(), SnatOut),
        Row::int_in("ping opens a session and keeps its identifier", &Pkt::echo(8, POD, PEER, 77))
            .rules(rules())
            .redirects(&Pkt::echo(8, EIP, PEER, 77).hop(), SnatOut)
            .stat(Created)
            .after([ping.clone()]),
        Row::ext_in("its answer", &Pkt::echo(0, PEER, EIP, 77))
            .rules(rules())
            .before([ping.clone()])
            .redirects(&Pkt::echo(0, PEER, POD, 77).hop(), SnatIn),
        Row::int_in("an identifier in use is replaced", &Pkt::echo(8, POD2, PEER, 77))
            .rules(rules())
            .config(|config| (config.port_min, config.port_max) = (50000, 50000))
            .before([ping.clone()])
            .redirects(&Pkt::echo(8, EIP, PEER, 50000).hop(), SnatOut)
            .stat(Created)
            .after([ping.clone(), Flow::snat(ICMP, (POD2, 77), (EIP, 50000), (PEER, 0))]),
        Row::ext_in("and put back in the answer", &Pkt::echo(0, PEER, EIP, 50000))
            .rules(rules())
            .before([Flow::snat(ICMP, (POD2, 77), (EIP, 50000), (PEER, 0))])
            .redirects(&Pkt::echo(0, PEER, POD2, 77).hop(), SnatIn),
        Row::ext_in("a ping of the peer with the same identifier is another flow", &Pkt::echo(8, PEER, EIP, 77))
            .rules(rules())
            .before([ping.clone()])
            .passes(PassExternal),
        Row::int_in("an ICMP timestamp query", &timestamp(13, POD, PEER))
            .rules(rules())
            .redirects(&timestamp(13, EIP, PEER).hop(), SnatOut)
            .stat(Created)
            .after([Flow::snat(ICMP, (POD, 9), (EIP, 9), (PEER, 0))]),
        Row::ext_in("its answer, whose data is no identifier", &timestamp(14, PEER, EIP))
            .rules(rules())
            .before([Flow::snat(ICMP, (POD, 9), (EIP, 9), (PEER, 0))])
            .redirects(&timestamp(14, PEER, POD).hop(), SnatIn),
        Row::int_in("a ping answer of no session", &Pkt::echo(0, POD, PEER, 77)).rules(rules()).drops(NoSession),
        Row::int_in("GRE takes the EIP towards this peer", &Pkt::raw(GRE, POD, PEER))
            .rules(rules())
            .redirects(&Pkt::raw(GRE, EIP, PEER).hop(), SnatOut)
            .stat(Created)
            .after([Flow::snat(GRE, (POD, 0), (EIP, 0), (PEER, 0))]),
        Row::ext_in("its reply", &Pkt::raw(GRE, PEER, EIP))
            .rules(rules())
            .before([Flow::snat(GRE, (POD, 0), (EIP, 0), (PEER, 0))])
            .redirects(&Pkt::raw(GRE, PEER, POD).hop(), SnatIn),
    ]
}

fn choice() -> Vec<Row> {
    let prefixes =
        || rules().snat([10, 0, 0, 0], 24, &[EIP2]).snat([10, 0, 0, 20], 32, &[EIP3]).snat([0; 4], 0, &[EIP]);
    let out = |what, src: [u8; 4], eip: [u8; 4]| {
        Row::int_in(what, &Pkt::udp((src, 1111), DNS))
            .rules(prefixes())
            .redirects(&Pkt::udp((eip, 1111), DNS).hop(), SnatOut)
            .stat(Created)
            .after([Flow::snat(UDP, (src, 1111), (eip, 1111), DNS)])
    };
    let unmatched_drop = |row: Row| row.config(|config| config.flags |= ConfigFlags::UnmatchedDrop as u32);
    vec![
        out("the /32 is longer than the /24", POD2, EIP3),
        out("the /24 is longer than the /8", POD, EIP2),
        out("the /8 is longer than the /0", FAR_POD, EIP),
        out("the /0 takes the rest", [172, 16, 0, 1], EIP),
        Row::int_in("no rule: forwarded as it is", &Pkt::tcp("S", CLIENT, WEB)).passes(PassInternal),
        Row::int_in("a rule of another CIDR: forwarded as it is", &Pkt::tcp("S", (FAR_POD, 1), WEB))
            .rules(RuleSet::none().snat([10, 0, 0, 0], 16, &[EIP]))
            .passes(PassInternal),
        unmatched_drop(Row::int_in("--unmatched drop: no rule", &Pkt::tcp("S", CLIENT, WEB))).drops(Unmatched),
        unmatched_drop(Row::int_in("--unmatched drop: a fragment", &Pkt::udp(CLIENT, DNS).fragment(0, true)))
            .drops(Unmatched),
        unmatched_drop(Row::int_in(
            "--unmatched drop concerns only what leaves outside",
            &Pkt::udp(CLIENT, (FAR_POD, 1)),
        ))
        .passes(PassInternal),
        unmatched_drop(Row::int_in("--unmatched drop: a rule matches", &Pkt::udp(CLIENT, DNS)))
            .rules(rules())
            .redirects(&Pkt::udp(SHOWN, DNS).hop(), SnatOut)
            .stat(Created)
            .after([udp()]),
        Row::int_in("to another subnet of the VPC: not translated", &Pkt::udp(CLIENT, (FAR_POD, 53)))
            .rules(rules())
            .passes(PassInternal),
        Row::int_in("out by a third interface: not translated", &Pkt::udp(CLIENT, (ELSEWHERE, 53)))
            .rules(rules())
            .passes(PassInternal),
        Row::int_in("to a host whose hardware address is not known yet", &Pkt::udp(CLIENT, (NEIGHBOUR, 53)))
            .rules(rules())
            .redirects(&Pkt::udp(SHOWN, (NEIGHBOUR, 53)).hop(), SnatOut)
            .stat(Created)
            .after([Flow::snat(UDP, CLIENT, SHOWN, (NEIGHBOUR, 53))]),
        Row::int_in("an empty pool is no rule", &Pkt::udp(CLIENT, DNS))
            .rules(RuleSet::none().snat([10, 0, 0, 0], 8, &[]))
            .passes(PassInternal),
        Row::int_in("the first fragment of a flow that needs ports", &Pkt::udp(CLIENT, DNS).fragment(0, true))
            .rules(rules())
            .drops(Fragment),
        Row::int_in("a later fragment must not leave with a private source", &Pkt::udp(CLIENT, DNS).fragment(5, false))
            .rules(rules())
            .drops(Fragment),
        Row::int_in("a fragment of no rule", &Pkt::udp(CLIENT, DNS).fragment(5, false)).passes(PassInternal),
        Row::ext_in("a fragment to a port of a session", &Pkt::udp(DNS, SHOWN).fragment(0, true))
            .rules(rules())
            .before([udp()])
            .drops(Fragment),
    ]
}

fn exits() -> Vec<Row> {
    let no_redirect = |row: Row| row.config(|config| config.flags &= !(ConfigFlags::Redirect as u32));
    vec![
        Row::int_in("a new flow with its last hop: the kernel answers, nothing is kept", &Pkt::udp(CLIENT, DNS).ttl(1))
            .rules(rules())
            .passes(PassKernelAnswers),
        Row::int_in("a known flow with its last hop", &Pkt::udp(CLIENT, DNS).ttl(1))
            .rules(rules())
            .before([udp()])
            .passes(PassKernelAnswers),
        Row::int_in("no hops left at all", &Pkt::udp(CLIENT, DNS).ttl(0)).rules(rules()).passes(PassKernelAnswers),
        Row::ext_in("a reply with its last hop: translated, the kernel answers", &Pkt::udp(DNS, SHOWN).ttl(1))
            .rules(rules())
            .before([udp()])
            .hands_over(&Pkt::udp(DNS, CLIENT).ttl(1), SnatIn),
        no_redirect(Row::int_in("--redirect off: out", &Pkt::udp(CLIENT, DNS)))
            .rules(rules())
            .hands_over(&Pkt::udp(SHOWN, DNS), SnatOut)
            .stat(Created)
            .after([udp()]),
        no_redirect(Row::ext_in("--redirect off: in", &Pkt::udp(DNS, SHOWN)))
            .rules(rules())
            .before([udp()])
            .hands_over(&Pkt::udp(DNS, CLIENT), SnatIn),
        Row::int_in("a floating IP's session to the same peer keeps its own counters", &Pkt::udp(CLIENT, DNS))
            .rules(rules())
            .before([Flow::fip(UDP, CLIENT, (EIP2, 40000), DNS)])
            .redirects(&Pkt::udp((EIP2, 40000), DNS).hop(), FipOut),
    ]
}

pub(crate) fn rows() -> Vec<Row> {
    [tcp_flows(), other_flows(), choice(), exits()].concat()
}

#[test]
fn source_nat_translates_by_longest_prefix() {
    check_all(&rows());
}

#[test]
fn a_source_sticks_to_one_eip_of_its_pool_and_all_of_them_are_used() {
    let mut rig = Rig::new(4096);
    let pool = [EIP, EIP2, EIP3];
    rig.set_config(&Rig::config());
    rig.set_rules(&RuleSet::none().snat([10, 0, 0, 0], 8, &pool));
    let (int, _) = rig.ifindexes();
    let rig = &rig;
    let used: Vec<_> = rig.netns().run(|| {
        let choose = |pod: u8, port: u16| {
            let frame = Pkt::udp(([10, 0, 0, pod], port), DNS).frame();
            let output = rig.run(Program::IntIn, &Input::new(&frame, int)).unwrap();
            assert_eq!(output.verdict, 7);
            <[u8; 4]>::try_from(&output.frame[26..30]).unwrap()
        };
        (2..92)
            .map(|pod| {
                let eip = choose(pod, 1000);
                assert!((1001..1010).all(|port| choose(pod, port) == eip), "10.0.0.{pod} left its EIP");
                eip
            })
            .collect()
    });
    for eip in pool {
        let share = used.iter().filter(|used| **used == eip).count();
        assert!((15..=45).contains(&share), "{eip:?} has {share} of 90 sources");
    }
    assert!(used.iter().all(|eip| pool.contains(eip)));
}
