//! Packets of the external interface.

use super::{
    Env, Exit, Tuple,
    claim::{Ports, Wanted, may_begin},
    icmp_error,
    lifetime::{read, touch},
};
use crate::{
    abi::{Counter, DnatKey, DropReason, FipFlags, Origin},
    tcp_state::Sender,
    wire::{Fragment, Packet, Transport},
};

/// What to do with a packet from outside.
#[inline(always)]
pub fn inbound<E: Env>(
    env: &E,
    packet: &Packet,
    read_inner: impl FnOnce() -> Result<crate::wire::Inner, DropReason>,
) -> E::Verdict {
    if packet.ip.fragment != Fragment::No {
        return fragment(env, packet);
    }
    if packet.transport == Transport::IcmpError {
        return match read_inner() {
            Ok(inner) => icmp_error::inbound(env, packet, inner),
            // Not about anything of ours; the kernel discards it as well.
            Err(_) => env.pass(Counter::PassExternal),
        };
    }
    let tuple = Tuple::of(packet);
    let key = tuple.session_key(packet.ip.proto, packet.transport);
    if let Some((cell, fixed)) = read(env, &key) {
        // A hairpinned session has its peer inside: from outside its tuple can only be forged.
        if fixed.origin != Origin::Hairpin as u32 && touch(env, cell, key.proto, packet.transport, Sender::Peer) {
            return arrive(env, packet, Tuple::inward(&fixed), Origin::from_u32(fixed.origin));
        }
    }
    new_flow(env, packet, tuple)
}

#[inline(always)]
fn new_flow<E: Env>(env: &E, packet: &Packet, tuple: Tuple) -> E::Verdict {
    let (to, origin) = if let Some(fip) = env.fip_in(tuple.dst) {
        let to = Tuple { dst: fip.addr, ..tuple };
        if !fip.has(FipFlags::Stateful) || !may_begin(packet.transport) {
            return arrive(env, packet, to, Some(Origin::Fip));
        }
        (to, Origin::Fip)
    } else if let Some(target) = dnat(env, packet, tuple) {
        if !may_begin(packet.transport) {
            return env.drop(DropReason::NoSession);
        }
        (Tuple { dst: target.addr, dport: target.port, ..tuple }, Origin::Dnat)
    } else {
        return env.pass(Counter::PassExternal);
    };
    let mut wanted =
        Wanted::new(env, to.reversed(), tuple.reversed(), (packet.ip.proto, packet.transport, Sender::Peer), origin);
    match env.open(&mut wanted, Ports::Exact) {
        Ok(()) => arrive(env, packet, to, Some(origin)),
        Err(reason) => env.drop(reason),
    }
}

#[inline(always)]
fn dnat<E: Env>(env: &E, packet: &Packet, tuple: Tuple) -> Option<crate::abi::DnatTarget> {
    match packet.transport {
        Transport::Tcp(_) | Transport::Udp => env.dnat(&DnatKey::new(tuple.dst, tuple.dport, packet.ip.proto)),
        Transport::QueryRequest | Transport::QueryReply | Transport::IcmpError | Transport::Other => None,
    }
}

/// Sends a packet into the VPC. One whose TTL ends here is left to the kernel, which tells the sender; what it says
/// is put right by [`super::own_error`].
#[inline(always)]
fn arrive<E: Env>(env: &E, packet: &Packet, to: Tuple, origin: Option<Origin>) -> E::Verdict {
    let exit = if packet.ip.ttl <= 1 { Exit::Kernel } else { Exit::Internal };
    let count = match origin {
        Some(Origin::Fip) => Counter::FipIn,
        Some(Origin::Dnat) => Counter::DnatIn,
        Some(Origin::Snat | Origin::Hairpin) | None => Counter::SnatIn,
    };
    env.translate(to, count, exit)
}

/// Fragments can be translated where addresses alone decide.
#[inline(always)]
fn fragment<E: Env>(env: &E, packet: &Packet) -> E::Verdict {
    let tuple = Tuple::of(packet);
    // A later fragment has no ports to look for; without its first one no host completes the datagram.
    let has_ports = packet.transport != Transport::Other;
    let key = tuple.session_key(packet.ip.proto, packet.transport);
    if has_ports && env.session(&key).is_some() {
        return env.drop(DropReason::Fragment);
    }
    if let Some(fip) = env.fip_in(tuple.dst) {
        return arrive(env, packet, Tuple { dst: fip.addr, ..tuple }, Some(Origin::Fip));
    }
    if has_ports && dnat(env, packet, tuple).is_some() {
        env.drop(DropReason::Fragment)
    } else {
        env.pass(Counter::PassExternal)
    }
}
