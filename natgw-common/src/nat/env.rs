//! What the NAT needs from outside: maps, routes, randomness. The eBPF programs give the kernel's, the tests their own.

use crate::{
    abi::{
        Config, Counter, DnatKey, DnatTarget, DropReason, EipEntry, Fip, FlowKey, Session, SessionKey, SessionStat,
        SnatPool,
    },
    nat::{
        ErrorRewrite, Exit, Tuple,
        claim::{Claim, Ports, Steal, Wanted, claim, open},
    },
    wire::Packet,
};

/// The outcome of an insertion that must not overwrite (`BPF_NOEXIST`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// The key is ours.
    Yes,
    /// Somebody has it already.
    Exists,
    /// The map is full.
    Full,
}

/// The part of a [`Session`] that never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed {
    /// The internal host.
    pub int_addr: [u8; 4],
    /// The peer as the internal host sees it.
    pub peer_addr: [u8; 4],
    /// Port of the internal host.
    pub int_port: [u8; 2],
    /// Port of the peer as the internal host sees it.
    pub peer_port: [u8; 2],
    /// [`crate::abi::Origin`] as stored.
    pub origin: u32,
}

/// A session inside its map.
pub trait SessionCell: Copy {
    /// [`Session::last_seen_ns`] as stored.
    fn last_seen_ns(self) -> u64;
    /// Replaces `last_seen_ns` if it still is `old`.
    fn swap_last_seen(self, old: u64, new: u64) -> bool;
    /// When it was created.
    fn created_ns(self) -> u64;
    /// Its TCP state as stored.
    fn state(self) -> u32;
    /// Replaces the state if it still is `old`.
    fn swap_state(self, old: u32, new: u32) -> bool;
    /// The rest.
    fn fixed(self) -> Fixed;
    /// Its tag, read after everything read before.
    fn tag(self) -> u32;
}

/// The world around the NAT.
pub trait Env {
    /// A session in `SESSIONS`.
    type Cell: SessionCell;
    /// What a decision becomes: [`crate::nat::Action`] in the tests. Each leaf of the decision calls one of the four
    /// functions below, instead of returning one large enum: merged by the compiler, its variants share stack slots
    /// that hold a pointer on one path and a number on another, which the verifier refuses.
    type Verdict;

    /// Leave the packet alone: the kernel forwards or answers it.
    fn pass(&self, count: Counter) -> Self::Verdict;
    /// Drop the packet.
    fn drop(&self, reason: DropReason) -> Self::Verdict;
    /// Give the packet new addresses and ports.
    fn translate(&self, to: Tuple, count: Counter, exit: Exit) -> Self::Verdict;
    /// Rewrite an ICMP error and the packet it quotes.
    fn translate_error(&self, to: ErrorRewrite, count: Counter, exit: Exit) -> Self::Verdict;

    /// The configuration.
    fn config(&self) -> &Config;
    /// Nanoseconds of `CLOCK_MONOTONIC`, coarse; never 0.
    fn now(&self) -> u64;
    /// An unpredictable number.
    fn random(&self) -> u32;
    /// Which way the kernel would forward `packet`.
    fn route(&self, packet: &Packet) -> Exit;

    /// Looks up `EIPS`.
    fn eip(&self, addr: [u8; 4]) -> Option<EipEntry>;
    /// Looks up `FIP_IN`.
    fn fip_in(&self, eip: [u8; 4]) -> Option<Fip>;
    /// Looks up `FIP_OUT`.
    fn fip_out(&self, pod: [u8; 4]) -> Option<Fip>;
    /// Looks up `DNAT`.
    fn dnat(&self, key: &DnatKey) -> Option<DnatTarget>;
    /// Looks up `SNAT` by longest prefix.
    fn snat(&self, src: [u8; 4]) -> Option<&SnatPool>;

    /// Looks up `SESSIONS`.
    fn session(&self, key: &SessionKey) -> Option<Self::Cell>;
    /// As [`Env::session`], in a claim: in the kernel the key lies in the argument of a global function there.
    #[inline(always)]
    fn claimed(&self, key: &SessionKey) -> Option<Self::Cell> {
        self.session(key)
    }
    /// Looks up `FLOWS`. By value: the kernel reuses the memory of an entry as soon as it is removed, so what was
    /// judged must be what is used.
    fn flow(&self, key: &FlowKey) -> Option<SessionKey>;
    /// Claims `key` in `SESSIONS`.
    fn insert_session(&self, key: &SessionKey, value: &Session) -> Inserted;
    /// Claims `key` in `FLOWS`.
    fn insert_flow(&self, key: &FlowKey, value: &SessionKey) -> Inserted;
    /// Removes from `SESSIONS`.
    fn remove_session(&self, key: &SessionKey);
    /// Removes from `FLOWS`.
    fn remove_flow(&self, key: &FlowKey);
    /// Claims an external tuple. The kernel's environment makes it a global function, which the verifier checks once
    /// instead of once per probe.
    #[inline(always)]
    fn claim(&self, wanted: &mut Wanted, steal: Steal) -> Claim
    where
        Self: Sized,
    {
        claim(self, wanted, steal)
    }

    /// Opens a session; a global function in the kernel, as [`Env::claim`].
    ///
    /// # Errors
    ///
    /// Why the flow is refused.
    #[inline(always)]
    fn open(&self, wanted: &mut Wanted, ports: Ports) -> Result<(), DropReason>
    where
        Self: Sized,
    {
        open(self, wanted, ports)
    }

    /// Counts a session event.
    fn count(&self, stat: SessionStat);
}
