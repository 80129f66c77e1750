//! The decision about one packet, in memory.
//!
//! It is written by real calls: a call takes its arguments from registers, so every path has to have them, and the
//! compiler cannot merge paths into one store of a value that some of them never made.

use natgw_common::nat::{ErrorRewrite, Tuple};

/// What to do.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Kind {
    /// Nothing was decided, or: leave it to the kernel.
    Pass = 0,
    /// Drop it.
    Drop = 1,
    /// Rewrite addresses and ports.
    Translate = 2,
    /// Rewrite an ICMP error.
    TranslateError = 3,
}

/// What to do, and with what.
#[repr(C)]
pub(crate) struct Decision {
    /// [`Kind`].
    pub(crate) kind: u32,
    /// The counter or the drop reason.
    pub(crate) number: u32,
    /// The interface to leave by; 0 for the kernel's own forwarding.
    pub(crate) ifindex: u32,
    /// Ports of the packet or of the quoted one: source in the low half, as they lie in memory.
    ports: u32,
    /// Addresses: source in the low half, as they lie in memory.
    outer: u64,
    /// Addresses of the quoted packet.
    inner: u64,
}

impl Decision {
    /// Before anything is decided.
    pub(crate) const NONE: Self = Self { kind: 0, number: 0, ifindex: 0, ports: 0, outer: 0, inner: 0 };

    /// The new tuple of the packet.
    #[inline(always)]
    pub(crate) fn tuple(&self) -> Tuple {
        tuple(self.outer, self.ports)
    }

    /// The new addresses of an ICMP error and of the packet it quotes.
    #[inline(always)]
    pub(crate) fn error(&self) -> ErrorRewrite {
        let outer = tuple(self.outer, 0);
        ErrorRewrite { src: outer.src, dst: outer.dst, inner: tuple(self.inner, self.ports) }
    }
}

/// Notes what to do: [`Kind`] in the high half of `what`, the counter or drop reason in the low one. One call and not
/// several, because a return costs 5 ns on CPUs that guard them (SRSO).
#[inline(never)]
pub(crate) extern "C" fn decide(decision: *mut Decision, what: u32, ifindex: u32, outer: u64, ports: u32) {
    // SAFETY: the one caller is the program that owns the decision on its stack.
    unsafe {
        (*decision).kind = what >> 16;
        (*decision).number = what & 0xffff;
        (*decision).ifindex = ifindex;
        (*decision).outer = outer;
        (*decision).ports = ports;
    }
}

/// Notes the addresses of a quoted packet.
#[inline(never)]
pub(crate) extern "C" fn decide_inner(decision: *mut Decision, inner: u64) {
    // SAFETY: as in `decide`.
    unsafe { (*decision).inner = inner };
}

/// The first argument of [`decide`].
#[inline(always)]
pub(crate) const fn what(kind: Kind, number: u32) -> u32 {
    (kind as u32) << 16 | number
}

/// Both addresses in one register.
#[inline(always)]
pub(crate) fn addresses(src: [u8; 4], dst: [u8; 4]) -> u64 {
    u64::from(u32::from_ne_bytes(src)) | u64::from(u32::from_ne_bytes(dst)) << 32
}

/// Both ports in one register.
#[inline(always)]
pub(crate) fn ports(of: Tuple) -> u32 {
    u32::from(u16::from_ne_bytes(of.sport)) | u32::from(u16::from_ne_bytes(of.dport)) << 16
}

#[inline(always)]
fn tuple(addresses: u64, ports: u32) -> Tuple {
    Tuple {
        src: (addresses as u32).to_ne_bytes(),
        dst: ((addresses >> 32) as u32).to_ne_bytes(),
        sport: (ports as u16).to_ne_bytes(),
        dport: ((ports >> 16) as u16).to_ne_bytes(),
    }
}
