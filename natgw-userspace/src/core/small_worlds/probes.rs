//! The packets whose fate is watched: one of each sort, from each place to each place.

use natgw_common::nat::Tuple;

use super::{
    packets::{Kind, Sent, Side},
    universe::{Addr, EIPS, MAPPED, PEER, PODS},
};

/// An ephemeral port, or the identifier of a query.
pub(super) const EPHEMERAL: u16 = 4000;
const UNMAPPED: u16 = 81;

/// From `src` to `dst`.
pub(super) fn tuple((src, sport): (Addr, u16), (dst, dport): (Addr, u16)) -> Tuple {
    Tuple { src, dst, sport: sport.to_be_bytes(), dport: dport.to_be_bytes() }
}

pub(super) fn mapped() -> u16 {
    u16::from_be_bytes(MAPPED)
}

/// Every packet.
pub(super) fn probes() -> Vec<Sent> {
    let mut all = Vec::new();
    for eip in EIPS {
        inbound(eip, &mut all);
    }
    for pod in PODS {
        outbound(pod, &mut all);
        for eip in EIPS {
            hairpin(pod, eip, &mut all);
        }
    }
    all
}

const SORTS: [Kind; 7] = [Kind::Syn, Kind::Fin, Kind::Udp, Kind::Echo, Kind::EchoReply, Kind::Gre, Kind::FirstPiece];

fn inbound(eip: Addr, all: &mut Vec<Sent>) {
    let from = (PEER, EPHEMERAL);
    all.extend(SORTS.map(|kind| Sent::new(Side::Outside, kind, tuple(from, (eip, mapped())))));
    all.push(Sent::new(Side::Outside, Kind::LaterPiece, tuple(from, (eip, mapped()))));
    all.push(Sent::new(Side::Outside, Kind::Syn, tuple(from, (eip, UNMAPPED))));
    all.push(Sent::error(Side::Outside, PEER, eip, tuple((eip, EPHEMERAL), (PEER, 53))));
}

fn outbound(pod: Addr, all: &mut Vec<Sent>) {
    all.extend(SORTS.map(|kind| Sent::new(Side::Vpc, kind, tuple((pod, EPHEMERAL), (PEER, 443)))));
    all.push(Sent::new(Side::Vpc, Kind::LaterPiece, tuple((pod, EPHEMERAL), (PEER, 443))));
    // As a server answers, from a port that may be mapped.
    all.push(Sent::new(Side::Vpc, Kind::Syn, tuple((pod, mapped()), (PEER, EPHEMERAL))));
    all.push(Sent::error(Side::Vpc, pod, PEER, tuple((PEER, EPHEMERAL), (pod, 53))));
    // Inside the VPC nothing is ever translated.
    let other = if pod == PODS[0] { PODS[1] } else { PODS[0] };
    all.push(Sent::new(Side::Vpc, Kind::Udp, tuple((pod, EPHEMERAL), (other, 53))));
}

fn hairpin(pod: Addr, eip: Addr, all: &mut Vec<Sent>) {
    all.extend(SORTS.map(|kind| Sent::new(Side::Vpc, kind, tuple((pod, EPHEMERAL), (eip, mapped())))));
    all.push(Sent::new(Side::Vpc, Kind::Syn, tuple((pod, EPHEMERAL), (eip, UNMAPPED))));
}
