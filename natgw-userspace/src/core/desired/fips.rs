//! Floating IPs: one EIP to one pod address, any protocol.

use std::net::Ipv4Addr;

use natgw_common::abi::{EipFlags, Fip, FipFlags};

use super::{
    DesiredState, Entry, Reason, by_seniority,
    eips::{Eips, RuleEip},
    fields::{Problem, Report, address, precedence},
};
use crate::core::{
    index::Index,
    objects::{Kind, Spec},
};

pub(super) fn build(index: &Index, eips: &Eips, state: &mut DesiredState, report: &mut Report) {
    for object in by_seniority(index, Kind::IptablesFipRule) {
        let Spec::IptablesFipRule(spec) = &object.spec else { continue };
        let eip = match eips.of_rule(object, spec.eip.as_deref(), report) {
            RuleEip::Elsewhere => continue,
            RuleEip::Unusable => None,
            RuleEip::Programmed(eip) => Some(eip),
        };
        let pod = report.required(object, "spec.internalIp", spec.internal_ip.as_deref(), "10.0.1.2", address);
        let (Some(eip), Some(pod)) = (eip, pod) else { continue };
        if let Some(first) = state.owner(&Entry::Fip(eip)).and_then(|key| index.get(key)) {
            let problem = Problem::new(
                Reason::DuplicateFip,
                format!(
                    "IptablesEIP `{}` is used by IptablesFIPRule `{}`, which {}",
                    spec.eip.as_deref().unwrap_or_default(),
                    first.key.name,
                    precedence(first, object)
                ),
                "use another EIP, or delete one of the two",
            );
            report.error(&object.key, "spec.eip", problem);
            continue;
        }
        if state.eips.contains_key(&pod) {
            report.warning(&object.key, "spec.internalIp", target_is_eip(pod));
        }
        state.fip_in.insert(eip, Fip { addr: pod, flags: 0 });
        // Oldest first: the first EIP of a pod is its outbound address.
        state.fip_out.entry(pod).or_insert(Fip { addr: eip, flags: 0 });
        state.owners.insert(Entry::Fip(eip), object.key.clone());
        state.flag(eip, EipFlags::Fip);
    }
}

/// The warning for a target that this gateway itself answers for.
pub(super) fn target_is_eip(pod: [u8; 4]) -> Problem {
    let addr = Ipv4Addr::from(pod);
    Problem::new(
        Reason::TargetIsEip,
        format!("`{addr}` is itself an elastic IP of this gateway"),
        "give the pod's own address",
    )
}

/// See [`DesiredState::mark_stateful`].
pub(super) fn mark_stateful(state: &mut DesiredState) {
    let hands_out_ports = |eip: &[u8; 4]| state.eips.get(eip).is_some_and(|e| e.flags & EipFlags::Snat as u32 != 0);
    for (eip, fip) in &mut state.fip_in {
        let outbound = state.fip_out.get(&fip.addr).map(|out| out.addr);
        if outbound != Some(*eip) || hands_out_ports(eip) {
            fip.flags |= FipFlags::Stateful as u32;
        }
    }
    for fip in state.fip_out.values_mut() {
        if hands_out_ports(&fip.addr) {
            fip.flags |= FipFlags::Stateful as u32;
        }
    }
}
