//! The rules of a row, as they lie in the maps.

use std::collections::BTreeMap;

use natgw_common::abi::{DnatKey, DnatTarget, EipEntry, EipFlags, Fip, FipFlags, SNAT_POOL_MAX, SnatKey, SnatPool};

/// Contents of the five rule maps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleSet {
    pub(super) eips: BTreeMap<[u8; 4], EipEntry>,
    pub(super) fip_in: BTreeMap<[u8; 4], Fip>,
    pub(super) fip_out: BTreeMap<[u8; 4], Fip>,
    pub(super) dnat: BTreeMap<DnatKey, DnatTarget>,
    pub(super) snat: BTreeMap<SnatKey, SnatPool>,
}

/// What a floating IP's flows need.
const STATELESS: u32 = 0;
const STATEFUL: u32 = FipFlags::Stateful as u32;

impl RuleSet {
    /// No rules.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    fn mark(&mut self, eip: [u8; 4], flag: u32) {
        self.eips.entry(eip).or_insert(EipEntry { flags: 0 }).flags |= flag;
    }

    /// An elastic IP without a rule.
    #[must_use]
    pub fn eip(mut self, eip: [u8; 4]) -> Self {
        self.mark(eip, 0);
        self
    }

    fn floating(mut self, eip: [u8; 4], pod: [u8; 4], flags: u32) -> Self {
        self.mark(eip, EipFlags::Fip as u32);
        self.fip_in.insert(eip, Fip { addr: pod, flags });
        self.fip_out.entry(pod).or_insert(Fip { addr: eip, flags });
        self
    }

    /// A floating IP.
    #[must_use]
    pub fn fip(self, eip: [u8; 4], pod: [u8; 4]) -> Self {
        self.floating(eip, pod, STATELESS)
    }

    /// A floating IP whose flows need sessions: its EIP carries SNAT, or its pod has several. Of several, the one named
    /// first is the pod's outbound address.
    #[must_use]
    pub fn stateful_fip(self, eip: [u8; 4], pod: [u8; 4]) -> Self {
        self.floating(eip, pod, STATEFUL)
    }

    /// A port mapping.
    #[must_use]
    pub fn dnat(mut self, proto: u8, (eip, port): ([u8; 4], u16), (pod, target): ([u8; 4], u16)) -> Self {
        self.mark(eip, EipFlags::Dnat as u32);
        let target = DnatTarget::new(pod, target.to_be_bytes());
        self.dnat.insert(DnatKey::new(eip, port.to_be_bytes(), proto), target);
        self
    }

    /// Source NAT of a CIDR to a pool.
    ///
    /// # Panics
    /// When the pool is larger than a map value.
    #[must_use]
    pub fn snat(mut self, addr: [u8; 4], prefix_len: u32, pool: &[[u8; 4]]) -> Self {
        let mut eips = [[0; 4]; SNAT_POOL_MAX];
        eips[..pool.len()].copy_from_slice(pool);
        for &eip in pool {
            self.mark(eip, EipFlags::Snat as u32);
        }
        let count = u32::try_from(pool.len()).expect("a pool is small");
        self.snat.insert(SnatKey { prefix_len, addr }, SnatPool { count, eips });
        self
    }
}
