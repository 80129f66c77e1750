//! A VPC client that dials an EIP of its own gateway: both ends of the flow are translated.
//!
//! The dialled pod sees the EIP that was dialled, or the client's own floating IP (RFC 4787 REQ-9a); its replies come
//! back to the gateway because neither is a VPC address.

use super::{
    Action, Env, Exit, SessionCell, Tuple,
    claim::{Wanted, may_begin, open_any},
    lifetime::touch,
    outbound::leave,
};
use crate::{
    abi::{Counter, DnatKey, DropReason, FipFlags, Origin},
    tcp_state::Sender,
    wire::{Packet, Transport},
};

/// A packet of the internal interface to an EIP, of no session that its sender had begun.
#[inline(always)]
pub(super) fn dial<E: Env>(env: &E, packet: &Packet) -> Action {
    let tuple = Tuple::of(packet);
    if let Some(to) = reply(env, packet, tuple) {
        return if packet.ip.ttl <= 1 {
            Action::Drop(DropReason::HairpinTtl)
        } else {
            Action::Translate { to, count: Counter::HairpinIn, exit: Exit::Internal }
        };
    }
    let fip = env.fip_in(tuple.dst);
    let (target, target_stateful) = if let Some(fip) = fip {
        (Tuple { dst: fip.addr, ..tuple }, fip.has(FipFlags::Stateful))
    } else if let Some(dnat) = env.dnat(&DnatKey::new(tuple.dst, tuple.dport, packet.ip.proto)) {
        (Tuple { dst: dnat.addr, dport: dnat.port, ..tuple }, true)
    } else {
        // The EIP is an address of the gateway: its stack answers pings and resets closed ports.
        return Action::Pass(Counter::PassInternal);
    };
    if packet.ip.ttl <= 1 {
        return Action::Drop(DropReason::HairpinTtl);
    }
    let own = env.fip_out(tuple.src);
    let outside = Tuple { src: own.map_or(tuple.dst, |fip| fip.addr), ..target };
    let stateless = own.is_some_and(|fip| !fip.has(FipFlags::Stateful)) && !target_stateful;
    if stateless {
        return Action::Translate { to: outside, count: Counter::HairpinOut, exit: Exit::Internal };
    }
    if !may_begin(packet.transport) {
        return Action::Drop(DropReason::NoSession);
    }
    let mut wanted =
        Wanted::new(env, tuple, outside, (packet.ip.proto, packet.transport, Sender::Internal), Origin::Hairpin);
    match open_any(env, &mut wanted) {
        Ok(key) => leave(packet, &key, Origin::Hairpin as u8),
        Err(reason) => Action::Drop(reason),
    }
}

/// The dialled pod's reply, as the client must see it.
#[inline(always)]
fn reply<E: Env>(env: &E, packet: &Packet, tuple: Tuple) -> Option<Tuple> {
    let key = tuple.session_key(packet.ip.proto, packet.transport);
    let cell = env.session(&key)?;
    let fixed = cell.fixed();
    // Only a hairpinned session has a peer inside: anything else here is a pod that forged a source.
    (fixed.origin == Origin::Hairpin as u8 && touch(env, cell, key.proto, packet.transport, Sender::Peer))
        .then(|| Tuple::inward(&fixed))
}

/// A fragment to an EIP: between two floating IPs the addresses are enough.
#[inline(always)]
pub(super) fn fragment<E: Env>(env: &E, packet: &Packet) -> Action {
    let tuple = Tuple::of(packet);
    let Some(target) = env.fip_in(tuple.dst) else {
        return if rule_of(env, packet, tuple) {
            Action::Drop(DropReason::Fragment)
        } else {
            Action::Pass(Counter::PassInternal)
        };
    };
    let Some(own) = env.fip_out(tuple.src) else {
        return Action::Drop(DropReason::Fragment);
    };
    if packet.ip.ttl <= 1 {
        return Action::Drop(DropReason::HairpinTtl);
    }
    let to = Tuple { src: own.addr, dst: target.addr, ..tuple };
    Action::Translate { to, count: Counter::HairpinOut, exit: Exit::Internal }
}

/// Whether a first fragment belongs to a session or a port mapping.
#[inline(always)]
fn rule_of<E: Env>(env: &E, packet: &Packet, tuple: Tuple) -> bool {
    packet.transport != Transport::Other
        && (env.session(&tuple.session_key(packet.ip.proto, packet.transport)).is_some()
            || env.dnat(&DnatKey::new(tuple.dst, tuple.dport, packet.ip.proto)).is_some())
}
