//! Hairpin: a VPC client dials an EIP of its own gateway.

use natgw_common::{
    abi::{
        ConfigFlags,
        Counter::{HairpinIn, HairpinOut, PassInternal},
        DropReason::{Fragment, HairpinTtl, NoSession},
        SessionStat::Created,
    },
    tcp_state::TcpState::{AnsweredByPeer, OpeningInternal},
};
use natgw_tests::prog_run::{EIP, EIP2, EIP3, End, Flow, POD, POD2, Pkt, Row, RuleSet, check_all};

use crate::support::{GRE, ICMP, TCP, UDP};

/// A pod without a floating IP.
const CLIENT: End = (POD, 40000);
/// What it dials: a port mapping to `SERVER`.
const DIALLED: End = (EIP, 80);
const SERVER: End = (POD2, 8080);

fn mapped() -> RuleSet {
    RuleSet::none().dnat(TCP, DIALLED, SERVER).snat([10, 0, 0, 0], 16, &[EIP3])
}

/// The client sees its peer as `DIALLED`; the server sees the EIP that was dialled.
fn session() -> Flow {
    Flow::hairpin(TCP, CLIENT, DIALLED, (EIP, 40000), SERVER)
}

fn to_port_mappings() -> Vec<Row> {
    let syn = Pkt::tcp("S", CLIENT, DIALLED);
    let own = || mapped().fip(EIP2, POD);
    vec![
        Row::int_in("to a port mapping: the server sees the EIP that was dialled", &syn)
            .rules(mapped())
            .redirects(&Pkt::tcp("S", (EIP, 40000), SERVER).hop(), HairpinOut)
            .stat(Created)
            .after([session().state(OpeningInternal)]),
        Row::int_in("established, out", &Pkt::tcp("A", CLIENT, DIALLED))
            .rules(mapped())
            .before([session()])
            .redirects(&Pkt::tcp("A", (EIP, 40000), SERVER).hop(), HairpinOut),
        Row::int_in("the reply: the client sees what it had dialled", &Pkt::tcp("SA", SERVER, (EIP, 40000)))
            .rules(mapped())
            .before([session().state(OpeningInternal)])
            .redirects(&Pkt::tcp("SA", DIALLED, CLIENT).hop(), HairpinIn)
            .after([session().state(AnsweredByPeer)]),
        Row::int_in("a client with a floating IP is seen as that", &syn)
            .rules(own())
            .redirects(&Pkt::tcp("S", (EIP2, 40000), SERVER).hop(), HairpinOut)
            .stat(Created)
            .after([Flow::hairpin(TCP, CLIENT, DIALLED, (EIP2, 40000), SERVER).state(OpeningInternal)]),
        Row::int_in("and the reply finds it", &Pkt::tcp("A", SERVER, (EIP2, 40000)))
            .rules(own())
            .before([Flow::hairpin(TCP, CLIENT, DIALLED, (EIP2, 40000), SERVER)])
            .redirects(&Pkt::tcp("A", DIALLED, CLIENT).hop(), HairpinIn),
        Row::int_in("a pod that dials a port mapping of its own", &Pkt::tcp("S", (POD2, 1234), DIALLED))
            .rules(mapped())
            .redirects(&Pkt::tcp("S", (EIP, 1234), SERVER).hop(), HairpinOut)
            .stat(Created)
            .after([Flow::hairpin(TCP, (POD2, 1234), DIALLED, (EIP, 1234), SERVER).state(OpeningInternal)]),
        Row::int_in("a port in use towards the server is replaced", &syn)
            .rules(mapped())
            .config(|config| (config.port_min, config.port_max) = (50000, 50000))
            .before([Flow::hairpin(TCP, ([10, 0, 0, 77], 40000), DIALLED, (EIP, 40000), SERVER)])
            .redirects(&Pkt::tcp("S", (EIP, 50000), SERVER).hop(), HairpinOut)
            .stat(Created)
            .after([
                Flow::hairpin(TCP, ([10, 0, 0, 77], 40000), DIALLED, (EIP, 40000), SERVER),
                Flow::hairpin(TCP, CLIENT, DIALLED, (EIP, 50000), SERVER).state(OpeningInternal),
            ]),
        Row::int_in("an RST of no session", &Pkt::tcp("R", CLIENT, DIALLED)).rules(mapped()).drops(NoSession),
        Row::int_in("a port that is not mapped: the gateway resets it", &Pkt::tcp("S", CLIENT, (EIP, 81)))
            .rules(mapped())
            .passes(PassInternal),
        Row::int_in("a ping to an EIP with port mappings: the gateway answers", &Pkt::echo(8, POD, EIP, 7))
            .rules(mapped())
            .passes(PassInternal),
        Row::int_in("an EIP without rules", &Pkt::tcp("S", CLIENT, (EIP2, 80)))
            .rules(mapped().eip(EIP2))
            .passes(PassInternal),
        Row::int_in("--redirect off", &Pkt::tcp("A", CLIENT, DIALLED))
            .rules(mapped())
            .config(|config| config.flags &= !(ConfigFlags::Redirect as u32))
            .before([session()])
            .hands_over(&Pkt::tcp("A", (EIP, 40000), SERVER), HairpinOut),
    ]
}

fn to_floating_ips() -> Vec<Row> {
    let both = || RuleSet::none().fip(EIP, POD).fip(EIP2, POD2);
    let server_only = || RuleSet::none().fip(EIP2, POD2).snat([10, 0, 0, 0], 16, &[EIP3]);
    let stateful = || RuleSet::none().fip(EIP, POD).stateful_fip(EIP2, POD2).snat([10, 0, 0, 0], 16, &[EIP2]);
    vec![
        Row::int_in("between two floating IPs nothing is kept", &Pkt::udp(CLIENT, (EIP2, 53)))
            .rules(both())
            .redirects(&Pkt::udp((EIP, 40000), (POD2, 53)).hop(), HairpinOut),
        Row::int_in("the answer takes the same way", &Pkt::udp((POD2, 53), (EIP, 40000)))
            .rules(both())
            .redirects(&Pkt::udp((EIP2, 53), CLIENT).hop(), HairpinOut),
        Row::int_in("GRE between two floating IPs", &Pkt::raw(GRE, POD, EIP2))
            .rules(both())
            .redirects(&Pkt::raw(GRE, EIP, POD2).hop(), HairpinOut),
        Row::int_in("a ping between two floating IPs", &Pkt::echo(8, POD, EIP2, 7))
            .rules(both())
            .redirects(&Pkt::echo(8, EIP, POD2, 7).hop(), HairpinOut),
        Row::int_in("a RST between two floating IPs", &Pkt::tcp("R", CLIENT, (EIP2, 80)))
            .rules(both())
            .redirects(&Pkt::tcp("R", (EIP, 40000), (POD2, 80)).hop(), HairpinOut),
        Row::int_in("a fragment between two floating IPs", &Pkt::udp(CLIENT, (EIP2, 53)).fragment(3, true))
            .rules(both())
            .redirects(&Pkt::udp((EIP, 0), (POD2, 0)).fragment(3, true).hop(), HairpinOut),
        Row::int_in("a pod that dials its own floating IP", &Pkt::udp(CLIENT, (EIP, 53)))
            .rules(both())
            .redirects(&Pkt::udp((EIP, 40000), (POD, 53)).hop(), HairpinOut),
        Row::int_in("a client without a floating IP needs a session", &Pkt::udp(CLIENT, (EIP2, 53)))
            .rules(server_only())
            .redirects(&Pkt::udp((EIP2, 40000), (POD2, 53)).hop(), HairpinOut)
            .stat(Created)
            .after([Flow::hairpin(UDP, CLIENT, (EIP2, 53), (EIP2, 40000), (POD2, 53))]),
        Row::int_in("and its answer comes back", &Pkt::udp((POD2, 53), (EIP2, 40000)))
            .rules(server_only())
            .before([Flow::hairpin(UDP, CLIENT, (EIP2, 53), (EIP2, 40000), (POD2, 53))])
            .redirects(&Pkt::udp((EIP2, 53), CLIENT).hop(), HairpinIn),
        Row::int_in("a ping of a client without a floating IP", &Pkt::echo(8, POD, EIP2, 7))
            .rules(server_only())
            .redirects(&Pkt::echo(8, EIP2, POD2, 7).hop(), HairpinOut)
            .stat(Created)
            .after([Flow::hairpin(ICMP, (POD, 7), (EIP2, 0), (EIP2, 7), (POD2, 0))]),
        Row::int_in("and its answer", &Pkt::echo(0, POD2, EIP2, 7))
            .rules(server_only())
            .before([Flow::hairpin(ICMP, (POD, 7), (EIP2, 0), (EIP2, 7), (POD2, 0))])
            .redirects(&Pkt::echo(0, EIP2, POD, 7).hop(), HairpinIn),
        Row::int_in("a stateful floating IP as the server needs a session", &Pkt::udp(CLIENT, (EIP2, 53)))
            .rules(stateful())
            .redirects(&Pkt::udp((EIP, 40000), (POD2, 53)).hop(), HairpinOut)
            .stat(Created)
            .after([Flow::hairpin(UDP, CLIENT, (EIP2, 53), (EIP, 40000), (POD2, 53))]),
        Row::int_in("its answer", &Pkt::udp((POD2, 53), (EIP, 40000)))
            .rules(stateful())
            .before([Flow::hairpin(UDP, CLIENT, (EIP2, 53), (EIP, 40000), (POD2, 53))])
            .redirects(&Pkt::udp((EIP2, 53), CLIENT).hop(), HairpinIn),
        Row::int_in("a fragment of a client without a floating IP", &Pkt::udp(CLIENT, (EIP2, 53)).fragment(0, true))
            .rules(server_only())
            .drops(Fragment),
        Row::int_in("a first fragment to a port mapping", &Pkt::tcp("A", CLIENT, DIALLED).fragment(0, true))
            .rules(mapped())
            .drops(Fragment),
        Row::int_in(
            "a later fragment to an EIP without a floating IP",
            &Pkt::tcp("A", CLIENT, DIALLED).fragment(3, false),
        )
        .rules(mapped())
        .passes(PassInternal),
    ]
}

fn last_hop() -> Vec<Row> {
    let both = || RuleSet::none().fip(EIP, POD).fip(EIP2, POD2);
    vec![
        Row::int_in("its last hop, new flow", &Pkt::tcp("S", CLIENT, DIALLED).ttl(1)).rules(mapped()).drops(HairpinTtl),
        Row::int_in("its last hop, known flow", &Pkt::tcp("A", CLIENT, DIALLED).ttl(1))
            .rules(mapped())
            .before([session()])
            .drops(HairpinTtl),
        Row::int_in("its last hop, reply", &Pkt::tcp("A", SERVER, (EIP, 40000)).ttl(1))
            .rules(mapped())
            .before([session()])
            .drops(HairpinTtl),
        Row::int_in("its last hop, between floating IPs", &Pkt::udp(CLIENT, (EIP2, 53)).ttl(1))
            .rules(both())
            .drops(HairpinTtl),
        Row::int_in("its last hop, a fragment", &Pkt::udp(CLIENT, (EIP2, 53)).fragment(3, true).ttl(1))
            .rules(both())
            .drops(HairpinTtl),
        Row::int_in("its last hop, to the gateway itself", &Pkt::tcp("S", CLIENT, (EIP, 81)).ttl(1))
            .rules(mapped())
            .passes(PassInternal),
    ]
}

pub(crate) fn rows() -> Vec<Row> {
    [to_port_mappings(), to_floating_ips(), last_hop()].concat()
}

#[test]
fn a_vpc_client_reaches_the_eips_of_its_own_gateway() {
    check_all(&rows());
}
