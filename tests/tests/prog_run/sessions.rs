//! The life of sessions: ports run out, tables fill up, old sessions make room, indexes are repaired.

use natgw_common::{
    abi::{
        Counter::{DnatIn, PassExternal, SnatIn, SnatOut},
        DropReason::{FlowConflict, Migrating, NoPort, TableFull, UnsupportedProtocol},
        SessionStat::{Created, IndexRepaired, Reclaimed, RefusedNoPort, RefusedTableFull, Reopened},
    },
    tcp_state::TcpState::{Closed, FinInternal, FinPeer, OpeningInternal, OpeningPeer, Reset},
};
use natgw_tests::prog_run::{Age, EIP, End, Flow, PEER, PEER2, POD, POD2, Pkt, Rig, Row, RuleSet, check_all};

use crate::support::{GRE, ICMP, TCP, UDP};

const CLIENT: End = (POD, 40000);
const SHOWN: End = (EIP, 40000);
const WEB: End = (PEER, 443);

fn rules() -> RuleSet {
    RuleSet::none().snat([10, 0, 0, 0], 8, &[EIP])
}

fn tcp() -> Flow {
    Flow::snat(TCP, CLIENT, SHOWN, WEB)
}

fn one_port(row: Row, port: u16) -> Row {
    row.config(|config| (config.port_min, config.port_max) = (port, port))
}

/// `count` sessions that have nothing to do with any row.
fn crowd(count: u32) -> Vec<Flow> {
    (0..count)
        .map(|n| {
            let port = 10000 + u16::try_from(n).unwrap();
            Flow::snat(UDP, (POD2, port), (EIP, port), (PEER2, 9))
        })
        .collect()
}

fn ports() -> Vec<Row> {
    let other = || Flow::snat(TCP, (POD2, 40000), SHOWN, WEB);
    let syn = Pkt::tcp("S", CLIENT, WEB);
    vec![
        one_port(Row::int_in("a port in use is replaced by one of the range", &syn), 50000)
            .rules(rules())
            .before([other()])
            .redirects(&Pkt::tcp("S", (EIP, 50000), WEB).hop(), SnatOut)
            .stat(Created)
            .after([other(), Flow::snat(TCP, CLIENT, (EIP, 50000), WEB).state(OpeningInternal)]),
        one_port(Row::int_in("a port in use towards another peer is free", &syn), 50000)
            .rules(rules())
            .before([Flow::snat(TCP, (POD2, 40000), SHOWN, (PEER2, 443))])
            .redirects(&Pkt::tcp("S", SHOWN, WEB).hop(), SnatOut)
            .stat(Created)
            .after([Flow::snat(TCP, (POD2, 40000), SHOWN, (PEER2, 443)), tcp().state(OpeningInternal)]),
        one_port(Row::int_in("a port with a port mapping is never used", &syn), 50000)
            .rules(rules().dnat(TCP, SHOWN, (POD2, 1)))
            .redirects(&Pkt::tcp("S", (EIP, 50000), WEB).hop(), SnatOut)
            .stat(Created)
            .after([Flow::snat(TCP, CLIENT, (EIP, 50000), WEB).state(OpeningInternal)]),
        one_port(Row::int_in("a port mapping of the other protocol reserves nothing", &syn), 50000)
            .rules(rules().dnat(UDP, SHOWN, (POD2, 1)))
            .redirects(&Pkt::tcp("S", SHOWN, WEB).hop(), SnatOut)
            .stat(Created)
            .after([tcp().state(OpeningInternal)]),
        one_port(Row::int_in("every port is in use", &syn), 40000)
            .rules(rules())
            .before([other()])
            .drops(NoPort)
            .stat(RefusedNoPort),
        one_port(Row::int_in("every port is reserved", &syn), 40000)
            .rules(rules().dnat(TCP, SHOWN, (POD2, 1)))
            .drops(NoPort)
            .stat(RefusedNoPort),
        one_port(Row::int_in("every identifier is in use", &Pkt::echo(8, POD, PEER, 7)), 7)
            .rules(rules())
            .before([Flow::snat(ICMP, (POD2, 7), (EIP, 7), (PEER, 0))])
            .drops(NoPort)
            .stat(RefusedNoPort),
        Row::int_in("a second GRE tunnel to one peer has no port to tell it apart", &Pkt::raw(GRE, POD, PEER))
            .rules(rules())
            .before([Flow::snat(GRE, (POD2, 0), (EIP, 0), (PEER, 0))])
            .drops(UnsupportedProtocol)
            .stat(RefusedNoPort),
    ]
}

fn tables() -> Vec<Row> {
    let syn = Pkt::tcp("S", CLIENT, WEB);
    let full = crowd(Rig::SMALL);
    let mapped = rules().dnat(TCP, (EIP, 80), (POD, 8080));
    vec![
        Row::int_in("a full table refuses a new flow", &syn)
            .rules(rules())
            .before(full.clone())
            .drops(TableFull)
            .stat(RefusedTableFull),
        Row::ext_in("a full table refuses a new flow from outside", &Pkt::tcp("S", WEB, (EIP, 80)))
            .rules(mapped.clone())
            .before(full.clone())
            .drops(TableFull)
            .stat(RefusedTableFull),
        Row::int_in("a full table serves a known flow", &Pkt::udp((POD2, 10003), (PEER2, 9)))
            .rules(rules())
            .before(full.clone())
            .redirects(&Pkt::udp((EIP, 10003), (PEER2, 9)).hop(), SnatOut),
        Row::int_in("a full index takes the claim back", &syn)
            .rules(rules())
            .before(
                [crowd(Rig::SMALL - 1), vec![Flow::snat(UDP, (POD2, 1), (EIP, 1), (PEER2, 1)).only_index()]].concat(),
            )
            .drops(TableFull)
            .stat(RefusedTableFull),
        Row::int_in("a full table: an expired session of the same tuple makes room", &syn)
            .rules(rules())
            .before([crowd(Rig::SMALL - 1), vec![Flow::snat(TCP, (POD2, 40000), SHOWN, WEB).aged(31)]].concat())
            .redirects(&Pkt::tcp("S", SHOWN, WEB).hop(), SnatOut)
            .stat(Created)
            .stat(Reclaimed)
            .after([crowd(Rig::SMALL - 1), vec![tcp().state(OpeningInternal)]].concat()),
    ]
}

/// A packet of a session as old as its idle limit, and a second older.
fn expiry() -> Vec<Row> {
    let (udp, ping) = (Flow::snat(UDP, CLIENT, SHOWN, (PEER, 53)), Flow::snat(ICMP, (POD, 7), (EIP, 7), (PEER, 0)));
    let gre = Flow::snat(GRE, (POD, 0), (EIP, 0), (PEER, 0));
    let (udp_in, ping_in, gre_in) = (Pkt::udp((PEER, 53), SHOWN), Pkt::echo(0, PEER, EIP, 7), Pkt::raw(GRE, PEER, EIP));
    let tcp_in = Pkt::tcp("A", WEB, SHOWN);
    let cases = [
        ("UDP", udp, udp_in.clone(), udp_in.with((PEER, 53), CLIENT), 10),
        ("ping", ping, ping_in.clone(), ping_in.between(PEER, POD), 4),
        ("GRE", gre, gre_in.clone(), gre_in.between(PEER, POD), 7),
        ("TCP, established", tcp(), tcp_in.clone(), tcp_in.clone().with(WEB, CLIENT), 30),
        ("TCP, closed", tcp().state(Closed), tcp_in.clone(), tcp_in.clone().with(WEB, CLIENT), 6),
        ("TCP, closing", tcp().state(FinPeer), tcp_in.clone(), tcp_in.clone().with(WEB, CLIENT), 6),
        // What follows changes the state too: see the states' own rows.
        ("TCP, opening", tcp().state(OpeningPeer), tcp_in.clone(), tcp_in.with(WEB, CLIENT), 8),
    ];
    cases
        .into_iter()
        .flat_map(|(what, flow, packet, inside, limit)| {
            [
                Row::ext_in(Box::leak(format!("{what}: alive a second before its limit").into_boxed_str()), &packet)
                    .rules(rules())
                    .before([flow.clone().aged(limit - 1)])
                    .redirects(&inside.hop(), SnatIn)
                    .after([flow.clone().aged(limit - 1).last(Age::Now)]),
                Row::ext_in(Box::leak(format!("{what}: gone a second after it").into_boxed_str()), &packet)
                    .rules(rules())
                    .before([flow.aged(limit + 1)])
                    .passes(PassExternal),
            ]
        })
        .collect()
}

fn reuse() -> Vec<Row> {
    let syn = Pkt::tcp("S", CLIENT, WEB);
    let reopened = |what, state| {
        Row::int_in(what, &syn)
            .rules(rules())
            .before([tcp().state(state)])
            .redirects(&Pkt::tcp("S", SHOWN, WEB).hop(), SnatOut)
            .stat(Reopened)
            .after([tcp().state(OpeningInternal)])
    };
    let other = |state| Flow::snat(TCP, (POD2, 40000), SHOWN, WEB).state(state);
    vec![
        reopened("a SYN reopens a closed session", Closed),
        reopened("a SYN reopens a reset session", Reset),
        reopened("a SYN reopens a half-closed session", FinInternal),
        Row::ext_in("a SYN of the peer reopens its closed session", &Pkt::tcp("S", (PEER, 999), (EIP, 80)))
            .rules(RuleSet::none().dnat(TCP, (EIP, 80), (POD, 8080)))
            .before([Flow::dnat(TCP, (POD, 8080), (EIP, 80), (PEER, 999)).state(Closed)])
            .redirects(&Pkt::tcp("S", (PEER, 999), (POD, 8080)).hop(), DnatIn)
            .stat(Reopened)
            .after([Flow::dnat(TCP, (POD, 8080), (EIP, 80), (PEER, 999)).state(OpeningPeer)]),
        Row::int_in("a late packet of a closed connection", &Pkt::tcp("A", CLIENT, WEB))
            .rules(rules())
            .before([tcp().state(Closed)])
            .redirects(&Pkt::tcp("A", SHOWN, WEB).hop(), SnatOut),
        Row::int_in("an expired session of the same flow is made anew", &syn)
            .rules(rules())
            .before([tcp().aged(31)])
            .redirects(&Pkt::tcp("S", SHOWN, WEB).hop(), SnatOut)
            .stat(Created)
            .stat(Reclaimed)
            .after([tcp().state(OpeningInternal)]),
        Row::int_in("an expired session of the same flow on another port", &syn)
            .rules(rules())
            .before([Flow::snat(TCP, CLIENT, (EIP, 55555), WEB).aged(31)])
            .redirects(&Pkt::tcp("S", SHOWN, WEB).hop(), SnatOut)
            .stat(Created)
            .stat(Reclaimed)
            .after([tcp().state(OpeningInternal)]),
        Row::int_in("an expired session of another flow gives up its port", &syn)
            .rules(rules())
            .before([other(OpeningInternal).aged(9)])
            .redirects(&Pkt::tcp("S", SHOWN, WEB).hop(), SnatOut)
            .stat(Created)
            .stat(Reclaimed)
            .after([tcp().state(OpeningInternal)]),
        one_port(Row::int_in("a closed connection of another flow gives up the last port", &syn), 40000)
            .rules(rules())
            .before([other(Closed)])
            .redirects(&Pkt::tcp("S", SHOWN, WEB).hop(), SnatOut)
            .stat(Created)
            .stat(Reclaimed)
            .after([tcp().state(OpeningInternal)]),
        one_port(Row::int_in("but a free port is better than a closed connection's", &syn), 50000)
            .rules(rules())
            .before([other(Closed)])
            .redirects(&Pkt::tcp("S", (EIP, 50000), WEB).hop(), SnatOut)
            .stat(Created)
            .after([other(Closed), Flow::snat(TCP, CLIENT, (EIP, 50000), WEB).state(OpeningInternal)]),
        one_port(Row::int_in("a connection that is only half closed keeps it", &syn), 40000)
            .rules(rules())
            .before([other(FinPeer)])
            .drops(NoPort)
            .stat(RefusedNoPort),
        one_port(Row::int_in("a session that another CPU is removing is left to it", &syn), 40000)
            .rules(rules())
            .before([other(OpeningInternal).last(Age::Dead)])
            .drops(NoPort)
            .stat(RefusedNoPort),
        Row::ext_in("a session that is being removed forwards nothing", &Pkt::tcp("A", WEB, SHOWN))
            .rules(rules())
            .before([tcp().last(Age::Dead)])
            .passes(PassExternal),
    ]
}

fn indexes() -> Vec<Row> {
    let data = Pkt::tcp("A", CLIENT, WEB);
    let out = Pkt::tcp("A", SHOWN, WEB).hop();
    vec![
        Row::int_in("a session that lost its index entry gets it back", &data)
            .rules(rules())
            .before([tcp().without_index()])
            .redirects(&out, SnatOut)
            .stat(IndexRepaired)
            .after([tcp()]),
        Row::int_in("an index entry that leads to no session is replaced", &data)
            .rules(rules())
            .before([Flow::snat(TCP, CLIENT, (EIP, 55555), WEB).only_index()])
            .redirects(&out, SnatOut)
            .stat(Created)
            .after([tcp().state(OpeningInternal)]),
        Row::int_in("an index entry left behind by the very session that is made anew", &data)
            .rules(rules())
            .before([tcp().only_index()])
            .redirects(&out, SnatOut)
            .stat(Created)
            .after([tcp().state(OpeningInternal)]),
        Row::ext_in("the same from outside", &Pkt::tcp("S", WEB, (EIP, 80)))
            .rules(RuleSet::none().dnat(TCP, (EIP, 80), (POD, 8080)))
            .before([Flow::dnat(TCP, (POD, 8080), (EIP, 80), WEB).only_index()])
            .redirects(&Pkt::tcp("S", WEB, (POD, 8080)).hop(), DnatIn)
            .stat(Created)
            .after([Flow::dnat(TCP, (POD, 8080), (EIP, 80), WEB).state(OpeningPeer)]),
        Row::int_in("an index entry that leads to a stranger's session is not believed", &data)
            .rules(rules())
            .before([
                Flow::snat(TCP, CLIENT, (EIP, 55555), WEB).only_index(),
                Flow::snat(TCP, (POD2, 1), (EIP, 55555), WEB),
            ])
            .redirects(&out, SnatOut)
            .stat(Created)
            .after([tcp().state(OpeningInternal), Flow::snat(TCP, (POD2, 1), (EIP, 55555), WEB)]),
        Row::ext_in(
            "from outside, to the tuple of a hairpinned session: its peer cannot be there",
            &Pkt::tcp("S", (POD2, 8080), (EIP, 80)),
        )
        .rules(RuleSet::none().dnat(TCP, (EIP, 80), (POD, 8080)))
        .before([Flow::hairpin(TCP, (POD, 1), (EIP, 81), (EIP, 80), (POD2, 8080))])
        .drops(FlowConflict),
    ]
}

/// While an upgrade moves the sessions.
fn held() -> Vec<Row> {
    let held =
        |row: Row| row.config(|config| config.hold_until_ns = u64::MAX).rules(rules().dnat(TCP, SHOWN, (POD2, 1)));
    let udp = || Flow::snat(UDP, CLIENT, (EIP, 40000), WEB);
    vec![
        held(Row::int_in("no session is opened outward", &Pkt::udp(CLIENT, WEB))).drops(Migrating),
        held(Row::ext_in("no session is opened inward", &Pkt::tcp("S", WEB, SHOWN))).drops(Migrating),
        held(Row::int_in("a known session goes on", &Pkt::udp(CLIENT, WEB)))
            .before([udp()])
            .redirects(&Pkt::udp(SHOWN, WEB).hop(), SnatOut),
        held(Row::ext_in("so do its replies", &Pkt::udp(WEB, SHOWN)))
            .before([udp()])
            .redirects(&Pkt::udp(WEB, CLIENT).hop(), SnatIn),
        held(Row::ext_in("what needs no session passes", &Pkt::udp(WEB, (EIP, 1)))).passes(PassExternal),
        Row::int_in("a hold that is over holds nothing", &Pkt::udp(CLIENT, WEB))
            .config(|config| config.hold_until_ns = 1)
            .rules(rules())
            .redirects(&Pkt::udp(SHOWN, WEB).hop(), SnatOut)
            .stat(Created)
            .after([udp()]),
    ]
}

pub(crate) fn rows() -> Vec<Row> {
    [ports(), tables(), expiry(), reuse(), indexes(), held()].concat()
}

#[test]
fn sessions_are_refused_reclaimed_reopened_and_repaired() {
    check_all(&rows());
}
