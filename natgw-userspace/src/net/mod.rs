//! The gateway's side of the kernel's network: namespace, links, addresses, routes, sysctls and announcements.
//!
//! Everything that takes a socket creates it inside the target namespace ([`netns::NetNs::run`]); a socket keeps the
//! namespace it was made in, so it is used from any thread afterwards. Nothing here knows about rules or maps.
//!
//! What natgw creates carries [`PROTO_NATGW`], so that a later run recognises it without a state file.

pub mod addresses;
pub mod announce;
pub mod links;
pub mod netlink;
pub mod netns;
pub mod packet;
pub mod prefix;
pub mod routes;
pub mod sysctl;

pub use netns::{NetNs, NetNsError};
pub use prefix::Prefix;

/// Marks addresses (`IFA_PROTO`, kernel 5.18) and routes (`RTA` protocol) as added by natgw. An unassigned number of
/// `/etc/iproute2/rt_protos`.
pub const PROTO_NATGW: u8 = 157;
