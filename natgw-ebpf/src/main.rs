//! The eBPF programs.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(core_intrinsics))]

#[cfg(not(target_arch = "bpf"))]
fn main() {}
