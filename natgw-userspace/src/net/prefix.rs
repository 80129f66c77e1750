//! An IPv4 prefix, always with its host bits cleared.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use serde::{Deserialize, Deserializer, de};
use thiserror::Error;

/// `a.b.c.d/n` that could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not an IPv4 prefix; write it like 203.0.113.0/24")]
pub struct PrefixError(String);

/// An IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    network: Ipv4Addr,
    len: u8,
}

impl Prefix {
    /// Every address.
    pub const ANY: Self = Self { network: Ipv4Addr::UNSPECIFIED, len: 0 };

    /// The network of `len` bits that contains `addr`; a length over 32 counts as 32.
    #[must_use]
    pub fn containing(addr: Ipv4Addr, len: u8) -> Self {
        let len = len.min(32);
        Self { network: Ipv4Addr::from_bits(addr.to_bits() & mask(len)), len }
    }

    /// The first address.
    #[must_use]
    pub const fn network(self) -> Ipv4Addr {
        self.network
    }

    /// Bits of the prefix.
    #[must_use]
    pub const fn prefix_len(self) -> u8 {
        self.len
    }

    /// Whether `addr` belongs to it.
    #[must_use]
    pub fn contains(self, addr: Ipv4Addr) -> bool {
        addr.to_bits() & mask(self.len) == self.network.to_bits()
    }
}

fn mask(len: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0)
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.len)
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (addr, len) = text.split_once('/')?;
            let len: u8 = len.parse().ok().filter(|len| *len <= 32)?;
            Some(Self::containing(addr.parse().ok()?, len))
        };
        parse().ok_or_else(|| PrefixError(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_cleared_and_edges_hold() {
        let prefix: Prefix = "203.0.113.77/24".parse().expect("valid");
        assert_eq!(prefix.to_string(), "203.0.113.0/24");
        assert!(prefix.contains("203.0.113.255".parse().expect("valid")));
        assert!(!prefix.contains("203.0.114.0".parse().expect("valid")));
        assert!("0.0.0.0/0".parse::<Prefix>().expect("valid").contains(Ipv4Addr::BROADCAST));
        assert_eq!(Prefix::containing(Ipv4Addr::new(1, 2, 3, 4), 32).network(), Ipv4Addr::new(1, 2, 3, 4));
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for text in ["", "1.2.3.4", "1.2.3.4/33", "1.2.3/8", "1.2.3.4/x", "::1/64"] {
            let error = text.parse::<Prefix>().expect_err(text);
            assert!(error.to_string().contains("203.0.113.0/24"), "{error}");
        }
    }
}
