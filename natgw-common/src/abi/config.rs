//! `CONFIG`: what the programs need to know besides the rules. One entry, replaced as a whole.

/// Bits of [`Config::flags`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum ConfigFlags {
    /// Translated packets leave through `bpf_redirect_neigh`; without it the kernel routes them (`--redirect off`).
    Redirect = 1 << 0,
    /// VPC packets for the external interface that no rule matches are dropped (`--unmatched drop`).
    UnmatchedDrop = 1 << 1,
}

/// Idle times after which a session may be removed, nanoseconds. Defaults: RFC 5382 REQ-5, RFC 4787 REQ-5,
/// RFC 5508 REQ-2, RFC 7857 section 2.1.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP, both directions seen: RFC 5382 REQ-5, at least 2 h 4 min.
    pub tcp_established_ns: u64,
    /// TCP, only one direction seen: RFC 7857 section 2.1, 4 min.
    pub tcp_opening_ns: u64,
    /// TCP after a FIN: RFC 7857 section 2.1, 4 min.
    pub tcp_closing_ns: u64,
    /// TCP after a RST: RFC 7857 section 2.2, 4 min.
    pub tcp_transitory_ns: u64,
    /// UDP: RFC 4787 REQ-5, 5 min.
    pub udp_ns: u64,
    /// ICMP query: RFC 5508 REQ-2, 60 s.
    pub icmp_ns: u64,
    /// Any other protocol carried by a session.
    pub other_ns: u64,
}

impl Timeouts {
    /// The defaults of the RFCs named above.
    pub const DEFAULT: Self = Self {
        tcp_established_ns: 7_440 * 1_000_000_000,
        tcp_opening_ns: 240 * 1_000_000_000,
        tcp_closing_ns: 240 * 1_000_000_000,
        tcp_transitory_ns: 240 * 1_000_000_000,
        udp_ns: 300 * 1_000_000_000,
        icmp_ns: 60 * 1_000_000_000,
        other_ns: 300 * 1_000_000_000,
    };
}

/// The value of `CONFIG[0]`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// [`ConfigFlags`], or-ed.
    pub flags: u32,
    /// Interface index of the VPC side; 0 until it exists.
    pub int_ifindex: u32,
    /// Interface index of the physical side; 0 until it exists.
    pub ext_ifindex: u32,
    /// Lowest port that SNAT hands out when a flow cannot keep its own, host order.
    pub port_min: u16,
    /// Highest such port, host order, inclusive.
    pub port_max: u16,
    /// Key of the port hash (RFC 6056): drawn once when the map is created and kept over restarts.
    pub port_secret: u64,
    /// Session idle times.
    pub timeouts: Timeouts,
    /// `CLOCK_MONOTONIC` until which no session is opened: while sessions move to maps of another layout, none may be
    /// made behind the copier's back. A moment and not a flag, so that a copier that dies holds nothing up for long.
    pub hold_until_ns: u64,
}

impl Config {
    /// Whether `flag` is set.
    #[must_use]
    #[inline(always)]
    pub const fn has(&self, flag: ConfigFlags) -> bool {
        self.flags & flag as u32 != 0
    }
}
