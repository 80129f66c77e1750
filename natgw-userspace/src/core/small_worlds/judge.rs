//! Whether a packet in the middle of a change was treated as before it or as after it.

use natgw_common::{
    abi::{Counter, DnatKey, DropReason},
    nat::{Action, Exit, Tuple},
};

use super::{
    packets::{Sent, Side},
    universe::{Addr, MAPPED},
};
use crate::core::plan::Actual;

/// What can be said of one packet in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Judgement {
    /// As before or as after, to the last bit.
    OldOrNew,
    /// As before or as after but for the source port: the sender's own is a mapped port of the EIP, which SNAT
    /// never hands out, and the mapping comes earlier or goes later than the SNAT rule.
    OtherPort,
    /// Left to the gateway's own stack: it was sent from inside to an EIP that only one of the two worlds has, at a
    /// moment when the EIP is there and its rules are not. Its address is on the interface all that time, so no order
    /// of map writes would treat it otherwise.
    OwnStack,
    /// Hairpinned with each end as before or as after: what the client looks like and whom the EIP leads to are
    /// entries of two maps, which cannot change together. It reaches a pod that the EIP leads to in one of the two
    /// worlds, from an address that stands for the client in one of them.
    Halves,
    /// Dropped on its way between the same two ends: one that cannot begin a flow (a FIN, an answer, a fragment) and
    /// belongs to none, when either end needs sessions, as half a floating IP does.
    HalvesDropped,
    /// None of these.
    Wrong,
}

/// The fate of `sent` before, now and after.
pub(super) fn judge(sent: &Sent, [from, to]: [&Actual; 2], [old, now, new]: [Action; 3]) -> Judgement {
    if now == old || now == new {
        return Judgement::OldOrNew;
    }
    if [old, new].iter().any(|end| differ_in_a_reserved_port(sent, now, *end)) {
        return Judgement::OtherPort;
    }
    let tuple = Tuple::of(&sent.packet);
    let eip = tuple.dst;
    if sent.side != Side::Vpc || !(from.eips.contains_key(&eip) || to.eips.contains_key(&eip)) {
        return Judgement::Wrong;
    }
    match now {
        Action::Pass(Counter::PassInternal) if from.eips.contains_key(&eip) != to.eips.contains_key(&eip) => {
            Judgement::OwnStack
        }
        Action::Translate { to: now, count: Counter::HairpinOut, exit: Exit::Internal } => {
            let looks_right = [from, to].iter().any(|maps| identity(maps, tuple) == now.src);
            let leads_right = [from, to].iter().any(|maps| target(maps, sent) == Some((now.dst, now.dport)));
            if looks_right && leads_right { Judgement::Halves } else { Judgement::Wrong }
        }
        Action::Drop(DropReason::NoSession | DropReason::Fragment)
            if [from, to].iter().any(|maps| target(maps, sent).is_some()) =>
        {
            Judgement::HalvesDropped
        }
        Action::Pass(_) | Action::Drop(_) | Action::Translate { .. } | Action::TranslateError { .. } => {
            Judgement::Wrong
        }
    }
}

fn differ_in_a_reserved_port(sent: &Sent, now: Action, end: Action) -> bool {
    let without_port = |action| match action {
        Action::Translate { to, count: count @ Counter::SnatOut, exit } => {
            Some(Action::Translate { to: Tuple { sport: MAPPED, ..to }, count, exit })
        }
        Action::Pass(_) | Action::Drop(_) | Action::Translate { .. } | Action::TranslateError { .. } => None,
    };
    sent.packet.sport == MAPPED && without_port(now).is_some() && without_port(now) == without_port(end)
}

/// What the client looks like to the pod that it dials.
fn identity(maps: &Actual, dial: Tuple) -> Addr {
    maps.fip_out.get(&dial.src).map_or(dial.dst, |own| own.addr)
}

/// Whom the EIP leads to.
fn target(maps: &Actual, dial: &Sent) -> Option<(Addr, [u8; 2])> {
    let Tuple { dst, dport, .. } = Tuple::of(&dial.packet);
    let fip = maps.fip_in.get(&dst).map(|fip| (fip.addr, dport));
    let dnat = || maps.dnat.get(&DnatKey::new(dst, dport, dial.packet.ip.proto));
    fip.or_else(|| dnat().map(|target| (target.addr, target.port)))
}
