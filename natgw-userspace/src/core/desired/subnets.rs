//! What `Subnet` objects add: prefix lengths of the EIPs, the default route, and the other networks of the VPC.
//!
//! All of it is optional. Without the objects (manifests, a cluster without kube-ovn) the interfaces' own addresses and
//! routes say it.

use std::{collections::btree_map, net::Ipv4Addr};

use super::{
    DesiredState, Entry, Ipv4Cidr, NextHop, Reason,
    fields::{Network, Problem, Report, address, network},
};
use crate::core::{
    index::Index,
    objects::{Kind, Object, ObjectKey, Spec, SubnetSpec, VpcNatGatewaySpec},
};

/// The external subnet of gateways and EIPs that name none (kube-ovn's default).
const DEFAULT_EXTERNAL_SUBNET: &str = "ovn-vpc-external-network";

/// After the routes of the gateway, which come before those of the VPC's subnets.
pub(super) fn build(index: &Index, gateway: &str, state: &mut DesiredState, report: &mut Report) {
    let Some(object) = index.get(&ObjectKey::new(Kind::VpcNatGateway, gateway)) else { return };
    let Spec::VpcNatGateway(spec) = &object.spec else { return };
    external(index, object, spec, state, report);
    vpc_routes(index, spec, state);
    warn_of_reserved_addresses(spec, state, report);
}

/// They are programmed as they are written: the prefix may be a matter of opinion.
fn warn_of_reserved_addresses(gateway: &VpcNatGatewaySpec, state: &DesiredState, report: &mut Report) {
    let lan_ip = gateway.lan_ip.as_deref().and_then(|raw| address(raw).ok());
    for eip in state.eips.keys() {
        let named = Ipv4Addr::from(*eip);
        let network = state.external_networks.iter().find(|network| network.contains(*eip));
        let what = if lan_ip == Some(*eip) {
            "the gateway's own address in the VPC (spec.lanIp)".to_owned()
        } else if let Some(network) = network.filter(|network| network.addr() == *eip && network.prefix_len() < 31) {
            format!("the network address of {network}")
        } else if let Some(network) = network.filter(|network| network.broadcast() == Some(*eip)) {
            format!("the broadcast address of {network}")
        } else {
            continue;
        };
        if let Some(owner) = state.owner(&Entry::Eip(*eip)) {
            let problem =
                Problem::new(Reason::ReservedAddress, format!("`{named}` is {what}"), "give the EIP a free address");
            report.warning(owner, "spec.v4ip", problem);
        }
    }
}

/// What `nextHopIP: gateway` stands for.
pub(super) fn internal_gateway(index: &Index, gateway: &VpcNatGatewaySpec) -> NextHop {
    let subnet = gateway.subnet.as_deref().and_then(|name| subnet(index, name));
    subnet.and_then(gateway_of).map_or(NextHop::SubnetGateway, NextHop::Addr)
}

/// The external subnet of a gateway.
pub(super) fn external_name(spec: &VpcNatGatewaySpec) -> &str {
    spec.external_subnets.first().map_or(DEFAULT_EXTERNAL_SUBNET, String::as_str)
}

fn external(index: &Index, object: &Object, spec: &VpcNatGatewaySpec, state: &mut DesiredState, report: &mut Report) {
    let name = external_name(spec);
    match subnet(index, name) {
        Some(subnet) => {
            state.external_networks.extend(cidr_of(subnet));
            if cidr_of(subnet).is_none() {
                report.warning(&object.key, "spec.externalSubnets", no_ipv4(name, subnet));
            }
            if !state.eips.is_empty() {
                state.external_gateway = gateway_of(subnet);
            }
        }
        // Nobody's mistake where there are no subnets at all.
        None if index.of_kind(Kind::Subnet).next().is_some() => {
            let problem = Problem::new(
                Reason::SubnetMissing,
                format!(
                    "there is no Subnet `{name}`; EIPs get the prefix of the interface, and no default route is set"
                ),
                "create it, or name one that exists",
            );
            report.warning(&object.key, "spec.externalSubnets", problem);
        }
        None => {}
    }
    let owners = state.owners.iter().filter(|(entry, _)| matches!(entry, Entry::Eip(_)));
    let names = owners.filter_map(|(_, key)| match &index.get(key)?.spec {
        Spec::IptablesEip(eip) => eip.external_subnet.as_deref(),
        Spec::VpcNatGateway(_)
        | Spec::IptablesFipRule(_)
        | Spec::IptablesDnatRule(_)
        | Spec::IptablesSnatRule(_)
        | Spec::QosPolicy(_)
        | Spec::Subnet(_) => None,
    });
    state.external_networks.extend(names.filter_map(|name| subnet(index, name)).filter_map(cidr_of));
}

fn no_ipv4(name: &str, subnet: &SubnetSpec) -> Problem {
    let cidr = subnet.cidr_block.as_deref().unwrap_or_default();
    Problem::new(
        Reason::Unsupported,
        format!("Subnet `{name}` has no IPv4 network (`{cidr}`); EIPs get the prefix of the interface"),
        "use a subnet with an IPv4 network",
    )
}

/// Routes to the other overlay networks of the VPC. Those of the gateway itself come first and are kept.
fn vpc_routes(index: &Index, gateway: &VpcNatGatewaySpec, state: &mut DesiredState) {
    let (Some(vpc), Some(own)) = (&gateway.vpc, &gateway.subnet) else { return };
    let NextHop::Addr(via) = internal_gateway(index, gateway) else { return };
    for object in index.of_kind(Kind::Subnet).filter(|object| !object.deleting && *object.key.name != **own) {
        let Spec::Subnet(subnet) = &object.spec else { continue };
        let Some(cidr) = cidr_of(subnet).filter(|_| subnet.vpc.as_ref() == Some(vpc) && is_overlay(subnet)) else {
            continue;
        };
        if let btree_map::Entry::Vacant(vacant) = state.routes.entry(cidr) {
            vacant.insert(NextHop::Addr(via));
            state.owners.insert(Entry::Route(cidr), object.key.clone());
        }
    }
}

/// An underlay network is reached through the VPC only when kube-ovn connects the two.
fn is_overlay(subnet: &SubnetSpec) -> bool {
    let last = subnet.provider.as_deref().map(|name| name.rsplit('.').next().unwrap_or(name));
    let ovn = last.is_none_or(|last| last == "ovn");
    ovn && (subnet.vlan.is_none() || subnet.u2o_interconnection == Some(true))
}

pub(super) fn subnet<'a>(index: &'a Index, name: &str) -> Option<&'a SubnetSpec> {
    match &index.get(&ObjectKey::new(Kind::Subnet, name))?.spec {
        Spec::Subnet(spec) => Some(spec),
        Spec::VpcNatGateway(_)
        | Spec::IptablesEip(_)
        | Spec::IptablesFipRule(_)
        | Spec::IptablesDnatRule(_)
        | Spec::IptablesSnatRule(_)
        | Spec::QosPolicy(_) => None,
    }
}

/// The IPv4 network; dual stack writes both with a comma. A default route is no network.
pub(super) fn cidr_of(subnet: &SubnetSpec) -> Option<Ipv4Cidr> {
    let mut parts = subnet.cidr_block.as_deref()?.split(',').map(str::trim);
    let Network { cidr, .. } = parts.find_map(|part| network(part).ok())?;
    (cidr.prefix_len() > 0).then_some(cidr)
}

fn gateway_of(subnet: &SubnetSpec) -> Option<[u8; 4]> {
    subnet.gateway.as_deref()?.split(',').map(str::trim).find_map(|part| address(part).ok())
}
