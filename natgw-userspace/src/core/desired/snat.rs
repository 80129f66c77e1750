//! Source NAT: networks to pools of EIPs. Longest prefix wins at run time, so overlap is no conflict.

use natgw_common::abi::{EipFlags, SNAT_POOL_MAX, SnatKey, SnatPool};

use super::{
    DesiredState, Entry, Reason, by_seniority,
    eips::{Eips, RuleEip},
    fields::{Network, Problem, Report, network},
};
use crate::core::{
    index::Index,
    objects::{Kind, Spec},
};

pub(super) fn build(index: &Index, eips: &Eips, state: &mut DesiredState, report: &mut Report) {
    for object in by_seniority(index, Kind::IptablesSnatRule) {
        let Spec::IptablesSnatRule(spec) = &object.spec else { continue };
        let eip = match eips.of_rule(object, spec.eip.as_deref(), report) {
            RuleEip::Elsewhere => continue,
            RuleEip::Unusable => None,
            RuleEip::Programmed(eip) => Some(eip),
        };
        let raw = spec.internal_cidr.as_deref();
        let source = report.required(object, "spec.internalCIDR", raw, "10.0.1.0/24", network);
        let (Some(eip), Some(raw), Some(source)) = (eip, raw, source) else { continue };
        let Network { cidr, .. } = source;
        let key = SnatKey { prefix_len: u32::from(cidr.prefix_len()), addr: cidr.addr() };
        let entry = Entry::Snat { cidr: key, eip };
        if let Some(first) = state.owner(&entry) {
            let problem = Problem::new(
                Reason::DuplicateSnat,
                format!("IptablesSnatRule `{}` already translates `{cidr}` to this EIP", first.name),
                "delete one of the two",
            );
            report.warning(&object.key, "", problem);
            continue;
        }
        let pool = state.snat.entry(key).or_insert(SnatPool { count: 0, eips: [[0; 4]; SNAT_POOL_MAX] });
        let Some(slot) = usize::try_from(pool.count).ok().and_then(|used| pool.eips.get_mut(used)) else {
            let problem = Problem::new(
                Reason::PoolLimit,
                format!("`{cidr}` has {SNAT_POOL_MAX} older EIPs, which is the limit of a pool"),
                "delete this rule, or split the network",
            );
            report.error(&object.key, "spec.eip", problem);
            continue;
        };
        *slot = eip;
        pool.count += 1;
        state.owners.insert(entry, object.key.clone());
        state.flag(eip, EipFlags::Snat);
        if let Some(problem) = source.host_bits_problem(raw) {
            report.warning(&object.key, "spec.internalCIDR", problem);
        }
    }
}
