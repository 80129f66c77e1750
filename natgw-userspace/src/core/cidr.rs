//! IPv4 networks as values that sort and print; addresses are network-order byte arrays as in the map ABI.

use std::{fmt, net::Ipv4Addr};

use serde::{Serialize, Serializer};

/// An IPv4 network: host bits are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ipv4Cidr {
    addr: [u8; 4],
    prefix_len: u8,
}

impl Ipv4Cidr {
    /// The network of `addr` with `prefix_len` bits; host bits are masked. `None` for more than 32 bits.
    #[must_use]
    pub fn new(addr: [u8; 4], prefix_len: u8) -> Option<Self> {
        if prefix_len > 32 {
            return None;
        }
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix_len)).unwrap_or(0);
        let network = u32::from_be_bytes(addr) & mask;
        Some(Self { addr: network.to_be_bytes(), prefix_len })
    }

    /// The network address, network order.
    #[must_use]
    pub const fn addr(self) -> [u8; 4] {
        self.addr
    }

    /// Bits of the prefix, 0 to 32.
    #[must_use]
    pub const fn prefix_len(self) -> u8 {
        self.prefix_len
    }

    /// The broadcast address; networks of one or two addresses have none.
    #[must_use]
    pub fn broadcast(self) -> Option<[u8; 4]> {
        let hosts = u32::MAX.checked_shr(u32::from(self.prefix_len)).unwrap_or(0);
        (hosts > 1).then(|| (u32::from_be_bytes(self.addr) | hosts).to_be_bytes())
    }

    /// Whether `addr` lies in this network.
    #[must_use]
    pub fn contains(self, addr: [u8; 4]) -> bool {
        Self::new(addr, self.prefix_len) == Some(self)
    }
}

impl fmt::Display for Ipv4Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.addr), self.prefix_len)
    }
}

impl Serialize for Ipv4Cidr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_masked_at_every_length() {
        for (len, want) in [(0, "0.0.0.0/0"), (8, "10.0.0.0/8"), (24, "10.1.2.0/24"), (31, "10.1.2.2/31")] {
            assert_eq!(Ipv4Cidr::new([10, 1, 2, 3], len).map(|c| c.to_string()).as_deref(), Some(want));
        }
        assert_eq!(Ipv4Cidr::new([10, 1, 2, 3], 32).map(|c| c.to_string()).as_deref(), Some("10.1.2.3/32"));
        assert_eq!(Ipv4Cidr::new([10, 1, 2, 3], 33), None);
    }

    #[test]
    fn a_network_contains_its_hosts_and_no_others() {
        let net = Ipv4Cidr::new([10, 0, 1, 0], 24).expect("24 bits");
        assert!(net.contains([10, 0, 1, 255]));
        assert!(!net.contains([10, 0, 2, 0]));
    }
}
