//! What objects name, and whether their addresses lie where they should: what kube-ovn's webhook refuses where it runs.
//! Each is a warning. The traffic goes on as the rest of the object says.

use std::net::Ipv4Addr;

use super::{
    DesiredState, Entry, Reason,
    fields::{Problem, Report, address},
    subnets::{self, cidr_of, subnet},
};
use crate::core::{
    index::Index,
    objects::{Kind, Object, ObjectKey, Spec, VpcNatGatewaySpec},
};

/// After the EIPs, whose owners are looked up here.
pub(super) fn build(index: &Index, gateway: &str, state: &DesiredState, report: &mut Report) {
    let own = index.get(&ObjectKey::new(Kind::VpcNatGateway, gateway));
    let spec =
        own.and_then(|object| if let Spec::VpcNatGateway(spec) = &object.spec { Some((object, spec)) } else { None });
    let lan_ip = spec.and_then(|(object, spec)| lan_ip(object, spec, report));
    // Where there is no Subnet at all (manifests, a cluster without kube-ovn) none can be named wrongly.
    if index.of_kind(Kind::Subnet).next().is_none() {
        return;
    }
    if let Some((object, spec)) = spec {
        internal_subnet(index, object, spec, lan_ip, report);
    }
    let default = spec.map(|(_, spec)| subnets::external_name(spec));
    for (entry, key) in &state.owners {
        let Entry::Eip(addr) = entry else { continue };
        if let Some(Object { spec: Spec::IptablesEip(eip), .. }) = index.get(key) {
            let named = eip.external_subnet.as_deref();
            external_subnet(index, key, *addr, named, default, report);
        }
    }
}

/// The IPv4 address of `spec.lanIp`; dual stack writes both with a comma.
fn lan_ip(object: &Object, spec: &VpcNatGatewaySpec, report: &mut Report) -> Option<[u8; 4]> {
    let parts: Vec<_> = spec.lan_ip.as_deref()?.split(',').map(|part| address(part.trim())).collect();
    let found = parts.iter().find_map(|part| part.as_ref().ok().copied());
    // IPv6 alone is somebody's right: it is only not ours.
    let wrong = parts.into_iter().find_map(|part| part.err().filter(|problem| problem.reason != Reason::Unsupported));
    if let (None, Some(problem)) = (found, wrong) {
        report.warning(&object.key, "spec.lanIp", problem);
    }
    found
}

/// `spec.subnet` and `spec.lanIp` of the gateway.
fn internal_subnet(
    index: &Index,
    object: &Object,
    spec: &VpcNatGatewaySpec,
    lan_ip: Option<[u8; 4]>,
    report: &mut Report,
) {
    let Some(name) = spec.subnet.as_deref() else { return };
    let Some(named) = subnet(index, name) else {
        report.warning(&object.key, "spec.subnet", missing(name));
        return;
    };
    if let (Some(addr), Some(cidr)) = (lan_ip, cidr_of(named))
        && !cidr.contains(addr)
    {
        let problem = outside(addr, name, &cidr.to_string(), "write the address that the gateway has there");
        report.warning(&object.key, "spec.lanIp", problem);
    }
}

/// The subnet that an EIP names, else that of its gateway, whose absence is the gateway's mistake.
fn external_subnet(
    index: &Index,
    key: &ObjectKey,
    addr: [u8; 4],
    named: Option<&str>,
    default: Option<&str>,
    report: &mut Report,
) {
    let Some(name) = named.or(default) else { return };
    match subnet(index, name) {
        None if named.is_some() => report.warning(key, "spec.externalSubnet", missing(name)),
        None => {}
        Some(found) => {
            if let Some(cidr) = cidr_of(found).filter(|cidr| !cidr.contains(addr)) {
                let problem = outside(
                    addr,
                    name,
                    &cidr.to_string(),
                    "give it an address of that network, or name another Subnet",
                );
                report.warning(key, "spec.v4ip", problem);
            }
        }
    }
}

fn missing(name: &str) -> Problem {
    Problem::new(Reason::SubnetMissing, format!("there is no Subnet `{name}`"), "create it, or name one that exists")
}

fn outside(addr: [u8; 4], subnet: &str, cidr: &str, fix: &str) -> Problem {
    let addr = Ipv4Addr::from(addr);
    Problem::new(Reason::OutsideSubnet, format!("`{addr}` is not in Subnet `{subnet}` ({cidr})"), fix)
}
