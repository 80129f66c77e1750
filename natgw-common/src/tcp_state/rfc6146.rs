//! Our machine next to the table of RFC 6146 section 3.5.2.2: every state, event and sender, and each difference named.

use super::{Sender::*, TcpEvent::*, TcpState::*, *};

const STATES: [TcpState; 9] = [
    OpeningInternal,
    OpeningPeer,
    Established,
    FinInternal,
    FinPeer,
    Closed,
    Reset,
    AnsweredByPeer,
    AnsweredByInternal,
];
const EVENTS: [TcpEvent; 4] = [Syn, Fin, Rst, Data];
const SENDERS: [Sender; 2] = [Internal, Peer];

const fn other(sender: Sender) -> Sender {
    match sender {
        Internal => Peer,
        Peer => Internal,
    }
}

const fn opening(sender: Sender) -> TcpState {
    TcpState::first(sender)
}

const fn answered(by: Sender) -> TcpState {
    match by {
        Internal => AnsweredByInternal,
        Peer => AnsweredByPeer,
    }
}

/// What the RFC says, in our names: `V6 INIT` and `V4 INIT` are opening, `V4 + V6 FIN RCV` is closed, `TRANS` is reset.
fn of_the_rfc(state: TcpState, event: TcpEvent, sender: Sender) -> TcpState {
    match (state, event) {
        (OpeningInternal, Syn) if sender == Peer => Established,
        (OpeningPeer, Syn) if sender == Internal => Established,
        // The RFC has one state for these and Established.
        (Established | AnsweredByPeer | AnsweredByInternal, Fin) => TcpState::fin(sender),
        (Established | AnsweredByPeer | AnsweredByInternal, Rst) => Reset,
        (FinInternal, Fin) if sender == Peer => Closed,
        (FinPeer, Fin) if sender == Internal => Closed,
        (Reset, Syn | Fin | Data) => Established,
        (state, Syn | Fin | Rst | Data) => state,
    }
}

/// Where we differ, and on purpose.
fn differs_on_purpose(state: TcpState, event: TcpEvent, sender: Sender) -> Option<(&'static str, TcpState)> {
    match (state, event) {
        (OpeningInternal | OpeningPeer, Syn) if state == opening(other(sender)) => {
            Some(("an answer alone does not establish: the opener must be heard again", answered(sender)))
        }
        (OpeningInternal | OpeningPeer, Data) if state == opening(other(sender)) => {
            Some(("a flow met in its middle counts like one that begins", answered(sender)))
        }
        (AnsweredByPeer | AnsweredByInternal, Data) if state == answered(other(sender)) => {
            Some(("the opener is heard again", Established))
        }
        (OpeningInternal | OpeningPeer, Fin) => {
            Some(("its FIN counts though its SYN was missed", TcpState::fin(sender)))
        }
        (FinInternal | FinPeer, Rst) if state == TcpState::fin(other(sender)) => Some(("aborted", Reset)),
        (FinInternal | FinPeer | Closed | Reset, Syn) => {
            Some(("clients recycle ports faster than sessions expire", opening(sender)))
        }
        (Reset, Fin) => Some(("the RST was forged, the FIN counts", TcpState::fin(sender))),
        _ => None,
    }
}

#[test]
fn every_transition_is_that_of_the_rfc_or_a_difference_with_a_reason() {
    for state in STATES {
        for event in EVENTS {
            for sender in SENDERS {
                let expected = of_the_rfc(state, event, sender);
                let ours = state.next(event, sender);
                match differs_on_purpose(state, event, sender) {
                    Some((why, expected)) => assert_eq!(ours, expected, "{state:?} {event:?} {sender:?}: {why}"),
                    None => assert_eq!(ours, expected, "{state:?} {event:?} {sender:?}"),
                }
            }
        }
    }
}

#[test]
fn both_directions_are_treated_alike() {
    let mirror = |state: TcpState| match state {
        OpeningInternal => OpeningPeer,
        OpeningPeer => OpeningInternal,
        FinInternal => FinPeer,
        FinPeer => FinInternal,
        AnsweredByPeer => AnsweredByInternal,
        AnsweredByInternal => AnsweredByPeer,
        Established | Closed | Reset => state,
    };
    for state in STATES {
        for event in EVENTS {
            for sender in SENDERS {
                let mirrored = mirror(state).next(event, other(sender));
                assert_eq!(mirror(state.next(event, sender)), mirrored, "{state:?} {event:?} {sender:?}");
            }
        }
    }
}

/// Every state that `allowed` packets can lead to.
fn reachable(start: TcpState, allowed: &[(TcpEvent, Sender)]) -> Vec<TcpState> {
    let mut seen = vec![start];
    let mut at = 0;
    while at < seen.len() {
        for &(event, sender) in allowed {
            let next = seen[at].next(event, sender);
            if !seen.contains(&next) {
                seen.push(next);
            }
        }
        at += 1;
    }
    seen
}

#[test]
fn one_end_alone_never_gets_beyond_opening_and_its_own_fin() {
    for sender in SENDERS {
        let own = EVENTS.map(|event| (event, sender));
        assert_eq!(reachable(opening(sender), &own), [opening(sender), TcpState::fin(sender)]);
    }
}

#[test]
fn no_state_is_a_dead_end() {
    let all: Vec<_> = EVENTS.iter().flat_map(|&event| SENDERS.map(|sender| (event, sender))).collect();
    for state in STATES {
        assert_eq!(reachable(state, &all).len(), STATES.len(), "{state:?}");
    }
}

#[test]
fn a_closed_connection_stays_closed_whatever_comes_late_but_for_a_syn() {
    let late: Vec<_> = [Fin, Rst, Data].iter().flat_map(|&event| SENDERS.map(|sender| (event, sender))).collect();
    assert_eq!(reachable(Closed, &late), [Closed]);
}

#[test]
fn resets_alone_never_close_a_connection() {
    let resets = [(Rst, Internal), (Rst, Peer), (Data, Internal), (Data, Peer)];
    assert!(!reachable(Established, &resets).contains(&Closed));
    assert_eq!(reachable(Established, &resets), [Established, Reset]);
}
