//! The NAT of natgw and the ABI of its maps.
//!
//! `no_std`, no allocation, no I/O: the same code runs inside the kernel's eBPF programs and in the host's tests.
//! Packets, maps, routes and time come in through small traits; what to do with a packet goes out as a
//! small `Copy` value. Bytes are changed in one place by the caller.
#![cfg_attr(not(any(test, feature = "user")), no_std)]
#![deny(unsafe_code)]

pub mod abi;
