//! The two session maps.
//!
//! `SESSIONS` is keyed by the tuple that must be unique, the one on the external side: inserting it with
//! `BPF_NOEXIST` *is* the port claim. Its value is the one mutable record of the flow. `FLOWS` is the index for the
//! other direction, from the tuple the VPC sees to the key of the session; it holds no state of its own.

/// Who sends the queries of an ICMP session; zero for every other protocol. It keeps a pod's own ping apart from a
/// ping it answers when both use one identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum QueryRole {
    /// Not an ICMP query.
    None = 0,
    /// The internal host asks, the peer answers.
    Internal = 1,
    /// The peer asks, the internal host answers.
    Peer = 2,
}

/// Which rule kind created a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Origin {
    /// An SNAT rule.
    Snat = 1,
    /// A DNAT rule, dialled from outside.
    Dnat = 2,
    /// A floating IP whose flows need a session ([`super::FipFlags::Stateful`]).
    Fip = 3,
    /// A VPC client that dialled an EIP: both ends are translated.
    Hairpin = 4,
}

impl Origin {
    /// The origin with this number, if there is one.
    #[must_use]
    pub const fn from_u32(value: u32) -> Option<Self> {
        match value {
            1 => Some(Self::Snat),
            2 => Some(Self::Dnat),
            3 => Some(Self::Fip),
            4 => Some(Self::Hairpin),
            _ => None,
        }
    }

    /// The word printed by `natgw sessions`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snat => "snat",
            Self::Dnat => "dnat",
            Self::Fip => "fip",
            Self::Hairpin => "hairpin",
        }
    }
}

/// Key of `SESSIONS`: the flow as the external side sees it. Ports are ICMP identifiers for queries, 0 for protocols
/// without ports.
#[repr(C, align(4))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    /// The elastic IP, network order.
    pub ext_addr: [u8; 4],
    /// The other end, network order; behind a hairpin, the pod that was dialled.
    pub peer_addr: [u8; 4],
    /// Port on the elastic IP, network order.
    pub ext_port: [u8; 2],
    /// Port of the other end, network order.
    pub peer_port: [u8; 2],
    /// IP protocol number.
    pub proto: u8,
    /// [`QueryRole`].
    pub role: u8,
    /// Zero.
    pub _pad: [u8; 2],
}

impl SessionKey {
    /// A number that tells one key from another; see [`Session::tag`].
    #[must_use]
    #[inline(always)]
    pub const fn tag(&self) -> u32 {
        let ports = u16::from_ne_bytes(self.ext_port) as u32 | (u16::from_ne_bytes(self.peer_port) as u32) << 16;
        // Rotated, so that equal addresses or swapped ends do not cancel out.
        let addresses = u32::from_ne_bytes(self.ext_addr).rotate_left(8) ^ u32::from_ne_bytes(self.peer_addr);
        // The role at the top: with the identifier at either end it never makes two queries of one number equal.
        addresses ^ ports ^ ((self.proto as u32) << 20) ^ ((self.role as u32) << 28)
    }
}

/// Key of `FLOWS`: the flow as the internal host sees it.
#[repr(C, align(4))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// The internal host, network order.
    pub int_addr: [u8; 4],
    /// The address the internal host talks to, network order; behind a hairpin, the elastic IP it dialled.
    pub peer_addr: [u8; 4],
    /// Port of the internal host, network order.
    pub int_port: [u8; 2],
    /// Port the internal host talks to, network order.
    pub peer_port: [u8; 2],
    /// IP protocol number.
    pub proto: u8,
    /// [`QueryRole`].
    pub role: u8,
    /// Zero.
    pub _pad: [u8; 2],
}

/// Value of `SESSIONS`. `last_seen_ns` and `state` change, each by compare-and-swap; the rest is fixed at creation.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Version of the maps in which it was made.
    #[cfg(feature = "abi-next")]
    pub made_by: u64,
    /// `CLOCK_MONOTONIC` of the last refreshing packet, at most a second stale; with [`Session::DEAD`] set: of its
    /// removal, which is under way.
    pub last_seen_ns: u64,
    /// `CLOCK_MONOTONIC` of the first packet.
    pub created_ns: u64,
    /// TCP: [`crate::tcp_state::TcpState`]; other protocols: 0.
    pub state: u32,
    /// [`SessionKey::tag`] of its key. The kernel reuses the memory of a removed entry at once, so a packet that had
    /// just looked up the old session may read the new one: the tag tells. It stands before the fields it guards
    /// because entries are filled from front to back; readers read it last.
    pub tag: u32,
    /// The internal host, network order.
    pub int_addr: [u8; 4],
    /// The peer as the internal host sees it, network order.
    pub peer_addr: [u8; 4],
    /// Port of the internal host, network order.
    pub int_port: [u8; 2],
    /// Port of the peer as the internal host sees it, network order.
    pub peer_port: [u8; 2],
    /// [`Origin`].
    pub origin: u32,
}

impl Session {
    /// Marks [`Session::last_seen_ns`] of a session that is being removed. (A clock needs 292 years to set it.)
    pub const DEAD: u64 = 1 << 63;

    /// The `FLOWS` key that must point at this session.
    #[must_use]
    #[inline(always)]
    pub const fn flow_key(&self, key: &SessionKey) -> FlowKey {
        FlowKey {
            int_addr: self.int_addr,
            peer_addr: self.peer_addr,
            int_port: self.int_port,
            peer_port: self.peer_port,
            proto: key.proto,
            role: key.role,
            _pad: [0; 2],
        }
    }
}

/// What `natgw_sweep` does with the items it is handed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum SweepOp {
    /// Remove those that are still expired.
    Expired = 1,
    /// Remove them whatever their age: their rule is gone.
    Ended = 2,
}

/// One session proposed for removal. `natgw_sweep` reads, from byte 16 of its input packet, a `u32` [`SweepOp`], a
/// `u32` count and then the items; it re-checks each in the kernel and returns how many it removed.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepItem {
    /// The session.
    pub key: SessionKey,
    /// Its `created_ns`: a younger session under the same key stays.
    pub created_ns: u64,
}
