//! Layer `netns`: real packets between real namespaces, one module per theme.
//!
//! `NATGW_TEST_DATAPLANE=iptables` runs it against kube-ovn's kind of gateway instead (see `natgw_tests::oracle`).
#![allow(missing_docs, reason = "a test binary documents nothing")]

mod announce;
mod bad_input;
mod concurrency;
mod dnat;
mod fip;
mod hairpin;
mod icmp;
mod kernels;
mod modes;
mod mtu;
mod precedence;
mod snat;
mod support;
mod vlan_macvlan;
