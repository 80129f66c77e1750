//! Port mappings: EIP, port and protocol to a pod's address and port.

use natgw_common::abi::{DnatKey, DnatTarget, EipFlags};

use super::{
    DesiredState, Entry, Reason,
    eips::{Eips, RuleEip},
    fields::{Problem, Report, TCP, address, port, precedence, protocol},
    fips::target_is_eip,
};
use crate::core::{
    index::Index,
    objects::{IptablesDnatRuleSpec, Kind, Object, Spec},
};

/// A rule that can be programmed unless another one has precedence.
pub(super) struct Candidate<'a> {
    pub(super) key: DnatKey,
    pub(super) target: DnatTarget,
    pub(super) object: &'a Object,
}

/// After the floating IPs, whose shadow is looked up here.
pub(super) fn build(index: &Index, eips: &Eips, state: &mut DesiredState, report: &mut Report) {
    let rules = index.of_kind(Kind::IptablesDnatRule);
    let mut candidates: Vec<_> = rules.filter_map(|object| candidate(object, eips, report)).collect();
    // Those that want the same beside each other, the oldest first.
    candidates.sort_unstable_by(|a, b| a.key.cmp(&b.key).then_with(|| a.object.seniority().cmp(&b.object.seniority())));
    let mut winners = Vec::with_capacity(candidates.len());
    for rivals in candidates.chunk_by(|a, b| a.key == b.key) {
        let Some(first) = first_of(rivals, state, report) else { continue };
        state.flag(first.key.eip, EipFlags::Dnat);
        winners.push(first);
    }
    // In order, so that the maps are filled from one side: there are many.
    state.dnat = winners.iter().map(|winner| (winner.key, winner.target)).collect();
    let owners = winners.iter().map(|winner| (Entry::Dnat(winner.key), winner.object.key.clone()));
    state.owners.append(&mut owners.collect());
}

/// Of those that want the same, the oldest first, the one that gets it. The others are told, and it if there is something
/// odd about it.
pub(super) fn first_of<'a, 'o>(
    rivals: &'a [Candidate<'o>],
    state: &DesiredState,
    report: &mut Report,
) -> Option<&'a Candidate<'o>> {
    let (first, others) = rivals.split_first()?;
    for other in others {
        report.error(&other.object.key, "spec.externalPort", is_mapped(other.key, first.object, other.object));
    }
    warn(first, state, report);
    Some(first)
}

/// What a rule wants, if it is valid by itself; else that is said.
pub(super) fn candidate<'a>(object: &'a Object, eips: &Eips, report: &mut Report) -> Option<Candidate<'a>> {
    let Spec::IptablesDnatRule(spec) = &object.spec else { return None };
    if object.deleting {
        return None;
    }
    let eip = match eips.of_rule(object, spec.eip.as_deref(), report) {
        RuleEip::Elsewhere => return None,
        RuleEip::Unusable => None,
        RuleEip::Programmed(eip) => Some(eip),
    };
    let mapping = mapping(object, spec, report);
    let (eip, (external_port, proto, target)) = (eip?, mapping?);
    Some(Candidate { key: DnatKey::new(eip, external_port.to_be_bytes(), proto), target, object })
}

fn is_mapped(key: DnatKey, first: &Object, other: &Object) -> Problem {
    let eip = if let Spec::IptablesDnatRule(spec) = &other.spec { spec.eip.as_deref() } else { None };
    Problem::new(
        Reason::DuplicateDnat,
        format!(
            "{} port {} of IptablesEIP `{}` is mapped by IptablesDnatRule `{}`, which {}",
            if key.proto == TCP { "tcp" } else { "udp" },
            u16::from_be_bytes(key.port),
            eip.unwrap_or_default(),
            first.key.name,
            precedence(first, other)
        ),
        "use another port, or delete one of the two",
    )
}

/// Whether there is something odd about what is programmed all the same.
fn warn(winner: &Candidate<'_>, state: &DesiredState, report: &mut Report) {
    let (eip, object) = (winner.key.eip, &winner.object.key);
    let shadow = state.fip_in.contains_key(&eip).then(|| state.owner(&Entry::Fip(eip))).flatten();
    if let Some(fip) = shadow {
        let problem = Problem::new(
            Reason::ShadowedByFip,
            format!("IptablesFIPRule `{}` takes every new flow to this EIP", fip.name),
            "use another EIP, or delete one of the two",
        );
        report.warning(object, "spec.eip", problem);
    }
    if state.eips.contains_key(&winner.target.addr) {
        report.warning(object, "spec.internalIp", target_is_eip(winner.target.addr));
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
