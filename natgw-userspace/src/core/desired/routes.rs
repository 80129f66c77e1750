//! `VpcNatGateway.spec.routes`: routes on the internal interface.

use super::{
    DesiredState, Entry, NextHop, Reason,
    eips::no_qos,
    fields::{Problem, Report, address, network},
    subnets,
};
use crate::core::{
    index::Index,
    objects::{Kind, Object, ObjectKey, RouteSpec, Spec, VpcNatGatewaySpec},
};

pub(super) fn build(index: &Index, gateway: &str, state: &mut DesiredState, report: &mut Report) {
    let key = ObjectKey::new(Kind::VpcNatGateway, gateway);
    let Some(object) = index.get(&key) else {
        warn_if_nothing_names(index, &key, report);
        return;
    };
    let Spec::VpcNatGateway(spec) = &object.spec else { return };
    let VpcNatGatewaySpec { routes, qos_policy, .. } = spec;
    if let Some(policy) = qos_policy {
        report.warning(&object.key, "spec.qosPolicy", no_qos(index, policy));
    }
    let subnet_gateway = subnets::internal_gateway(index, spec);
    for (position, route) in routes.iter().enumerate() {
        add(object, position, route, subnet_gateway, state, report);
    }
}

fn add(
    object: &Object,
    position: usize,
    route: &RouteSpec,
    subnet_gateway: NextHop,
    state: &mut DesiredState,
    report: &mut Report,
) {
    let cidr_field = format!("spec.routes[{position}].cidr");
    let hop_field = format!("spec.routes[{position}].nextHopIP");
    let raw = route.cidr.as_deref();
    let destination = report.required(object, &cidr_field, raw, "10.1.0.0/16", network);
    let next_hop = |raw: &str| if raw == "gateway" { Ok(subnet_gateway) } else { next_hop(raw) };
    let hop = report.required(object, &hop_field, route.next_hop_ip.as_deref(), "`gateway`", next_hop);
    let (Some(raw), Some(destination), Some(hop)) = (raw, destination, hop) else { return };
    let cidr = destination.cidr;
    if state.routes.contains_key(&cidr) {
        let problem = Problem::new(
            Reason::DuplicateRoute,
            format!("`{cidr}` already has a route further up"),
            "remove one of the two",
        );
        report.error(&object.key, &cidr_field, problem);
        return;
    }
    if let Some(problem) = destination.host_bits_problem(raw) {
        report.warning(&object.key, &cidr_field, problem);
    }
    state.routes.insert(cidr, hop);
    state.owners.insert(Entry::Route(cidr), object.key.clone());
}

fn next_hop(raw: &str) -> Result<NextHop, Problem> {
    address(raw).map(NextHop::Addr).map_err(|problem| Problem {
        fix: "give an IPv4 address, or `gateway` for the subnet's gateway".to_owned(),
        ..problem
    })
}

/// A misspelt gateway name would otherwise look like a gateway without rules.
fn warn_if_nothing_names(index: &Index, key: &ObjectKey, report: &mut Report) {
    let names_it =
        |object: &Object| matches!(&object.spec, Spec::IptablesEip(eip) if eip.nat_gw_dp.as_deref() == Some(&key.name));
    if index.of_kind(Kind::IptablesEip).any(names_it) {
        return;
    }
    let others: Vec<_> = index.of_kind(Kind::VpcNatGateway).map(|object| format!("`{}`", object.key.name)).collect();
    let fix = if others.is_empty() {
        "add a VpcNatGateway and the IptablesEIPs that name it".to_owned()
    } else {
        format!("add it, or use one of {}", others.join(", "))
    };
    let message = "no object belongs to this gateway, so nothing is translated";
    report.warning(key, "", Problem::new(Reason::GatewayMissing, message, fix));
}
