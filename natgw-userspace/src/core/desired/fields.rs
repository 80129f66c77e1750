//! From raw field text to values, each failure with its reason and its fix.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::core::{
    cidr::Ipv4Cidr,
    diagnostic::{Diagnostic, Reason, Severity},
    objects::{Object, ObjectKey},
    printable::shortened,
};

/// What is wrong with one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) reason: Reason,
    pub(super) message: String,
    pub(super) fix: String,
}

impl Problem {
    pub(super) fn new(reason: Reason, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { reason, message: shortened(message.into()), fix: shortened(fix.into()) }
    }
}

/// Collects diagnostics.
#[derive(Debug, Default)]
pub(super) struct Report {
    diagnostics: Vec<Diagnostic>,
}

impl Report {
    pub(super) fn error(&mut self, object: &ObjectKey, field: &str, problem: Problem) {
        self.push(Severity::Error, object, field, problem);
    }

    pub(super) fn warning(&mut self, object: &ObjectKey, field: &str, problem: Problem) {
        self.push(Severity::Warning, object, field, problem);
    }

    fn push(&mut self, severity: Severity, object: &ObjectKey, field: &str, problem: Problem) {
        let Problem { reason, message, fix } = problem;
        let object = Some(object.clone());
        self.diagnostics.push(Diagnostic {
            severity,
            reason,
            object,
            field: field.to_owned(),
            message,
            fix,
            location: None,
        });
    }

    /// The value of a required field, or `None` after saying what is wrong with it.
    pub(super) fn required<'a, T>(
        &mut self,
        object: &Object,
        field: &str,
        raw: Option<&'a str>,
        example: &str,
        parse: impl FnOnce(&'a str) -> Result<T, Problem>,
    ) -> Option<T> {
        let parsed = raw.map_or_else(
            || {
                Err(Problem::new(
                    Reason::MissingField,
                    "required, but not set",
                    format!("set it, for example {example}"),
                ))
            },
            parse,
        );
        parsed.map_err(|problem| self.error(&object.key, field, problem)).ok()
    }

    /// Everything said, by object.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        Self::sort(&mut self.diagnostics);
        self.diagnostics
    }

    /// Brings what was said by several into its order.
    pub(super) fn sort(diagnostics: &mut [Diagnostic]) {
        diagnostics.sort_by(|a, b| (&a.object, &a.field, a.reason).cmp(&(&b.object, &b.field, b.reason)));
    }
}

/// A host's IPv4 address.
pub(super) fn address(raw: &str) -> Result<[u8; 4], Problem> {
    let addr: Ipv4Addr = raw.parse().map_err(|_| not_an_address(raw))?;
    let what = match addr {
        _ if addr.octets()[0] == 0 => "an unspecified",
        _ if addr.is_loopback() => "a loopback",
        _ if addr.is_multicast() => "a multicast",
        _ if addr.is_broadcast() => "the broadcast",
        _ => return Ok(addr.octets()),
    };
    Err(Problem::new(Reason::InvalidAddress, format!("`{raw}` is {what} address"), "give the address of one host"))
}

fn not_an_address(raw: &str) -> Problem {
    let host = raw.split_once('/').map_or(raw, |(host, _)| host);
    if host.parse::<Ipv6Addr>().is_ok() {
        return ipv6(raw);
    }
    let fix = if host != raw && host.parse::<Ipv4Addr>().is_ok() {
        format!("give one address: `{host}`")
    } else {
        "write four numbers from 0 to 255, such as 10.0.1.2".to_owned()
    };
    Problem::new(Reason::InvalidAddress, format!("`{raw}` is not an IPv4 address"), fix)
}

fn ipv6(raw: &str) -> Problem {
    Problem::new(Reason::Unsupported, format!("`{raw}` is IPv6, which is not translated"), "give IPv4")
}

/// A network and whether its text had host bits set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) cidr: Ipv4Cidr,
    pub(super) host_bits: bool,
}

impl Network {
    /// The warning for host bits, if there are any.
    pub(super) fn host_bits_problem(self, raw: &str) -> Option<Problem> {
        let cidr = self.cidr;
        self.host_bits.then(|| {
            Problem::new(
                Reason::HostBitsSet,
                format!("`{raw}` has host bits set; read as `{cidr}`"),
                format!("write `{cidr}`, or a longer prefix"),
            )
        })
    }
}

/// An IPv4 network; one address is a /32.
pub(super) fn network(raw: &str) -> Result<Network, Problem> {
    let invalid = |fix: &str| Problem::new(Reason::InvalidCidr, format!("`{raw}` is not an IPv4 network"), fix);
    if raw.contains(',') {
        return Err(invalid("give one network; the others need rules of their own"));
    }
    let (host, len) = raw.split_once('/').unwrap_or((raw, "32"));
    if host.parse::<Ipv6Addr>().is_ok() {
        return Err(ipv6(raw));
    }
    let shape = "write it as address/length, such as 10.0.1.0/24";
    let addr: Ipv4Addr = host.parse().map_err(|_| invalid(shape))?;
    let len = number(len).filter(|len| *len <= 32).ok_or_else(|| invalid("give a prefix length from 0 to 32"))?;
    let cidr =
        u8::try_from(len).ok().and_then(|len| Ipv4Cidr::new(addr.octets(), len)).ok_or_else(|| invalid(shape))?;
    let network = Ipv4Addr::from(cidr.addr());
    // 0.0.0.0/0 is every source; any other network that begins in 0/8, 127/8 or 224/4 lies within it.
    let everything = cidr.prefix_len() == 0;
    if !everything && (cidr.addr()[0] == 0 || network.is_loopback() || network.is_multicast() || network.is_broadcast())
    {
        return Err(Problem::new(
            Reason::InvalidCidr,
            format!("`{raw}` holds no address that a host can have"),
            "give the network of the hosts",
        ));
    }
    Ok(Network { cidr, host_bits: cidr.addr() != addr.octets() })
}

/// A port, 1 to 65535.
pub(super) fn port(raw: &str) -> Result<u16, Problem> {
    let invalid = |fix: &str| Problem::new(Reason::InvalidPort, format!("`{raw}` is not a port"), fix);
    if let Some(port) = number(raw).and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0) {
        return Ok(port);
    }
    let mut parts = raw.split(['-', ':', ',']).peekable();
    let is_list = parts.next().is_some_and(|first| number(first).is_some()) && parts.peek().is_some();
    Err(invalid(if is_list {
        "give one port; each port needs a rule of its own"
    } else {
        "give a number from 1 to 65535"
    }))
}

/// Digits only: `u32::from_str` would take a sign.
fn number(raw: &str) -> Option<u32> {
    if raw.bytes().all(|byte| byte.is_ascii_digit()) { raw.parse().ok() } else { None }
}

/// `IPPROTO_TCP` and `IPPROTO_UDP`.
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

/// The number of a protocol that has ports.
pub(super) fn protocol(raw: &str) -> Result<u8, Problem> {
    if raw.eq_ignore_ascii_case("tcp") {
        Ok(TCP)
    } else if raw.eq_ignore_ascii_case("udp") {
        Ok(UDP)
    } else {
        Err(Problem::new(
            Reason::InvalidProtocol,
            format!("`{raw}` is not a protocol that a DNAT rule can map"),
            "use tcp or udp; a floating IP carries every protocol",
        ))
    }
}

/// Why `winner` has what `loser` also wants.
pub(super) fn precedence(winner: &Object, loser: &Object) -> &'static str {
    if winner.created == loser.created { "comes first by name" } else { "is older" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_hosts_are_read_and_all_others_refused_with_a_fix() {
        assert_eq!(address("10.0.1.2"), Ok([10, 0, 1, 2]));
        assert_eq!(address("240.0.0.1"), Ok([240, 0, 0, 1]));
        for (raw, reason, message, fix) in [
            (
                "10.0.1",
                Reason::InvalidAddress,
                "`10.0.1` is not an IPv4 address",
                "write four numbers from 0 to 255, such as 10.0.1.2",
            ),
            (
                "10.0.1.256",
                Reason::InvalidAddress,
                "`10.0.1.256` is not an IPv4 address",
                "write four numbers from 0 to 255, such as 10.0.1.2",
            ),
            (
                "10.0.1.02",
                Reason::InvalidAddress,
                "`10.0.1.02` is not an IPv4 address",
                "write four numbers from 0 to 255, such as 10.0.1.2",
            ),
            (
                " 10.0.1.2",
                Reason::InvalidAddress,
                "` 10.0.1.2` is not an IPv4 address",
                "write four numbers from 0 to 255, such as 10.0.1.2",
            ),
            (
                "10.0.1.2/24",
                Reason::InvalidAddress,
                "`10.0.1.2/24` is not an IPv4 address",
                "give one address: `10.0.1.2`",
            ),
            ("fd00::1", Reason::Unsupported, "`fd00::1` is IPv6, which is not translated", "give IPv4"),
            ("::ffff:10.0.1.2", Reason::Unsupported, "`::ffff:10.0.1.2` is IPv6, which is not translated", "give IPv4"),
            ("0.0.0.0", Reason::InvalidAddress, "`0.0.0.0` is an unspecified address", "give the address of one host"),
            ("127.0.0.1", Reason::InvalidAddress, "`127.0.0.1` is a loopback address", "give the address of one host"),
            ("224.0.0.5", Reason::InvalidAddress, "`224.0.0.5` is a multicast address", "give the address of one host"),
            (
                "255.255.255.255",
                Reason::InvalidAddress,
                "`255.255.255.255` is the broadcast address",
                "give the address of one host",
            ),
        ] {
            assert_eq!(address(raw), Err(Problem::new(reason, message, fix)), "{raw}");
        }
    }

    #[test]
    fn networks_are_masked_and_a_bare_address_is_a_32() {
        let cidr = |raw| network(raw).map(|network| (network.cidr.to_string(), network.host_bits));
        assert_eq!(cidr("10.0.1.0/24"), Ok(("10.0.1.0/24".into(), false)));
        assert_eq!(cidr("10.0.1.9/24"), Ok(("10.0.1.0/24".into(), true)));
        assert_eq!(cidr("10.0.1.9"), Ok(("10.0.1.9/32".into(), false)));
        assert_eq!(cidr("0.0.0.0/0"), Ok(("0.0.0.0/0".into(), false)));
        for (raw, reason, fix) in [
            ("10.0.1.0/33", Reason::InvalidCidr, "give a prefix length from 0 to 32"),
            ("10.0.1.0/", Reason::InvalidCidr, "give a prefix length from 0 to 32"),
            ("10.0.1.0/+8", Reason::InvalidCidr, "give a prefix length from 0 to 32"),
            ("10.0.1.0/255.255.255.0", Reason::InvalidCidr, "give a prefix length from 0 to 32"),
            ("10.0.1/24", Reason::InvalidCidr, "write it as address/length, such as 10.0.1.0/24"),
            ("10.0.1.0/24,10.0.2.0/24", Reason::InvalidCidr, "give one network; the others need rules of their own"),
            ("fd00::/64", Reason::Unsupported, "give IPv4"),
            ("127.0.0.0/8", Reason::InvalidCidr, "give the network of the hosts"),
            ("224.0.0.0/4", Reason::InvalidCidr, "give the network of the hosts"),
            ("0.0.0.0/8", Reason::InvalidCidr, "give the network of the hosts"),
        ] {
            let problem = network(raw).expect_err(raw);
            assert_eq!((problem.reason, problem.fix.as_str()), (reason, fix), "{raw}");
        }
    }

    #[test]
    fn a_port_is_one_decimal_number() {
        assert_eq!(port("1"), Ok(1));
        assert_eq!(port("65535"), Ok(65535));
        for (raw, fix) in [
            ("0", "give a number from 1 to 65535"),
            ("65536", "give a number from 1 to 65535"),
            ("99999999999", "give a number from 1 to 65535"),
            ("+80", "give a number from 1 to 65535"),
            ("-80", "give a number from 1 to 65535"),
            ("http", "give a number from 1 to 65535"),
            ("80-90", "give one port; each port needs a rule of its own"),
            ("80,443", "give one port; each port needs a rule of its own"),
        ] {
            let want = Problem::new(Reason::InvalidPort, format!("`{raw}` is not a port"), fix);
            assert_eq!(port(raw), Err(want), "{raw}");
        }
    }

    #[test]
    fn protocols_are_tcp_and_udp_in_any_case() {
        assert_eq!((protocol("tcp"), protocol("TCP"), protocol("Udp")), (Ok(6), Ok(6), Ok(17)));
        assert_eq!(protocol("sctp").map_err(|p| p.reason), Err(Reason::InvalidProtocol));
    }
}
