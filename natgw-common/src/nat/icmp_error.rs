//! ICMP errors about translated packets (RFC 5508 section 4.2): both headers are translated, type and code stay.
//!
//! An error neither refreshes nor ends a session (RFC 5508 REQ-6, RFC 5382 REQ-10).

use super::{Env, ErrorRewrite, Exit, Tuple, lifetime::read};
use crate::{
    abi::{ConfigFlags, Counter, DropReason, Origin},
    wire::{Inner, Packet},
};

/// An error from outside about a packet that left with an EIP as its source.
#[inline(always)]
pub(super) fn inbound<E: Env>(env: &E, packet: &Packet, inner: Inner) -> E::Verdict {
    let exit = if packet.ip.ttl <= 1 { Exit::Kernel } else { Exit::Internal };
    let quoted = Tuple::of_inner(&inner);
    // An error goes to the one who sent what it quotes (RFC 792); anything else is forged.
    if quoted.src != packet.ip.dst {
        return env.pass(Counter::PassExternal);
    }
    let session = read(env, &quoted.reversed().session_key(inner.ip.proto, reply_to(inner)))
        .map(|(_, fixed)| fixed)
        .filter(|fixed| fixed.origin != Origin::Hairpin as u32);
    let to = if let Some(fixed) = session {
        let inner = Tuple::inward(&fixed).reversed();
        ErrorRewrite { src: packet.ip.src, dst: inner.src, inner }
    } else if let Some(fip) = env.fip_in(quoted.src) {
        ErrorRewrite { src: packet.ip.src, dst: fip.addr, inner: Tuple { src: fip.addr, ..quoted } }
    } else {
        return env.pass(Counter::PassExternal);
    };
    env.translate_error(to, Counter::IcmpErrorIn, exit)
}

/// An error from the VPC: about a packet that came from outside, or about a hairpinned one.
#[inline(always)]
pub(super) fn outbound<E: Env>(env: &E, packet: &Packet, inner: Inner) -> E::Verdict {
    if let Some((to, origin)) = about_delivered(env, inner) {
        let hairpin = origin == Some(Origin::Hairpin);
        return leave(env, packet, to, if hairpin { Exit::Internal } else { Exit::External });
    }
    if env.eip(packet.ip.dst).is_some() {
        return hairpin(env, packet, inner);
    }
    if env.route(packet) != Exit::External {
        return env.pass(Counter::PassInternal);
    }
    let quoted = Tuple::of_inner(&inner);
    if let Some(fip) = env.fip_out(quoted.dst) {
        // As in `inbound`: only to the one who sent what it quotes.
        if quoted.src != packet.ip.dst {
            return env.drop(DropReason::IcmpErrorNoSession);
        }
        let to = ErrorRewrite { src: fip.addr, dst: packet.ip.dst, inner: Tuple { dst: fip.addr, ..quoted } };
        return leave(env, packet, to, Exit::External);
    }
    if env.snat(quoted.dst).is_some() || env.snat(packet.ip.src).is_some() || env.fip_out(packet.ip.src).is_some() {
        return env.drop(DropReason::IcmpErrorNoSession);
    }
    if env.config().has(ConfigFlags::UnmatchedDrop) {
        return env.drop(DropReason::Unmatched);
    }
    env.pass(Counter::PassInternal)
}

/// An ICMP error that the gateway's own kernel sends out of the external interface. Those about a packet that had
/// been translated towards the VPC get the addresses that its sender knows; `None` for all others.
#[must_use]
#[inline(always)]
pub fn own_error<E: Env>(env: &E, packet: &Packet, inner: Inner) -> Option<ErrorRewrite> {
    if let Some((to, _)) = about_delivered(env, inner) {
        return Some(to);
    }
    let quoted = Tuple::of_inner(&inner);
    // The quoted packet is one that had been translated to a pod; an EIP as its destination was never translated.
    let fip = env.fip_out(quoted.dst)?;
    Some(ErrorRewrite { src: fip.addr, dst: packet.ip.dst, inner: Tuple { dst: fip.addr, ..quoted } })
}

/// The error as the peer must see it, when the quoted packet is one that a session had delivered into the VPC.
#[inline(always)]
fn about_delivered<E: Env>(env: &E, inner: Inner) -> Option<(ErrorRewrite, Option<Origin>)> {
    let quoted = Tuple::of_inner(&inner);
    let flow = quoted.reversed().flow_key(inner.ip.proto, reply_to(inner));
    let key = env.flow(&flow)?;
    let (_, fixed) = read(env, &key)?;
    if fixed.int_addr != flow.int_addr || fixed.int_port != flow.int_port {
        return None;
    }
    let to = ErrorRewrite { src: key.ext_addr, dst: key.peer_addr, inner: Tuple::outward(&key).reversed() };
    Some((to, Origin::from_u32(fixed.origin)))
}

/// An error sent to an EIP from inside: about a hairpinned packet on its way to the dialled pod.
#[inline(always)]
fn hairpin<E: Env>(env: &E, packet: &Packet, inner: Inner) -> E::Verdict {
    let quoted = Tuple::of_inner(&inner);
    let session = read(env, &quoted.reversed().session_key(inner.ip.proto, reply_to(inner)))
        .map(|(_, fixed)| fixed)
        .filter(|fixed| fixed.origin == Origin::Hairpin as u32);
    let to = if let Some(fixed) = session {
        let inner = Tuple::inward(&fixed).reversed();
        ErrorRewrite { src: fixed.peer_addr, dst: inner.src, inner }
    } else {
        // Between two floating IPs.
        let Some(client) = env.fip_in(quoted.src) else { return env.pass(Counter::PassInternal) };
        let Some(server) = env.fip_out(quoted.dst) else { return env.pass(Counter::PassInternal) };
        let inner = Tuple { src: client.addr, dst: server.addr, ..quoted };
        ErrorRewrite { src: server.addr, dst: client.addr, inner }
    };
    leave(env, packet, to, Exit::Internal)
}

#[inline(always)]
fn leave<E: Env>(env: &E, packet: &Packet, to: ErrorRewrite, exit: Exit) -> E::Verdict {
    match exit {
        Exit::Internal if packet.ip.ttl <= 1 => env.drop(DropReason::HairpinTtl),
        // An error about an error is never sent (RFC 1812 section 4.3.2.7): the kernel drops it.
        Exit::External | Exit::Kernel if packet.ip.ttl <= 1 => env.pass(Counter::PassKernelAnswers),
        Exit::Internal | Exit::External | Exit::Kernel => env.translate_error(to, Counter::IcmpErrorOut, exit),
    }
}

/// The transport of the packet that would answer the quoted one: it selects the same session.
#[inline(always)]
const fn reply_to(inner: Inner) -> crate::wire::Transport {
    use crate::wire::Transport;
    match inner.transport {
        Transport::QueryRequest => Transport::QueryReply,
        Transport::QueryReply => Transport::QueryRequest,
        Transport::Tcp(_) | Transport::Udp | Transport::IcmpError | Transport::Other => inner.transport,
    }
}
