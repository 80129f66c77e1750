//! Where the server listens: `--listen ADDRESS:PORT` or `off`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use serde::Deserialize;
use thiserror::Error;

/// Where it listens when nothing else is said. Only processes of the same network namespace reach it.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9808);

/// Whether and where health and metrics are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Listen {
    /// Nobody has said: [`DEFAULT_LISTEN`], and if that is taken, nowhere.
    #[default]
    Default,
    /// Nowhere.
    Off,
    /// Here or not at all.
    At(SocketAddr),
}

/// It is neither an address nor `off`.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not an address with a port (127.0.0.1:9808, [::1]:9808) or `off`")]
pub struct ListenError(String);

impl Listen {
    /// The address; `None` when it is off.
    #[must_use]
    pub const fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Default => Some(DEFAULT_LISTEN),
            Self::Off => None,
            Self::At(address) => Some(address),
        }
    }
}

/// Where a client on the same host finds a server that listens on `address`.
#[must_use]
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At).map_err(|_| ListenError(text.to_owned()))
    }
}

impl TryFrom<String> for Listen {
    type Error = ListenError;

    fn try_from(text: String) -> Result<Self, ListenError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_off_are_understood_and_everything_else_is_explained() {
        assert_eq!("off".parse(), Ok(Listen::Off));
        assert_eq!("127.0.0.1:9808".parse(), Ok(Listen::At(DEFAULT_LISTEN)));
        assert_eq!("[::]:80".parse(), Ok(Listen::At("[::]:80".parse().unwrap())));
        for wrong in ["", "on", ":9808", "9808", "127.0.0.1", "localhost:9808", "127.0.0.1:65536", "::1:80"] {
            let error = wrong.parse::<Listen>().expect_err(wrong).to_string();
            assert!(error.contains(&format!("`{wrong}`")) && error.contains("127.0.0.1:9808"), "{error}");
        }
    }

    #[test]
    fn a_server_on_every_address_is_found_on_loopback() {
        for (listens, found) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("192.0.2.1:1", "192.0.2.1:1")] {
            assert_eq!(reachable(listens.parse().unwrap()), found.parse().unwrap());
        }
    }
}
