//! Rewrites a frame byte for byte as the eBPF programs do, step by step in the same order.

use super::frame::Frame;
use crate::{
    checksum::Delta,
    nat::{Action, ErrorPatch, ErrorRewrite, Exit, TransportPatch, Tuple, ip_checksum},
    wire::{Packet, proto},
};

/// The frame that leaves, if one does.
pub(super) fn apply(frame: &Frame, packet: &Packet, action: Action) -> Option<Frame> {
    let mut bytes = frame.0.clone();
    let ttl = |exit| if exit == Exit::Kernel { packet.ip.ttl } else { packet.ip.ttl - 1 };
    match action {
        Action::Pass(_) | Action::Drop(_) => return None,
        Action::Translate { to, exit, .. } => translate(&mut bytes, packet, &to, ttl(exit)),
        Action::TranslateError { to, exit, .. } => translate_error(&mut bytes, packet, &to, ttl(exit)),
    }
    Some(Frame(bytes))
}

fn translate(bytes: &mut [u8], packet: &Packet, to: &Tuple, ttl: u8) {
    let patch = TransportPatch::new(packet, to);
    if let Some(offset) = patch.checksum {
        let at = packet.l4 + offset;
        if patch.addresses != Delta::ZERO {
            update_checksum(bytes, at, patch.addresses, patch.zero_is_none);
        }
        if patch.store.is_some() {
            update_checksum(bytes, at, patch.ports, patch.zero_is_none);
        }
    }
    if let Some((offset, ports)) = patch.store {
        let count = if packet.ip.proto == proto::ICMP { 2 } else { 4 };
        store(bytes, packet.l4 + offset, &ports[..count]);
    }
    store_ip(bytes, packet, to.src, to.dst, ttl);
}

pub(super) fn translate_error(bytes: &mut [u8], packet: &Packet, to: &ErrorRewrite, ttl: u8) {
    let inner = packet.inner(&*bytes).unwrap();
    let patch = ErrorPatch::new(&inner, to);
    update_checksum(bytes, packet.l4 + 2, patch.icmp, false);
    store(bytes, inner.l3 + 10, &patch.ip_checksum);
    store(bytes, inner.l3 + 12, &to.inner.src);
    store(bytes, inner.l3 + 16, &to.inner.dst);
    for (offset, value) in patch.ports.into_iter().flatten().chain(patch.transport_checksum) {
        store(bytes, offset, &value);
    }
    store_ip(bytes, packet, to.src, to.dst, ttl);
}

fn store_ip(bytes: &mut [u8], packet: &Packet, src: [u8; 4], dst: [u8; 4], ttl: u8) {
    store(bytes, packet.l3 + 8, &[ttl]);
    store(bytes, packet.l3 + 10, &ip_checksum(&packet.ip, src, dst, ttl));
    store(bytes, packet.l3 + 12, &src);
    store(bytes, packet.l3 + 16, &dst);
}

/// `bpf_l4_csum_replace` with a size of 0; `zero_is_none` is `BPF_F_MARK_MANGLED_0`.
fn update_checksum(bytes: &mut [u8], at: u32, delta: Delta, zero_is_none: bool) {
    let at = at as usize;
    let old = [bytes[at], bytes[at + 1]];
    if zero_is_none && old == [0, 0] {
        return;
    }
    // The helper gets the folded difference, not the delta itself.
    let [a, b, c, d] = delta.wsum().to_ne_bytes();
    let folded = Delta::ZERO.half([0xff, 0xff], [a, b]).half([0xff, 0xff], [c, d]).apply(old);
    let new = if zero_is_none && folded == [0, 0] { [0xff, 0xff] } else { folded };
    bytes[at..at + 2].copy_from_slice(&new);
}

fn store(bytes: &mut [u8], at: u32, value: &[u8]) {
    let at = at as usize;
    bytes[at..at + value.len()].copy_from_slice(value);
}
