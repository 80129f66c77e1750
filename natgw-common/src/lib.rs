//! The NAT of natgw and the ABI of its maps.
//!
//! `no_std`, no allocation, no I/O: the same code runs inside the kernel's eBPF programs and in the host's tests.
//! Packets, maps, routes and randomness come in through small traits ([`wire::PacketRead`], [`nat::Env`]); what to do
//! with a packet goes out as a small `Copy` value ([`nat::Action`]). Bytes are changed in one place by the caller.
#![cfg_attr(not(any(test, feature = "user")), no_std)]
#![deny(unsafe_code)]
#![expect(clippy::inline_always, reason = "eBPF before 5.x has no calls and every frame counts against 512 bytes")]

pub mod abi;
pub mod checksum;
pub mod nat;
pub mod tcp_state;
pub mod wire;
