//! Layer `recovery`: whatever is lost around a gateway, no EIP is. Node, container, namespace and API server go away and
//! come back, with packets in flight. The modules are the rows of the recovery table.
#![allow(missing_docs, reason = "a test binary documents nothing")]

mod ground;
mod p9_latency;
mod r10_new_abi;
mod r11_random_kills;
mod r12_handover;
mod r13_stale_flows;
mod r1_killed;
mod r2_reboot;
mod r2_scale;
mod r3_made_again;
mod r4_interface;
mod r5_unreachable;
mod r6_changed_while_down;
mod r7_drift;
mod r8_bad_objects;
mod r9_upgrade;
mod scale;
