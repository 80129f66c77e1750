//! Layer `restart`: the daemon dies, is replaced, finds other rules; packets are in flight and each one is counted. The
//! modules are the rows of the recovery table, with a directory as the source; the layer `recovery` has a cluster.
#![allow(missing_docs, reason = "a test binary documents nothing")]

mod r10_new_abi;
mod r11_random_kills;
mod r11_unfinished_removal;
mod r12_handover;
mod r13_stale_flows;
mod r1_killed;
mod r6_changed_while_down;
mod r8_bad_objects;
mod r9_refused;
mod r9_upgrade;
