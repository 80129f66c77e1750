//! The rule maps: written by user space only, read by the programs.

/// Bits of [`EipEntry::flags`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum EipFlags {
    /// A floating IP uses this address.
    Fip = 1 << 0,
    /// At least one DNAT rule uses this address.
    Dnat = 1 << 1,
    /// At least one SNAT rule uses this address.
    Snat = 1 << 2,
}

/// `EIPS`: elastic IP (4 bytes, network order) to what it carries. Presence is what makes an address ours.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EipEntry {
    /// [`EipFlags`], or-ed.
    pub flags: u32,
}

/// Bits of [`Fip::flags`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum FipFlags {
    /// A flow of this mapping needs a session: its EIP also hands out SNAT ports (which must never shadow a flow of
    /// the pod), or, on `FIP_IN`, the pod's outbound address is another, older EIP and replies would take that one, or
    /// the other half of the mapping is being written or removed.
    Stateful = 1 << 0,
}

/// `FIP_IN`: EIP to pod, and `FIP_OUT`: pod to EIP (the oldest, when several EIPs point at one pod).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fip {
    /// The address to translate to, network order.
    pub addr: [u8; 4],
    /// [`FipFlags`], or-ed.
    pub flags: u32,
}

impl Fip {
    /// Whether `flag` is set.
    #[must_use]
    #[inline(always)]
    pub const fn has(&self, flag: FipFlags) -> bool {
        self.flags & flag as u32 != 0
    }
}

/// Key of `DNAT`: the identity of a port mapping.
#[repr(C, align(4))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnatKey {
    /// Zero.
    #[cfg(feature = "abi-next")]
    pub zone: [u8; 4],
    /// Elastic IP, network order.
    pub eip: [u8; 4],
    /// External port, network order.
    pub port: [u8; 2],
    /// IP protocol number: 6 or 17.
    pub proto: u8,
    /// Zero.
    pub _pad: u8,
}

impl DnatKey {
    /// The key of `proto` on `eip`:`port`.
    #[must_use]
    #[inline(always)]
    pub const fn new(eip: [u8; 4], port: [u8; 2], proto: u8) -> Self {
        Self {
            #[cfg(feature = "abi-next")]
            zone: [0; 4],
            eip,
            port,
            proto,
            _pad: 0,
        }
    }
}

/// Value of `DNAT`.
#[repr(C, align(4))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DnatTarget {
    /// Pod address, network order.
    pub addr: [u8; 4],
    /// Pod port, network order.
    pub port: [u8; 2],
    /// Zero.
    pub _pad: [u8; 2],
}

impl DnatTarget {
    /// The target `addr`:`port`.
    #[must_use]
    #[inline(always)]
    pub const fn new(addr: [u8; 4], port: [u8; 2]) -> Self {
        Self { addr, port, _pad: [0; 2] }
    }
}

/// Key of `SNAT` as the kernel's LPM trie wants it (`struct bpf_lpm_trie_key`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnatKey {
    /// Prefix length in bits, host order.
    pub prefix_len: u32,
    /// Source network, network order, host bits zero.
    pub addr: [u8; 4],
}

/// How many EIPs one CIDR's pool can hold.
pub const SNAT_POOL_MAX: usize = 16;

/// Value of `SNAT`: the EIPs of one source CIDR, oldest first; a source sticks to one of them.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnatPool {
    /// How many of `eips` are used, 1 to [`SNAT_POOL_MAX`].
    pub count: u32,
    /// Elastic IPs, network order; unused ones are zero.
    pub eips: [[u8; 4]; SNAT_POOL_MAX],
}
