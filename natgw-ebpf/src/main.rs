//! The eBPF programs of natgw: glue between the kernel and `natgw_common::nat`, which does the thinking.
//!
//! `natgw_int_in` and `natgw_ext_in` sit at TC ingress of the two interfaces and do the whole job there;
//! `natgw_ext_out` at TC egress only mends the gateway's own ICMP errors; `natgw_sweep` is never attached, user space
//! runs it to remove sessions. Packets that are not ours get `TC_ACT_UNSPEC`, so that other programs see them too.
#![cfg_attr(
    target_arch = "bpf",
    no_std,
    no_main,
    feature(core_intrinsics),
    allow(internal_features, reason = "atomics"),
    expect(clippy::inline_always, reason = "every BPF frame counts against 512 bytes"),
    expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "sizes of small types and packed registers: halves are cut off on purpose"
    ),
    expect(clippy::needless_pass_by_value, reason = "the signature that aya's macro calls")
)]

#[cfg(target_arch = "bpf")]
mod apply;
#[cfg(target_arch = "bpf")]
mod atomics;
#[cfg(target_arch = "bpf")]
mod cell;
#[cfg(target_arch = "bpf")]
mod decision;
#[cfg(target_arch = "bpf")]
mod env;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod programs;
#[cfg(target_arch = "bpf")]
mod skb;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// On the host this crate is an empty program: `cargo clippy --workspace` needs no eBPF toolchain.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
