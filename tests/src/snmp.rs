//! The kernel's own counters of a namespace (`/proc/net/snmp`, `/proc/net/netstat`).

use std::collections::BTreeMap;

use crate::Netns;

/// A snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<String, i64>);

impl Counters {
    /// The counters of `ns` now.
    ///
    /// # Panics
    /// When `/proc` cannot be read.
    #[must_use]
    pub fn read(ns: &Netns) -> Self {
        let mut counters = BTreeMap::new();
        for file in ["snmp", "netstat"] {
            let text = ns.read(&format!("/proc/thread-self/net/{file}"));
            let lines: Vec<&str> = text.lines().collect();
            for pair in lines.chunks(2) {
                let [names, values] = pair else { continue };
                let (prefix, names) = names.split_once(':').expect("`Group: names`");
                let (_, values) = values.split_once(':').expect("`Group: values`");
                for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
                    counters.insert(format!("{prefix}.{name}"), value.parse().unwrap_or(0));
                }
            }
        }
        Self(counters)
    }

    /// One counter, for example `Tcp.InCsumErrors`.
    ///
    /// # Panics
    /// When the kernel has no such counter.
    #[must_use]
    pub fn get(&self, name: &str) -> i64 {
        *self.0.get(name).unwrap_or_else(|| panic!("this kernel has no counter {name}"))
    }
}

/// Asserts that the kernel of `ns` has refused no packet for its checksum or header, and has put no fragments together
/// and made none.
///
/// # Panics
/// When it has.
pub fn assert_clean(ns: &Netns, who: &str) {
    let counters = Counters::read(ns);
    for name in [
        "Tcp.InCsumErrors",
        "Udp.InCsumErrors",
        "Icmp.InCsumErrors",
        "IpExt.InCsumErrors",
        "Ip.InHdrErrors",
        "Ip.ReasmReqds",
        "Ip.FragCreates",
    ] {
        assert_eq!(counters.get(name), 0, "{name} of {who} ({})", ns.name());
    }
}
