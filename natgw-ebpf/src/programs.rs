//! The entry points.

use aya_ebpf::{bindings::TC_ACT_UNSPEC, macros::classifier, programs::TcContext};
use natgw_common::{
    abi::{DropReason, SweepItem, SweepOp},
    nat,
    wire::{Packet, PacketRead, Transport},
};

use crate::{
    apply::{apply, drop, translate_error},
    decision::Decision,
    env::Kernel,
    skb::{ETH_LEN, Skb},
};

/// `ETH_P_IP` as the context shows it, in network order.
const ETH_P_IP: u32 = 0x0800u16.to_be() as u32;
/// `PACKET_HOST`: for us, not flooded, not somebody else's.
const PACKET_HOST: u32 = 0;
/// VLAN identifier bits of a tag; identifier 0 is only a priority.
const VLAN_ID: u32 = 0x0fff;
/// Most items of one `natgw_sweep` call.
const SWEEP_MAX: u32 = 64;
const SWEEP_HEADER: u32 = 24;

/// TC ingress of the internal interface.
#[classifier]
fn natgw_int_in(ctx: TcContext) -> i32 {
    let skb = Skb(ctx.skb.skb);
    let mut decision = Decision::NONE;
    let Some((env, packet)) = ours(skb, &raw mut decision) else { return TC_ACT_UNSPEC };
    match packet {
        Ok(packet) => {
            nat::outbound(&env, &packet, || packet.inner(&skb));
            apply(&env, skb, &packet, &decision)
        }
        Err(reason) => drop(reason, skb.len() - ETH_LEN),
    }
}

/// TC ingress of the external interface.
#[classifier]
fn natgw_ext_in(ctx: TcContext) -> i32 {
    let skb = Skb(ctx.skb.skb);
    let mut decision = Decision::NONE;
    let Some((env, packet)) = ours(skb, &raw mut decision) else { return TC_ACT_UNSPEC };
    match packet {
        Ok(packet) => {
            nat::inbound(&env, &packet, || packet.inner(&skb));
            apply(&env, skb, &packet, &decision)
        }
        Err(reason) => drop(reason, skb.len() - ETH_LEN),
    }
}

/// TC egress of the external interface: ICMP errors made by this machine, about packets it had seen translated.
#[classifier]
fn natgw_ext_out(ctx: TcContext) -> i32 {
    let skb = Skb(ctx.skb.skb);
    // A packet that came in by an interface was judged there.
    if skb.ctx().ingress_ifindex != 0 || skb.ctx().protocol != ETH_P_IP {
        return TC_ACT_UNSPEC;
    }
    let Some(env) = Kernel::new(skb, core::ptr::null_mut()) else { return TC_ACT_UNSPEC };
    if let Ok(packet) = Packet::parse(&skb, ETH_LEN)
        && packet.transport == Transport::IcmpError
        && let Ok(inner) = packet.inner(&skb)
        && let Some(to) = nat::own_error(&env, &packet, inner)
        && translate_error(skb, &packet, &inner, &to, packet.ip.ttl).is_err()
    {
        return drop(DropReason::RewriteFailed, packet.ip_len);
    }
    TC_ACT_UNSPEC
}

/// Removes proposed sessions; see [`SweepItem`] for the input. Returns how many it removed.
#[classifier]
fn natgw_sweep(ctx: TcContext) -> i32 {
    let skb = Skb(ctx.skb.skb);
    let Some([op, count]) = skb.words::<2>(SWEEP_HEADER - 8) else { return 0 };
    let mut removed = 0;
    let mut i = 0;
    while i < SWEEP_MAX {
        if i >= count {
            break;
        }
        let Some(item) = item(skb, i) else { break };
        removed += natgw_sweep_one(&raw const item, op) as i32;
        i += 1;
    }
    removed
}

/// [`nat::sweep`] of one item, as a global function: the verifier checks it once, not 64 times.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn natgw_sweep_one(item: *const SweepItem, op: u32) -> u32 {
    // SAFETY: the verifier holds callers to a pointer to a whole `SweepItem`, or null.
    let Some(item) = (unsafe { item.as_ref() }) else { return 0 };
    // For a key that the helpers of Linux 6.1 take, as in `env::natgw_claim`.
    let item = &{ *item };
    let Some(env) = Kernel::without_packet() else { return 0 };
    let op = if op == SweepOp::Expired as u32 {
        SweepOp::Expired
    } else if op == SweepOp::Ended as u32 {
        SweepOp::Ended
    } else {
        return 0;
    };
    u32::from(nat::sweep(&env, op, item))
}

#[inline(always)]
fn item(skb: Skb, index: u32) -> Option<SweepItem> {
    let words = skb.words::<6>(SWEEP_HEADER + index * size_of::<SweepItem>() as u32)?;
    // SAFETY: both are 24 bytes of plain data, and SweepItem's alignment is that of its first field's copy below.
    Some(unsafe { core::ptr::read_unaligned(words.as_ptr().cast()) })
}

/// The packet, if it is one to judge: IPv4, for this machine, not of another VLAN.
#[inline(always)]
fn ours(skb: Skb, decision: *mut Decision) -> Option<(Kernel, Result<Packet, DropReason>)> {
    let ctx = skb.ctx();
    if ctx.protocol != ETH_P_IP || ctx.pkt_type != PACKET_HOST {
        return None;
    }
    if ctx.vlan_present != 0 && ctx.vlan_tci & VLAN_ID != 0 {
        return None;
    }
    let env = Kernel::new(skb, decision)?;
    Some((env, Packet::parse(&skb, ETH_LEN)))
}

/// The helpers used are GPL-only; the programs are licensed under either.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
