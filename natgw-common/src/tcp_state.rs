//! The TCP state of a session: RFC 7857 section 2 (after RFC 6146 section 3.5.2.2), by direction.
//!
//! It decides nothing but idle times: a packet of a known session is translated in every state, because a NAT that
//! filters by state breaks connections it has misread.

/// One packet's part in the handshake. A packet with several flags counts as the first of RST, SYN, FIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpEvent {
    /// SYN set (also SYN-ACK).
    Syn,
    /// FIN set.
    Fin,
    /// RST set.
    Rst,
    /// Anything else.
    Data,
}

/// Which end sent the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The host behind the NAT.
    Internal,
    /// The other end.
    Peer,
}

/// Stored in [`crate::abi::Session::state`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum TcpState {
    /// Only the internal host has sent so far.
    OpeningInternal = 1,
    /// Only the peer has sent so far.
    OpeningPeer = 2,
    /// Both ends have sent.
    Established = 3,
    /// The internal host has sent its FIN.
    FinInternal = 4,
    /// The peer has sent its FIN.
    FinPeer = 5,
    /// Both FINs were seen: `TIME_WAIT` at one of the ends.
    Closed = 6,
    /// An RST was seen after both ends had sent. It may have been forged, so it only shortens the idle time.
    Reset = 7,
    /// The internal host began and the peer has answered; a flood of SYNs alone leaves nothing that lives for hours.
    AnsweredByPeer = 8,
    /// The peer began and the internal host has answered.
    AnsweredByInternal = 9,
}

impl TcpState {
    /// The state after the first packet of a flow. A flow met in its middle (after a reboot) starts here too.
    #[must_use]
    #[inline(always)]
    pub const fn first(sender: Sender) -> Self {
        match sender {
            Sender::Internal => Self::OpeningInternal,
            Sender::Peer => Self::OpeningPeer,
        }
    }

    /// The state stored as `value`.
    #[must_use]
    #[inline(always)]
    pub const fn from_u32(value: u32) -> Option<Self> {
        match value {
            1 => Some(Self::OpeningInternal),
            2 => Some(Self::OpeningPeer),
            3 => Some(Self::Established),
            4 => Some(Self::FinInternal),
            5 => Some(Self::FinPeer),
            6 => Some(Self::Closed),
            7 => Some(Self::Reset),
            8 => Some(Self::AnsweredByPeer),
            9 => Some(Self::AnsweredByInternal),
            _ => None,
        }
    }

    /// The word printed by `natgw sessions`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpeningInternal => "opening-internal",
            Self::OpeningPeer => "opening-peer",
            Self::Established => "established",
            Self::FinInternal => "fin-internal",
            Self::FinPeer => "fin-peer",
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::AnsweredByPeer => "answered-by-peer",
            Self::AnsweredByInternal => "answered-by-internal",
        }
    }

    /// The state after `event` from `sender`.
    #[must_use]
    #[inline(always)]
    pub const fn next(self, event: TcpEvent, sender: Sender) -> Self {
        match self {
            // An RST ends nothing here, whoever sent it, and must not lead to Established by way of Reset: one end alone,
            // refused by the other, could fill the table for hours.
            Self::OpeningInternal => match event {
                TcpEvent::Rst => self,
                TcpEvent::Fin => Self::fin(sender),
                // The other end answers; its own SYN is a simultaneous open (RFC 5382 REQ-2).
                TcpEvent::Syn | TcpEvent::Data => match sender {
                    Sender::Internal => self,
                    Sender::Peer => Self::AnsweredByPeer,
                },
            },
            Self::OpeningPeer => match event {
                TcpEvent::Rst => self,
                TcpEvent::Fin => Self::fin(sender),
                TcpEvent::Syn | TcpEvent::Data => match sender {
                    Sender::Internal => Self::AnsweredByInternal,
                    Sender::Peer => self,
                },
            },
            // Established only when the one who began is heard again: its address is not forged, or the forger works.
            Self::AnsweredByPeer => match event {
                TcpEvent::Rst => Self::Reset,
                TcpEvent::Fin => Self::fin(sender),
                TcpEvent::Syn => self,
                TcpEvent::Data => match sender {
                    Sender::Internal => Self::Established,
                    Sender::Peer => self,
                },
            },
            Self::AnsweredByInternal => match event {
                TcpEvent::Rst => Self::Reset,
                TcpEvent::Fin => Self::fin(sender),
                TcpEvent::Syn => self,
                TcpEvent::Data => match sender {
                    Sender::Internal => self,
                    Sender::Peer => Self::Established,
                },
            },
            // A SYN inside a connection is answered by the end host with a challenge ACK (RFC 5961); it changes nothing.
            Self::Established => match event {
                TcpEvent::Rst => Self::Reset,
                TcpEvent::Fin => Self::fin(sender),
                TcpEvent::Syn | TcpEvent::Data => self,
            },
            // As above: the other end may not have sent anything yet.
            Self::FinInternal => match event {
                TcpEvent::Rst => match sender {
                    Sender::Internal => self,
                    Sender::Peer => Self::Reset,
                },
                TcpEvent::Syn => Self::first(sender),
                TcpEvent::Data => self,
                TcpEvent::Fin => match sender {
                    Sender::Internal => self,
                    Sender::Peer => Self::Closed,
                },
            },
            Self::FinPeer => match event {
                TcpEvent::Rst => match sender {
                    Sender::Internal => Self::Reset,
                    Sender::Peer => self,
                },
                TcpEvent::Syn => Self::first(sender),
                TcpEvent::Data => self,
                TcpEvent::Fin => match sender {
                    Sender::Internal => Self::Closed,
                    Sender::Peer => self,
                },
            },
            // Clients recycle ports faster than sessions expire: a SYN opens the tuple again.
            Self::Closed => match event {
                TcpEvent::Syn => Self::first(sender),
                TcpEvent::Rst | TcpEvent::Fin | TcpEvent::Data => self,
            },
            // RFC 6146 section 3.5.2.2, TRANS: traffic after a (forged) RST makes the session established again.
            Self::Reset => match event {
                TcpEvent::Rst => self,
                TcpEvent::Syn => Self::first(sender),
                TcpEvent::Fin => Self::fin(sender),
                TcpEvent::Data => Self::Established,
            },
        }
    }

    #[inline(always)]
    const fn fin(sender: Sender) -> Self {
        match sender {
            Sender::Internal => Self::FinInternal,
            Sender::Peer => Self::FinPeer,
        }
    }
}

#[cfg(test)]
mod rfc6146;

#[cfg(test)]
mod tests {
    use super::{Sender::*, TcpEvent::*, TcpState::*, *};

    fn walk(start: TcpState, steps: &[(TcpEvent, Sender)]) -> TcpState {
        steps.iter().fold(start, |state, &(event, sender)| state.next(event, sender))
    }

    const ALL: [TcpState; 9] = [
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

    #[test]
    fn handshake_and_orderly_close_from_either_side() {
        assert_eq!(walk(TcpState::first(Internal), &[(Syn, Peer), (Data, Internal)]), Established);
        assert_eq!(walk(TcpState::first(Peer), &[(Syn, Internal), (Data, Peer)]), Established);
        assert_eq!(walk(Established, &[(Fin, Internal), (Data, Peer), (Fin, Peer), (Data, Internal)]), Closed);
        assert_eq!(walk(Established, &[(Fin, Peer), (Fin, Internal), (Data, Peer)]), Closed);
    }

    #[test]
    fn simultaneous_open_establishes() {
        // SYN, SYN, then each end's SYN-ACK, then the first ACK.
        let steps = [(Syn, Peer), (Syn, Internal), (Syn, Peer), (Data, Internal)];
        assert_eq!(walk(TcpState::first(Internal), &steps), Established);
    }

    #[test]
    fn a_syn_flood_and_its_answers_never_establish() {
        let flood = [(Syn, Internal), (Syn, Peer), (Syn, Internal), (Data, Internal)];
        assert_eq!(walk(TcpState::first(Peer), &flood), AnsweredByInternal);
        assert_eq!(walk(AnsweredByInternal, &[(Data, Peer)]), Established);
    }

    #[test]
    fn retransmitted_syns_of_one_side_never_establish() {
        assert_eq!(walk(TcpState::first(Internal), &[(Syn, Internal), (Data, Internal)]), OpeningInternal);
        assert_eq!(walk(TcpState::first(Peer), &[(Syn, Peer), (Data, Peer)]), OpeningPeer);
    }

    #[test]
    fn a_repeated_fin_of_one_side_does_not_close() {
        assert_eq!(walk(Established, &[(Fin, Internal), (Fin, Internal)]), FinInternal);
        assert_eq!(walk(Established, &[(Fin, Peer), (Fin, Peer)]), FinPeer);
    }

    #[test]
    fn a_reset_only_shortens_and_traffic_extends_again() {
        for state in [AnsweredByPeer, Established, FinInternal] {
            assert_eq!(state.next(Rst, Peer), Reset, "{state:?}");
        }
        for state in [AnsweredByInternal, Established, FinPeer] {
            assert_eq!(state.next(Rst, Internal), Reset, "{state:?}");
        }
        assert_eq!(walk(Reset, &[(Rst, Peer), (Data, Internal)]), Established);
    }

    #[test]
    fn a_flow_that_is_refused_stays_one_that_was_never_accepted() {
        let segments = [(Rst, Peer), (Data, Internal), (Rst, Peer), (Syn, Internal)];
        assert_eq!(walk(TcpState::first(Internal), &segments), OpeningInternal);
        assert_eq!(
            walk(
                TcpState::first(Peer),
                &segments.map(|(event, sender)| (event, if sender == Peer { Internal } else { Peer }))
            ),
            OpeningPeer
        );
    }

    #[test]
    fn a_syn_reopens_every_closing_state_but_not_an_established_one() {
        for state in [FinInternal, FinPeer, Closed, Reset] {
            assert_eq!(state.next(Syn, Internal), OpeningInternal, "{state:?}");
            assert_eq!(state.next(Syn, Peer), OpeningPeer, "{state:?}");
        }
        assert_eq!(Established.next(Syn, Peer), Established);
    }

    #[test]
    fn late_packets_never_leave_closed() {
        for event in [Rst, Fin, Data] {
            assert_eq!(Closed.next(event, Peer), Closed);
        }
    }

    #[test]
    fn every_state_survives_the_map() {
        for state in ALL {
            assert_eq!(TcpState::from_u32(state as u32), Some(state));
        }
        assert_eq!(TcpState::from_u32(0), None);
        assert_eq!(TcpState::from_u32(10), None);
    }
}
