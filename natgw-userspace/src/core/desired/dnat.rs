//! Port mappings: EIP, port and protocol to a pod's address and port.

use natgw_common::abi::{DnatKey, DnatTarget, EipFlags};

use super::{
    DesiredState, Entry, Reason, by_seniority,
    eips::{Eips, RuleEip},
    fields::{Problem, Report, TCP, address, port, precedence, protocol},
    fips::target_is_eip,
};
use crate::core::{
    index::Index,
    objects::{IptablesDnatRuleSpec, Kind, Object, Spec},
};

/// After the floating IPs, whose shadow is looked up here.
pub(super) fn build(index: &Index, eips: &Eips<'_>, state: &mut DesiredState, report: &mut Report) {
    for object in by_seniority(index, Kind::IptablesDnatRule) {
        let Spec::IptablesDnatRule(spec) = &object.spec else { continue };
        let eip = match eips.of_rule(object, spec.eip.as_deref(), report) {
            RuleEip::Elsewhere => continue,
            RuleEip::Unusable => None,
            RuleEip::Programmed(eip) => Some(eip),
        };
        let mapping = mapping(object, spec, report);
        let (Some(eip), Some((external_port, proto, target))) = (eip, mapping) else { continue };
        let key = DnatKey::new(eip, external_port.to_be_bytes(), proto);
        let taken = state.dnat.contains_key(&key).then(|| state.owner(&Entry::Dnat(key))).flatten();
        if let Some(first) = taken.and_then(|key| index.get(key)) {
            let problem = Problem::new(
                Reason::DuplicateDnat,
                format!(
                    "{} port {external_port} of IptablesEIP `{}` is mapped by IptablesDnatRule `{}`, which {}",
                    if proto == TCP { "tcp" } else { "udp" },
                    spec.eip.as_deref().unwrap_or_default(),
                    first.key.name,
                    precedence(first, object)
                ),
                "use another port, or delete one of the two",
            );
            report.error(&object.key, "spec.externalPort", problem);
            continue;
        }
        let shadow = state.fip_in.contains_key(&eip).then(|| state.owner(&Entry::Fip(eip))).flatten();
        if let Some(fip) = shadow {
            let problem = Problem::new(
                Reason::ShadowedByFip,
                format!("IptablesFIPRule `{}` takes every new flow to this EIP", fip.name),
                "use another EIP, or delete one of the two",
            );
            report.warning(&object.key, "spec.eip", problem);
        }
        if state.eips.contains_key(&target.addr) {
            report.warning(&object.key, "spec.internalIp", target_is_eip(target.addr));
        }
        state.dnat.insert(key, target);
        state.owners.insert(Entry::Dnat(key), object.key.clone());
        state.flag(eip, EipFlags::Dnat);
    }
}

/// External port, protocol and target; every field is judged even when another is wrong.
fn mapping(object: &Object, spec: &IptablesDnatRuleSpec, report: &mut Report) -> Option<(u16, u8, DnatTarget)> {
    let external_port = report.required(object, "spec.externalPort", spec.external_port.as_deref(), "\"8080\"", port);
    let protocol = report.required(object, "spec.protocol", spec.protocol.as_deref(), "tcp", protocol);
    let pod = report.required(object, "spec.internalIp", spec.internal_ip.as_deref(), "10.0.1.2", address);
    let pod_port = report.required(object, "spec.internalPort", spec.internal_port.as_deref(), "\"80\"", port);
    let exclusive = match spec.sharing.as_deref() {
        None | Some("exclusive") => true,
        Some(other) => {
            let problem = Problem::new(
                Reason::Unsupported,
                format!("`{other}` is not supported: a mapping has one target"),
                "remove it, or write `exclusive`",
            );
            report.error(&object.key, "spec.type", problem);
            false
        }
    };
    let target = DnatTarget::new(pod?, pod_port?.to_be_bytes());
    exclusive.then_some((external_port?, protocol?, target))
}
