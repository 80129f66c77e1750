//! A VPC client that dials an EIP of its own gateway: both ends of the flow are translated.
//!
//! The dialled pod sees the EIP that was dialled, or the client's own floating IP (RFC 4787 REQ-9a); its replies come
//! back to the gateway because neither is a VPC address.

use super::{
    Env, Exit, Tuple,
    claim::may_begin,
    lifetime::{read, touch},
};
use crate::{
    abi::{Counter, DnatKey, DropReason, FipFlags, Origin},
    tcp_state::Sender,
    wire::{Packet, Transport},
};

/// A packet of the internal interface to an EIP, of no session that its sender had begun: how it is to look to the
/// pod that was dialled, if it needs a session for that, or must not take the tuple of one.
#[inline(always)]
pub(super) fn dial<E: Env>(env: &E, packet: &Packet, tuple: Tuple) -> Result<(Tuple, Origin), E::Verdict> {
    let ends_here = packet.ip.ttl <= 1;
    if let Some(to) = reply(env, packet, tuple) {
        return Err(if ends_here {
            env.drop(DropReason::HairpinTtl)
        } else {
            env.translate(to, Counter::HairpinIn, Exit::Internal)
        });
    }
    let fip = env.fip_in(tuple.dst);
    let target = if let Some(fip) = fip {
        Tuple { dst: fip.addr, ..tuple }
    } else if let Some(dnat) = env.dnat(&DnatKey::new(tuple.dst, tuple.dport, packet.ip.proto)) {
        Tuple { dst: dnat.addr, dport: dnat.port, ..tuple }
    } else {
        // The EIP is an address of the gateway: its stack answers pings and resets closed ports.
        return Err(env.pass(Counter::PassInternal));
    };
    if ends_here {
        return Err(env.drop(DropReason::HairpinTtl));
    }
    let own = env.fip_out(tuple.src);
    let outside = Tuple { src: own.map_or(tuple.dst, |own| own.addr), ..target };
    if let (Some(own), Some(fip)) = (own, fip) {
        if !own.has(FipFlags::Stateful) && !fip.has(FipFlags::Stateful) {
            return Err(env.translate(outside, Counter::HairpinOut, Exit::Internal));
        }
    } else if !may_begin(packet.transport) {
        return Err(env.drop(DropReason::NoSession));
    }
    Ok((outside, Origin::Hairpin))
}

/// The dialled pod's reply, as the client must see it.
#[inline(always)]
fn reply<E: Env>(env: &E, packet: &Packet, tuple: Tuple) -> Option<Tuple> {
    let key = tuple.session_key(packet.ip.proto, packet.transport);
    let (cell, fixed) = read(env, &key)?;
    // Only a hairpinned session has a peer inside: anything else here is a pod that forged a source.
    (fixed.origin == Origin::Hairpin as u32 && touch(env, cell, key.proto, packet.transport, Sender::Peer))
        .then(|| Tuple::inward(&fixed))
}

/// A fragment to an EIP: between two floating IPs the addresses are enough.
#[inline(always)]
pub(super) fn fragment<E: Env>(env: &E, packet: &Packet) -> E::Verdict {
    let tuple = Tuple::of(packet);
    let Some(target) = env.fip_in(tuple.dst) else {
        return if rule_of(env, packet, tuple) {
            env.drop(DropReason::Fragment)
        } else {
            env.pass(Counter::PassInternal)
        };
    };
    let Some(own) = env.fip_out(tuple.src) else {
        return env.drop(DropReason::Fragment);
    };
    if packet.ip.ttl <= 1 {
        return env.drop(DropReason::HairpinTtl);
    }
    let to = Tuple { src: own.addr, dst: target.addr, ..tuple };
    env.translate(to, Counter::HairpinOut, Exit::Internal)
}

/// Whether a first fragment belongs to a session or a port mapping.
#[inline(always)]
fn rule_of<E: Env>(env: &E, packet: &Packet, tuple: Tuple) -> bool {
    packet.transport != Transport::Other
        && (env.session(&tuple.session_key(packet.ip.proto, packet.transport)).is_some()
            || env.dnat(&DnatKey::new(tuple.dst, tuple.dport, packet.ip.proto)).is_some())
}
