//! The rules of a gateway, with the flags that user space derives from them.

use std::collections::{BTreeMap, BTreeSet};

use super::frame::{addr, flow};
use crate::abi::{DnatKey, DnatTarget, Fip, FipFlags, SNAT_POOL_MAX, SnatKey, SnatPool};

/// What the rule maps hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    pub(super) eips: BTreeSet<[u8; 4]>,
    /// EIP and pod, oldest first.
    fips: Vec<([u8; 4], [u8; 4])>,
    pub(super) dnat: BTreeMap<DnatKey, DnatTarget>,
    snat: BTreeMap<SnatKey, SnatPool>,
}

impl Rules {
    /// A floating IP.
    pub(super) fn fip(&mut self, eip: &str, pod: &str) {
        self.eips.insert(addr(eip));
        self.fips.push((addr(eip), addr(pod)));
    }

    pub(super) fn remove_fip(&mut self, eip: &str) {
        self.fips.retain(|(of, _)| *of != addr(eip));
    }

    /// `"203.0.113.1:80 > 10.0.0.8:8080"`
    pub(super) fn dnat(&mut self, proto: u8, mapping: &str) {
        let map = flow(mapping);
        self.eips.insert(map.src);
        self.dnat.insert(DnatKey::new(map.src, map.sport, proto), DnatTarget::new(map.dst, map.dport));
    }

    /// `("10.0.0.0/24", &["203.0.113.1"])`: replaces the pool of that CIDR.
    pub(super) fn snat(&mut self, cidr: &str, eips: &[&str]) {
        let mut pool = SnatPool { count: u32::try_from(eips.len()).unwrap(), eips: [[0; 4]; SNAT_POOL_MAX] };
        for (slot, eip) in pool.eips.iter_mut().zip(eips) {
            *slot = addr(eip);
            self.eips.insert(*slot);
        }
        self.snat.insert(snat_key(cidr), pool);
    }

    pub(super) fn fip_in(&self, eip: [u8; 4]) -> Option<Fip> {
        let &(_, pod) = self.fips.iter().find(|(of, _)| *of == eip)?;
        Some(Fip { addr: pod, flags: self.fip_flags(eip, pod) })
    }

    /// The oldest EIP of a pod.
    pub(super) fn fip_out(&self, pod: [u8; 4]) -> Option<Fip> {
        let &(eip, _) = self.fips.iter().find(|(_, of)| *of == pod)?;
        Some(Fip { addr: eip, flags: self.fip_flags(eip, pod) })
    }

    /// As `FipFlags::Stateful` says: the EIP hands out ports, or the pod has several EIPs.
    fn fip_flags(&self, eip: [u8; 4], pod: [u8; 4]) -> u32 {
        let shared = self.snat.values().any(|pool| pool.eips.contains(&eip));
        let several = self.fips.iter().filter(|(_, of)| *of == pod).count() > 1;
        if shared || several { FipFlags::Stateful as u32 } else { 0 }
    }

    pub(super) fn longest_prefix(&self, src: [u8; 4]) -> Option<&SnatPool> {
        let src = u32::from_be_bytes(src);
        let covers = |key: &SnatKey| {
            let mask = u32::MAX.checked_shl(32 - key.prefix_len).unwrap_or(0);
            src & mask == u32::from_be_bytes(key.addr)
        };
        self.snat.iter().filter(|(key, _)| covers(key)).max_by_key(|(key, _)| key.prefix_len).map(|(_, pool)| pool)
    }
}

fn snat_key(cidr: &str) -> SnatKey {
    let (network, len) = cidr.split_once('/').unwrap();
    SnatKey { prefix_len: len.parse().unwrap(), addr: addr(network) }
}
