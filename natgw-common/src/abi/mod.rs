//! The map ABI: the key and value of every pinned map, shared by the eBPF programs and user space.
//!
//! Rules for everything here: `#[repr(C)]`, no implicit padding, no `bool`, `Option` or enum inside, addresses and
//! ports as network-order byte arrays so that `bpftool map dump` reads like the packet. Each type's size and offsets
//! are asserted at compile time in `layout.rs`; a change of any of them is a new [`ABI_VERSION`].
#![expect(clippy::pub_underscore_fields, reason = "padding is part of a layout and must be written")]

mod config;
mod counters;
mod drop_reason;
mod layout;
mod maps;
mod record;
mod rules;
mod session;

pub use config::{Config, ConfigFlags, Timeouts};
pub use counters::{Counter, SessionStat, Traffic};
pub use drop_reason::DropReason;
pub use maps::{ABI_VERSION, MAPS, MapKind, MapSpec, map, program};
pub use record::{AbiRecord, MapLayout, RECORD_MAPS};
pub use rules::{DnatKey, DnatTarget, EipEntry, EipFlags, Fip, FipFlags, SNAT_POOL_MAX, SnatKey, SnatPool};
pub use session::{FlowKey, Origin, QueryRole, Session, SessionKey, SweepItem, SweepOp};
