//! Packets of the internal interface.

use super::{
    Env, Exit, Tuple,
    claim::{Ports, Wanted, is_anothers, may_begin},
    hairpin, icmp_error,
    lifetime::{read, touch},
    pool::pick,
};
use crate::{
    abi::{ConfigFlags, Counter, DropReason, FipFlags, FlowKey, Origin, SessionKey},
    tcp_state::Sender,
    wire::{Fragment, Packet, Transport},
};

/// What to do with a packet from the VPC.
#[inline(always)]
pub fn outbound<E: Env>(
    env: &E,
    packet: &Packet,
    read_inner: impl FnOnce() -> Result<crate::wire::Inner, DropReason>,
) -> E::Verdict {
    if packet.ip.fragment != Fragment::No {
        return fragment(env, packet);
    }
    if packet.transport == Transport::IcmpError {
        return match read_inner() {
            Ok(inner) => icmp_error::outbound(env, packet, inner),
            // Inside the VPC it is none of ours.
            Err(_) if env.route(packet) != Exit::External => env.pass(Counter::PassInternal),
            Err(reason) => env.drop(reason),
        };
    }
    let tuple = Tuple::of(packet);
    let flow = tuple.flow_key(packet.ip.proto, packet.transport);
    if let Some((key, origin)) = known(env, &flow, packet.transport) {
        return leave(env, packet, &key, origin);
    }
    let begun =
        if env.eip(packet.ip.dst).is_some() { hairpin::dial(env, packet, tuple) } else { new_flow(env, packet, tuple) };
    let (outside, origin) = match begun {
        Ok(begun) => begun,
        Err(verdict) => return verdict,
    };
    let kind = (packet.ip.proto, packet.transport, Sender::Internal);
    let mut wanted = Wanted::new(env, tuple, outside, kind, origin);
    if !may_begin(packet.transport) {
        // Of a floating IP: it still belongs to the pod's own address, unless the peer knows somebody else by it.
        return if is_anothers(env, &wanted) {
            env.drop(DropReason::NoSession)
        } else {
            leave(env, packet, &wanted.key, origin as u32)
        };
    }
    match env.open(&mut wanted, Ports::Any) {
        Ok(()) => leave(env, packet, &wanted.key, origin as u32),
        Err(reason) => env.drop(reason),
    }
}

/// The live session of an outward packet, now refreshed.
#[inline(always)]
fn known<E: Env>(env: &E, flow: &FlowKey, transport: Transport) -> Option<(SessionKey, u32)> {
    let key = env.flow(flow)?;
    let (cell, fixed) = read(env, &key)?;
    // The index and the record are two maps: believe the record.
    let ours = fixed.int_addr == flow.int_addr
        && fixed.int_port == flow.int_port
        && fixed.peer_addr == flow.peer_addr
        && fixed.peer_port == flow.peer_port;
    (ours && touch(env, cell, flow.proto, transport, Sender::Internal)).then_some((key, fixed.origin))
}

/// Sends a packet of the session `key` on its way.
#[inline(always)]
pub(super) fn leave<E: Env>(env: &E, packet: &Packet, key: &SessionKey, origin: u32) -> E::Verdict {
    let to = Tuple::outward(key);
    let ends_here = packet.ip.ttl <= 1;
    match Origin::from_u32(origin) {
        Some(Origin::Hairpin) if ends_here => env.drop(DropReason::HairpinTtl),
        Some(Origin::Hairpin) => env.translate(to, Counter::HairpinOut, Exit::Internal),
        // The kernel says "time exceeded" to the sender, with the packet as the sender knows it.
        _ if ends_here => env.pass(Counter::PassKernelAnswers),
        Some(Origin::Dnat) => env.translate(to, Counter::DnatOut, Exit::External),
        Some(Origin::Fip) => env.translate(to, Counter::FipOut, Exit::External),
        Some(Origin::Snat) | None => env.translate(to, Counter::SnatOut, Exit::External),
    }
}

/// A packet of no known session that is not for an EIP: how it is to look outside, if it needs a session for that, or
/// must not take the tuple of one.
#[inline(always)]
fn new_flow<E: Env>(env: &E, packet: &Packet, tuple: Tuple) -> Result<(Tuple, Origin), E::Verdict> {
    if env.route(packet) != Exit::External {
        return Err(env.pass(Counter::PassInternal));
    }
    if packet.ip.ttl <= 1 {
        return Err(env.pass(Counter::PassKernelAnswers));
    }
    let (src, origin) = if let Some(fip) = env.fip_out(tuple.src) {
        if !fip.has(FipFlags::Stateful) {
            return Err(env.translate(Tuple { src: fip.addr, ..tuple }, Counter::FipOut, Exit::External));
        }
        (fip.addr, Origin::Fip)
    } else if let Some(eip) = env.snat(tuple.src).and_then(|pool| pick(pool, tuple.src, env.config().port_secret)) {
        (eip, Origin::Snat)
    } else if env.config().has(ConfigFlags::UnmatchedDrop) {
        return Err(env.drop(DropReason::Unmatched));
    } else {
        return Err(env.pass(Counter::PassInternal));
    };
    if origin == Origin::Snat && !may_begin(packet.transport) {
        return Err(env.drop(DropReason::NoSession));
    }
    Ok((Tuple { src, ..tuple }, origin))
}

/// Fragments can be translated where addresses alone decide.
#[inline(always)]
fn fragment<E: Env>(env: &E, packet: &Packet) -> E::Verdict {
    let tuple = Tuple::of(packet);
    if env.eip(tuple.dst).is_some() {
        return hairpin::fragment(env, packet);
    }
    if env.route(packet) != Exit::External {
        return env.pass(Counter::PassInternal);
    }
    if packet.ip.ttl <= 1 {
        return env.pass(Counter::PassKernelAnswers);
    }
    // A first fragment has ports, so it may belong to a session, which the others cannot be matched to.
    let flow = tuple.flow_key(packet.ip.proto, packet.transport);
    if packet.transport != Transport::Other && env.flow(&flow).is_some() {
        return env.drop(DropReason::Fragment);
    }
    if let Some(fip) = env.fip_out(tuple.src) {
        let to = Tuple { src: fip.addr, ..tuple };
        let kind = (packet.ip.proto, packet.transport, Sender::Internal);
        if fip.has(FipFlags::Stateful) && is_anothers(env, &Wanted::new(env, tuple, to, kind, Origin::Fip)) {
            return env.drop(DropReason::Fragment);
        }
        return env.translate(to, Counter::FipOut, Exit::External);
    }
    if env.snat(tuple.src).is_some() {
        return env.drop(DropReason::Fragment);
    }
    if env.config().has(ConfigFlags::UnmatchedDrop) {
        return env.drop(DropReason::Unmatched);
    }
    env.pass(Counter::PassInternal)
}
