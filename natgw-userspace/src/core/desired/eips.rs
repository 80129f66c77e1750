//! Elastic IPs: which ones are this gateway's, and what a rule that names one gets.

use std::{
    cell::LazyCell,
    collections::{HashMap, HashSet},
    net::Ipv4Addr,
    sync::Arc,
};

use natgw_common::abi::{EipEntry, MAPS, map};

use super::{
    DesiredState, Entry, Reason, by_seniority,
    fields::{Problem, Report, address, precedence},
};
use crate::core::{
    index::Index,
    objects::{IptablesEipSpec, Kind, Object, ObjectKey, Spec},
};

/// As many as the map `EIPS` holds.
fn capacity() -> usize {
    let spec = MAPS.iter().find(|spec| spec.name == map::EIPS);
    spec.and_then(|spec| usize::try_from(spec.max_entries).ok()).unwrap_or(usize::MAX)
}

/// What became of an `IptablesEIP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// This gateway carries it.
    Programmed([u8; 4]),
    /// It belongs to this gateway, or to none, and has an error of its own.
    Refused,
    /// It belongs to another gateway.
    Elsewhere,
}

/// The EIP that a rule names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RuleEip {
    /// This address.
    Programmed([u8; 4]),
    /// It cannot be used; this has been said.
    Unusable,
    /// Not this gateway's rule: nothing is said.
    Elsewhere,
}

/// Every `IptablesEIP` by name.
#[derive(Debug, Default)]
pub(super) struct Eips {
    standing: HashMap<Arc<str>, Standing>,
    any_deleting: bool,
}

impl Eips {
    /// Fills `state.eips` (without flags).
    pub(super) fn build(index: &Index, gateway: &str, state: &mut DesiredState, report: &mut Report) -> Self {
        let (mut standing, mut any_deleting) = (HashMap::new(), false);
        // Rarely asked for, and every rule is looked at for it.
        let in_use = LazyCell::new(|| named_by_rules(index));
        for object in by_seniority(index, Kind::IptablesEip) {
            let Spec::IptablesEip(spec) = &object.spec else { continue };
            any_deleting |= object.deleting;
            if object.deleting && !in_use.contains(&*object.key.name) {
                continue;
            }
            standing.insert(Arc::clone(&object.key.name), judge(index, gateway, object, spec, state, report));
        }
        warn_of_twins_elsewhere(index, gateway, state, report);
        Self { standing, any_deleting }
    }

    /// Whether one of them waits for its finalizer.
    pub(super) const fn any_deleting(&self) -> bool {
        self.any_deleting
    }

    /// The EIP named by `spec.eip` of `rule`.
    pub(super) fn of_rule(&self, rule: &Object, eip: Option<&str>, report: &mut Report) -> RuleEip {
        let Some(name) = report.required(rule, "spec.eip", eip, "the name of an IptablesEIP", Ok) else {
            return RuleEip::Unusable;
        };
        let problem = match self.standing.get(name) {
            Some(Standing::Programmed(addr)) => return RuleEip::Programmed(*addr),
            Some(Standing::Elsewhere) => return RuleEip::Elsewhere,
            Some(Standing::Refused) => Problem::new(
                Reason::EipNotProgrammed,
                format!("IptablesEIP `{name}` has an error of its own"),
                format!("repair IptablesEIP `{name}`"),
            ),
            None => Problem::new(
                Reason::EipMissing,
                format!("there is no IptablesEIP `{name}`"),
                "create it, or name one that exists",
            ),
        };
        report.error(&rule.key, "spec.eip", problem);
        RuleEip::Unusable
    }
}

/// Names of the EIPs that a rule uses.
fn named_by_rules(index: &Index) -> HashSet<&str> {
    let rules = [Kind::IptablesFipRule, Kind::IptablesDnatRule, Kind::IptablesSnatRule];
    rules.into_iter().flat_map(|kind| index.of_kind(kind)).filter(|rule| !rule.deleting).filter_map(eip_of).collect()
}

/// The EIP that a rule names.
pub(super) fn eip_of(object: &Object) -> Option<&str> {
    match &object.spec {
        Spec::IptablesFipRule(spec) => spec.eip.as_deref(),
        Spec::IptablesDnatRule(spec) => spec.eip.as_deref(),
        Spec::IptablesSnatRule(spec) => spec.eip.as_deref(),
        Spec::VpcNatGateway(_) | Spec::IptablesEip(_) | Spec::QosPolicy(_) | Spec::Subnet(_) => None,
    }
}

fn judge(
    index: &Index,
    gateway: &str,
    object: &Object,
    spec: &IptablesEipSpec,
    state: &mut DesiredState,
    report: &mut Report,
) -> Standing {
    let named = spec.nat_gw_dp.as_deref();
    let owner = report.required(object, "spec.natGwDp", named, "the name of a VpcNatGateway", Ok);
    match owner {
        None => return Standing::Refused,
        Some(name) if name != gateway => return Standing::Elsewhere,
        Some(_) => {}
    }
    let Some(raw) = &spec.v4ip else {
        report.error(&object.key, "spec.v4ip", no_address(spec));
        return Standing::Refused;
    };
    let addr = match address(raw) {
        Ok(addr) => addr,
        Err(problem) => {
            report.error(&object.key, "spec.v4ip", problem);
            return Standing::Refused;
        }
    };
    if let Some(first) = state.owner(&Entry::Eip(addr)).and_then(|key| index.get(key)) {
        let problem = Problem::new(
            Reason::DuplicateAddress,
            format!("`{raw}` is the address of IptablesEIP `{}`, which {}", first.key.name, precedence(first, object)),
            "give this EIP another address, or delete one of the two",
        );
        report.error(&object.key, "spec.v4ip", problem);
        return Standing::Refused;
    }
    let most = capacity();
    if state.eips.len() >= most {
        let problem = Problem::new(
            Reason::EipLimit,
            format!("the gateway already has {most} EIPs, which is all it can hold"),
            "move it to another gateway",
        );
        report.error(&object.key, "spec.natGwDp", problem);
        return Standing::Refused;
    }
    if let Some(v6ip) = &spec.v6ip {
        let problem = Problem::new(
            Reason::Unsupported,
            format!("`{v6ip}` is not configured: IPv4 only"),
            "remove it, or ignore this",
        );
        report.warning(&object.key, "spec.v6ip", problem);
    }
    if let Some(policy) = &spec.qos_policy {
        report.warning(&object.key, "spec.qosPolicy", no_qos(index, policy));
    }
    state.eips.insert(addr, EipEntry { flags: 0 });
    state.owners.insert(Entry::Eip(addr), object.key.clone());
    Standing::Programmed(addr)
}

fn no_address(spec: &IptablesEipSpec) -> Problem {
    if let Some(v6ip) = &spec.v6ip {
        return Problem::new(
            Reason::Unsupported,
            format!("not set, and `{v6ip}` in spec.v6ip is IPv6, which is not translated"),
            "set spec.v4ip",
        );
    }
    Problem::new(
        Reason::MissingField,
        "not set, and there is no controller behind these objects that would choose an address",
        "set it to a free address of the external subnet",
    )
}

/// The warning for a bandwidth policy.
pub(super) fn no_qos(index: &Index, policy: &str) -> Problem {
    // Where none is known at all they may only not have been read: the kind is not required.
    let any = index.of_kind(Kind::QosPolicy).next().is_some();
    if any && index.get(&ObjectKey::new(Kind::QosPolicy, policy)).is_none() {
        let message = format!("there is no QoSPolicy `{policy}`, and natgw would not enforce it");
        return Problem::new(Reason::QosPolicyMissing, message, "remove it, or ignore this");
    }
    Problem::new(Reason::Unsupported, format!("QoSPolicy `{policy}` is not enforced"), "remove it, or ignore this")
}

/// Two gateways with one address is a mistake of the whole, but never a reason to stop a gateway that works.
fn warn_of_twins_elsewhere(index: &Index, gateway: &str, state: &DesiredState, report: &mut Report) {
    // By name: what is said is sorted anyway.
    for object in index.of_kind(Kind::IptablesEip) {
        let Spec::IptablesEip(IptablesEipSpec { v4ip: Some(raw), nat_gw_dp: Some(other), .. }) = &object.spec else {
            continue;
        };
        if other == gateway {
            continue;
        }
        let twin = address(raw).ok().and_then(|addr| {
            let ours: &ObjectKey = state.owner(&Entry::Eip(addr))?;
            Some((ours, Ipv4Addr::from(addr)))
        });
        if let Some((ours, addr)) = twin {
            let problem = Problem::new(
                Reason::DuplicateAddress,
                format!("`{addr}` is also the address of IptablesEIP `{}` on gateway `{other}`", object.key.name),
                "give one of the two another address, unless the two external networks are separate",
            );
            report.warning(ours, "spec.v4ip", problem);
        }
    }
}
