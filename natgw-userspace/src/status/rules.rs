//! The programmed rules by EIP.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use natgw_common::abi::FipFlags;
use serde::Serialize;

use super::table;
use crate::core::plan::Actual;

/// All rules of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Rules {
    gateway: String,
    eips: Vec<Eip>,
}

/// One elastic IP and what it carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Eip {
    address: Ipv4Addr,
    #[serde(skip_serializing_if = "Option::is_none")]
    fip: Option<Floating>,
    dnat: Vec<Dnat>,
    snat: Vec<Snat>,
    /// A rule names the address, but `EIPS` does not have it: the maps were changed by hand.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unknown: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Floating {
    pod: Ipv4Addr,
    /// Whether the pod's own connections leave with this EIP (an older one may).
    outbound: bool,
    /// Whether flows have sessions.
    stateful: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Dnat {
    protocol: String,
    port: u16,
    target: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Snat {
    cidr: String,
    /// Place in the pool of the CIDR, from 1.
    position: usize,
    /// Size of the pool.
    pool: usize,
}

impl Rules {
    pub(super) fn new(gateway: &str, actual: &Actual) -> Self {
        let mut snat: BTreeMap<[u8; 4], Vec<Snat>> = BTreeMap::new();
        for (key, value) in &actual.snat {
            let pool = (value.count as usize).min(value.eips.len());
            for (index, eip) in value.eips[..pool].iter().enumerate() {
                let cidr = format!("{}/{}", Ipv4Addr::from(key.addr), key.prefix_len);
                snat.entry(*eip).or_default().push(Snat { cidr, position: index + 1, pool });
            }
        }
        let named =
            actual.fip_in.keys().copied().chain(actual.dnat.keys().map(|key| key.eip)).chain(snat.keys().copied());
        let all: BTreeSet<[u8; 4]> = actual.eips.keys().copied().chain(named).collect();
        let eips = all.into_iter().map(|eip| Eip {
            address: eip.into(),
            fip: actual.fip_in.get(&eip).map(|fip| Floating {
                pod: fip.addr.into(),
                outbound: actual.fip_out.get(&fip.addr).is_some_and(|out| out.addr == eip),
                stateful: fip.has(FipFlags::Stateful),
            }),
            dnat: actual
                .dnat
                .iter()
                .filter(|(key, _)| key.eip == eip)
                .map(|(key, target)| Dnat {
                    protocol: protocol(key.proto),
                    port: u16::from_be_bytes(key.port),
                    target: format!("{}:{}", Ipv4Addr::from(target.addr), u16::from_be_bytes(target.port)),
                })
                .collect(),
            snat: snat.remove(&eip).unwrap_or_default(),
            unknown: !actual.eips.contains_key(&eip),
        });
        Self { gateway: gateway.to_owned(), eips: eips.collect() }
    }

    pub(super) fn render(&self) -> String {
        table::columns(&["EIP", "KIND", "MATCH", "TARGET", "NOTE"], self.eips.iter().flat_map(Eip::rows))
    }
}

impl Eip {
    fn rows(&self) -> Vec<Vec<String>> {
        let row = |kind: &str, matches: String, target: String, note: String| {
            let note = if self.unknown { "the EIP itself is not programmed".to_owned() } else { note };
            vec![self.address.to_string(), kind.to_owned(), matches, target, note]
        };
        let mut rows = Vec::new();
        if let Some(fip) = &self.fip {
            let outbound = if fip.outbound { "both ways" } else { "inbound only: the pod has an older EIP" };
            let stateful = if fip.stateful { ", with sessions" } else { "" };
            rows.push(row("fip", "any".to_owned(), fip.pod.to_string(), format!("{outbound}{stateful}")));
        }
        for dnat in &self.dnat {
            let shadowed = if self.fip.is_some() { "shadowed by the fip for new flows" } else { "" };
            rows.push(row(
                "dnat",
                format!("{}/{}", dnat.protocol, dnat.port),
                dnat.target.clone(),
                shadowed.to_owned(),
            ));
        }
        for snat in &self.snat {
            let pool =
                if snat.pool > 1 { format!("{} of {} in the pool", snat.position, snat.pool) } else { String::new() };
            rows.push(row("snat", snat.cidr.clone(), "dynamic port".to_owned(), pool));
        }
        if rows.is_empty() {
            rows.push(row("-", "-".to_owned(), "-".to_owned(), "no rule: the gateway itself answers".to_owned()));
        }
        rows
    }
}

/// The name of an IP protocol that rules or sessions have, or its number.
pub(super) fn protocol(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use natgw_common::abi::{DnatKey, DnatTarget, EipEntry, Fip, SNAT_POOL_MAX, SnatKey, SnatPool};

    use super::*;

    const A: [u8; 4] = [203, 0, 113, 10];
    const B: [u8; 4] = [203, 0, 113, 11];
    const C: [u8; 4] = [203, 0, 113, 12];
    const POD: [u8; 4] = [10, 0, 0, 5];

    fn actual() -> Actual {
        let mut actual = Actual::default();
        for eip in [A, B, C] {
            actual.eips.insert(eip, EipEntry { flags: 0 });
        }
        actual.fip_in.insert(A, Fip { addr: POD, flags: FipFlags::Stateful as u32 });
        actual.fip_out.insert(POD, Fip { addr: A, flags: 0 });
        actual.dnat.insert(DnatKey::new(A, [0, 80], 6), DnatTarget::new(POD, [31, 144]));
        let mut eips = [[0; 4]; SNAT_POOL_MAX];
        eips[0] = B;
        eips[1] = A;
        actual.snat.insert(SnatKey { prefix_len: 24, addr: [10, 0, 1, 0] }, SnatPool { count: 2, eips });
        actual
    }

    #[test]
    fn every_rule_is_a_line_under_its_eip() {
        let text = Rules::new("gw", &actual()).render();
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "EIP KIND MATCH TARGET NOTE",
                "203.0.113.10 fip any 10.0.0.5 both ways, with sessions",
                "203.0.113.10 dnat tcp/80 10.0.0.5:8080 shadowed by the fip for new flows",
                "203.0.113.10 snat 10.0.1.0/24 dynamic port 2 of 2 in the pool",
                "203.0.113.11 snat 10.0.1.0/24 dynamic port 1 of 2 in the pool",
                "203.0.113.12 - - - no rule: the gateway itself answers",
            ]
        );
    }

    #[test]
    fn a_rule_without_its_eip_is_shown_and_marked() {
        let mut actual = actual();
        actual.eips.remove(&B);
        let rules = Rules::new("gw", &actual);
        assert!(rules.eips[1].unknown);
        assert!(rules.render().contains("the EIP itself is not programmed"));
    }

    #[test]
    fn json_has_the_same_rules() {
        let json = serde_json::to_value(Rules::new("gw", &actual())).expect("serializes");
        assert_eq!(json["eips"][0]["fip"]["pod"], "10.0.0.5");
        assert_eq!(json["eips"][0]["dnat"][0]["port"], 80);
        assert_eq!(json["eips"][1]["snat"][0]["cidr"], "10.0.1.0/24");
    }
}
