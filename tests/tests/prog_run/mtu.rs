//! Packets too big for the next link: the kernel fragments them or tells the sender, with the right addresses.

use natgw_common::abi::{
    Counter::{DnatIn, FipIn, FipOut, PassKernelAnswers, SnatOut},
    SessionStat::Created,
};
use natgw_tests::prog_run::{EIP, EXT_MTU, End, Flow, INT_MTU, NEIGHBOUR, PEER, POD, Pkt, Row, RuleSet, check_all};

use crate::support::UDP;

const CLIENT: End = (POD, 40000);
const SHOWN: End = (EIP, 40000);
const DNS: End = (PEER, 53);

fn snat() -> RuleSet {
    RuleSet::none().snat([10, 0, 0, 0], 8, &[EIP])
}

fn fip() -> RuleSet {
    RuleSet::none().fip(EIP, POD)
}

fn outward() -> Vec<Row> {
    let session = || Flow::snat(UDP, CLIENT, SHOWN, DNS);
    let (fits, big) = (Pkt::udp(CLIENT, DNS).ip_len(EXT_MTU), Pkt::udp(CLIENT, DNS).ip_len(EXT_MTU + 1));
    // The route look-up checks the MTU as well, with four bytes' indulgence for a tag.
    let huge = Pkt::udp(CLIENT, DNS).ip_len(EXT_MTU + 100);
    let unknown = Pkt::udp(CLIENT, (NEIGHBOUR, 53)).ip_len(EXT_MTU + 100);
    vec![
        Row::int_in("as big as the MTU", &fits)
            .rules(snat())
            .before([session()])
            .redirects(&fits.clone().with(SHOWN, DNS).hop(), SnatOut),
        Row::int_in("one byte more, DF: the kernel tells the pod, who must see its own packet", &big)
            .rules(snat())
            .before([session()])
            .passes(PassKernelAnswers),
        Row::int_in("one byte more, may be fragmented: translated, the kernel fragments", &big.clone().may_fragment())
            .rules(snat())
            .before([session()])
            .hands_over(&big.clone().may_fragment().with(SHOWN, DNS), SnatOut),
        Row::int_in("a new flow as big as the MTU", &fits)
            .rules(snat())
            .redirects(&fits.clone().with(SHOWN, DNS).hop(), SnatOut)
            .stat(Created)
            .after([session()]),
        Row::int_in("a new flow that begins too big, DF", &huge)
            .rules(snat())
            .passes(PassKernelAnswers)
            .stat(Created)
            .after([session()]),
        Row::int_in(
            "a new flow that begins too big must not leave with a private source",
            &huge.clone().may_fragment(),
        )
        .rules(snat())
        .hands_over(&huge.clone().may_fragment().with(SHOWN, DNS), SnatOut)
        .stat(Created)
        .after([session()]),
        Row::int_in("the same to a host whose hardware address is not known", &unknown.clone().may_fragment())
            .rules(snat())
            .hands_over(&unknown.may_fragment().with(SHOWN, (NEIGHBOUR, 53)), SnatOut)
            .stat(Created)
            .after([Flow::snat(UDP, CLIENT, SHOWN, (NEIGHBOUR, 53))]),
        Row::int_in("a floating IP, as big as the MTU", &fits)
            .rules(fip())
            .redirects(&fits.with(SHOWN, DNS).hop(), FipOut),
        Row::int_in("a floating IP, too big, DF", &big).rules(fip()).passes(PassKernelAnswers),
        Row::int_in("a floating IP, far too big, DF", &huge).rules(fip()).passes(PassKernelAnswers),
        Row::int_in("a floating IP, too big, may be fragmented", &big.clone().may_fragment())
            .rules(fip())
            .hands_over(&big.may_fragment().with(SHOWN, DNS), FipOut),
        Row::int_in(
            "a floating IP, far too big: it must not leave with a private source",
            &huge.clone().may_fragment(),
        )
        .rules(fip())
        .hands_over(&huge.may_fragment().with(SHOWN, DNS), FipOut),
    ]
}

fn inward() -> Vec<Row> {
    let (fits, big) = (Pkt::udp(DNS, SHOWN).ip_len(INT_MTU), Pkt::udp(DNS, SHOWN).ip_len(INT_MTU + 1));
    let mapped = || RuleSet::none().dnat(UDP, SHOWN, CLIENT);
    vec![
        Row::ext_in("in, as big as the MTU", &fits).rules(fip()).redirects(&fits.with(DNS, CLIENT).hop(), FipIn),
        Row::ext_in("in, too big, DF: the kernel tells the peer, `natgw_ext_out` mends what it says", &big)
            .rules(fip())
            .hands_over(&big.clone().with(DNS, CLIENT), FipIn),
        Row::ext_in("in, too big, may be fragmented", &big.clone().may_fragment())
            .rules(fip())
            .hands_over(&big.clone().may_fragment().with(DNS, CLIENT), FipIn),
        Row::ext_in("in, too big, port mapping", &big)
            .rules(mapped())
            .before([Flow::dnat(UDP, CLIENT, SHOWN, DNS)])
            .hands_over(&big.clone().with(DNS, CLIENT), DnatIn),
    ]
}

pub(crate) fn rows() -> Vec<Row> {
    [outward(), inward()].concat()
}

#[test]
fn packets_too_big_are_left_to_the_kernel_with_the_right_addresses() {
    check_all(&rows());
}
