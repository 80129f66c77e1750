//! The NAT: what to do with one packet.
//!
//! [`outbound`] judges packets of the internal interface, [`inbound`] those of the external one, [`own_error`] the
//! ICMP errors that the gateway's kernel sends about packets we had translated. Each ends in one
//! [`Action`]; nothing here touches a byte of the packet. Precedence is that of kube-ovn: known session > FIP > DNAT inbound, known
//! session > FIP > SNAT by longest prefix outbound.

mod claim;
mod env;
mod hairpin;
mod icmp_error;
mod inbound;
mod lifetime;
mod outbound;
mod patch;
mod pool;
mod sweep;
#[cfg(test)]
mod tests;
mod tuple;

pub use claim::{Claim, PROBES, Ports, Steal, Wanted, claim, open};
pub use env::{Env, Fixed, Inserted, SessionCell};
pub use icmp_error::own_error;
pub use inbound::inbound;
pub use lifetime::{expired, idle_limit};
pub use outbound::outbound;
pub use patch::{ErrorPatch, TransportPatch, ip_checksum};
pub use pool::pick;
pub use sweep::sweep;
pub use tuple::Tuple;

use crate::abi::{Counter, DropReason};

/// Which way a translated packet leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By the external interface.
    External,
    /// By the internal interface.
    Internal,
    /// The kernel's own forwarding takes it from here, with the TTL it came with.
    Kernel,
}

/// The new addresses and ports of an ICMP error's quoted packet, and of the error itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorRewrite {
    /// New source address of the error.
    pub src: [u8; 4],
    /// New destination address of the error.
    pub dst: [u8; 4],
    /// New addresses and ports of the quoted packet.
    pub inner: Tuple,
}

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Leave it alone: the kernel forwards or answers it.
    Pass(Counter),
    /// Drop it.
    Drop(DropReason),
    /// Give it new addresses and ports.
    Translate {
        /// The new ones.
        to: Tuple,
        /// Where it is counted.
        count: Counter,
        /// Where it leaves.
        exit: Exit,
    },
    /// Rewrite an ICMP error.
    TranslateError {
        /// What it becomes.
        to: ErrorRewrite,
        /// Where it is counted.
        count: Counter,
        /// Where it leaves.
        exit: Exit,
    },
}
