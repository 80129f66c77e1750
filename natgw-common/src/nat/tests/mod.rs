//! The NAT against a host's fakes: every test sends real frames through the decision and the byte-level applier, and
//! every frame that leaves has each of its checksums verified.
//!
//! `world` is the fake kernel (maps, clock, routes), `rules` the rules of kube-ovn, `frame` builds and prints packets,
//! `apply` rewrites them, `verify` checks checksums, `gateway` joins all of it, `schedule` runs two CPUs step by step.

mod apply;
mod frame;
mod gateway;
mod rules;
mod schedule;
mod verify;
mod world;

mod begin;
mod claims;
mod dnat;
mod fip;
mod fragments;
mod full;
mod hairpin;
mod hold;
mod icmp_error_in;
mod icmp_error_out;
mod icmp_query;
mod lifetimes;
mod model;
mod pools;
mod ports;
mod precedence;
mod races;
mod round_trip;
mod sweeping;
mod ttl;
