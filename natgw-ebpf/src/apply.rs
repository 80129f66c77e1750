//! Carries out what the NAT decided: rewrites the packet and sends it off.

use aya_ebpf::{
    bindings::{BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, TC_ACT_SHOT, TC_ACT_UNSPEC},
    helpers::generated::{bpf_check_mtu, bpf_redirect_neigh, bpf_skb_vlan_pop},
};
use natgw_common::{
    abi::{ConfigFlags, Counter, DropReason},
    nat::{Env, ErrorPatch, ErrorRewrite, TransportPatch, Tuple, ip_checksum},
    wire::{Inner, Packet},
};

use crate::{
    decision::{Decision, Kind},
    env::Kernel,
    skb::{HelperFailed, Skb},
};

/// Every IPv4 link carries this much (RFC 791); smaller packets need no MTU check.
const ALWAYS_FITS: u32 = 576;
/// `BPF_MTU_CHK_SEGS`: check the segments of a GSO packet. Without it every GSO packet fits; for others it changes
/// nothing. Counting segments does not tell which is which: a guest's or a tap's packet has a segment size and no count.
const CHECK_SEGMENTS: u64 = 1;

/// Does what was decided; returns the verdict.
#[inline(always)]
pub(crate) fn apply(env: &Kernel, skb: Skb, packet: &Packet, decision: &Decision) -> i32 {
    match decision.kind {
        kind if kind == Kind::Translate as u32 || kind == Kind::TranslateError as u32 => {}
        kind if kind == Kind::Drop as u32 => {
            Kernel::dropped(decision.number, packet.ip_len);
            return TC_ACT_SHOT;
        }
        _ => {
            Kernel::traffic(decision.number, packet.ip_len);
            return TC_ACT_UNSPEC;
        }
    }
    let Some(exit) = way_out(env, skb, packet, decision.ifindex) else {
        Kernel::traffic(Counter::PassKernelAnswers as u32, packet.ip_len);
        return TC_ACT_UNSPEC;
    };
    let ttl = if exit == 0 { packet.ip.ttl } else { packet.ip.ttl - 1 };
    let rewritten = if decision.kind == Kind::Translate as u32 {
        translate(skb, packet, &decision.tuple(), ttl)
    } else {
        match packet.inner(&skb) {
            Ok(inner) => translate_error(skb, packet, &inner, &decision.error(), ttl),
            Err(_) => Err(HelperFailed),
        }
    };
    if rewritten.is_err() {
        return drop(DropReason::RewriteFailed, packet.ip_len);
    }
    Kernel::traffic(decision.number, packet.ip_len);
    if exit == 0 {
        return TC_ACT_UNSPEC;
    }
    if skb.ctx().vlan_present != 0 {
        // A priority tag (VLAN 0) means nothing on the next link.
        // SAFETY: no pointer into the packet is used after this.
        unsafe { bpf_skb_vlan_pop(skb.0) };
    }
    // SAFETY: no parameters: the kernel looks up the next hop itself.
    unsafe { bpf_redirect_neigh(exit, core::ptr::null_mut(), 0, 0) as i32 }
}

/// Drops a packet and counts why.
#[inline(always)]
pub(crate) fn drop(reason: DropReason, bytes: u32) -> i32 {
    Kernel::dropped(reason as u32, bytes);
    TC_ACT_SHOT
}

/// The interface to leave by, 0 for the kernel's own forwarding; `None` if the kernel must answer the sender, who has
/// to see its own packet in that answer.
#[inline(always)]
fn way_out(env: &Kernel, skb: Skb, packet: &Packet, ifindex: u32) -> Option<u32> {
    if ifindex == 0 {
        return Some(0);
    }
    let config = env.config();
    if packet.ip_len > ALWAYS_FITS && !fits(skb, ifindex) {
        // Towards the VPC the kernel's answer is mended by `natgw_ext_out`.
        return if ifindex == config.ext_ifindex && packet.ip.dont_fragment { None } else { Some(0) };
    }
    Some(if config.has(ConfigFlags::Redirect) { ifindex } else { 0 })
}

#[inline(always)]
fn fits(skb: Skb, ifindex: u32) -> bool {
    let mut mtu = 0u32;
    // SAFETY: `mtu` outlives the call.
    unsafe { bpf_check_mtu(skb.0.cast(), ifindex, &raw mut mtu, 0, CHECK_SEGMENTS) == 0 }
}

#[inline(always)]
fn translate(skb: Skb, packet: &Packet, to: &Tuple, ttl: u8) -> Result<(), HelperFailed> {
    let patch = TransportPatch::new(packet, to);
    if let Some(offset) = patch.checksum {
        let at = packet.l4 + offset;
        let zero = if patch.zero_is_none { u64::from(BPF_F_MARK_MANGLED_0) } else { 0 };
        // The kernel keeps only the pseudo-header's part in a CHECKSUM_PARTIAL packet: two calls, not one.
        if patch.addresses != natgw_common::checksum::Delta::ZERO {
            skb.update_checksum(at, patch.addresses.wsum(), zero | u64::from(BPF_F_PSEUDO_HDR))?;
        }
        if patch.store.is_some() {
            skb.update_checksum(at, patch.ports.wsum(), zero)?;
        }
    }
    if let Some((offset, bytes)) = patch.store {
        if packet.ip.proto == natgw_common::wire::proto::ICMP {
            skb.store(packet.l4 + offset, [bytes[0], bytes[1]])?;
        } else {
            skb.store_ports(packet.l4 + offset, bytes)?;
        }
    }
    let checksum = ip_checksum(&packet.ip, to.src, to.dst, ttl);
    skb.store_ip((ttl, packet.ip.proto), checksum, to.src, to.dst)
}

#[inline(always)]
pub(crate) fn translate_error(
    skb: Skb,
    packet: &Packet,
    inner: &Inner,
    to: &ErrorRewrite,
    ttl: u8,
) -> Result<(), HelperFailed> {
    let patch = ErrorPatch::new(inner, to);
    skb.update_checksum(packet.l4 + 2, patch.icmp.wsum(), 0)?;
    skb.store(inner.l3 + 10, patch.ip_checksum)?;
    skb.store(inner.l3 + 12, to.inner.src)?;
    skb.store(inner.l3 + 16, to.inner.dst)?;
    if let Some((offset, bytes)) = patch.ports[0] {
        skb.store(offset, bytes)?;
    }
    if let Some((offset, bytes)) = patch.ports[1] {
        skb.store(offset, bytes)?;
    }
    if let Some((offset, bytes)) = patch.transport_checksum {
        skb.store(offset, bytes)?;
    }
    let checksum = ip_checksum(&packet.ip, to.src, to.dst, ttl);
    skb.store_ip((ttl, packet.ip.proto), checksum, to.src, to.dst)
}
