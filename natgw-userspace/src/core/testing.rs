//! Short ways to write objects, for tests.

use super::{
    diagnostic::Diagnostic,
    objects::{
        IptablesDnatRuleSpec, IptablesEipSpec, IptablesFipRuleSpec, IptablesSnatRuleSpec, Object, RouteSpec,
        VpcNatGatewaySpec,
    },
};

fn text(raw: &str) -> Option<String> {
    (!raw.is_empty()).then(|| raw.to_owned())
}

pub(crate) fn gateway(name: &str, routes: &[(&str, &str)]) -> Object {
    let routes =
        routes.iter().map(|(cidr, hop)| RouteSpec { cidr: text(cidr), next_hop_ip: text(hop) }).collect::<Vec<_>>();
    Object::new(name, VpcNatGatewaySpec { routes, ..Default::default() })
}

pub(crate) fn eip_on(name: &str, v4ip: &str, gateway: &str) -> Object {
    Object::new(name, IptablesEipSpec { v4ip: text(v4ip), nat_gw_dp: text(gateway), ..Default::default() })
}

pub(crate) fn eip(name: &str, v4ip: &str) -> Object {
    eip_on(name, v4ip, "gw1")
}

pub(crate) fn fip(name: &str, eip: &str, pod: &str) -> Object {
    Object::new(name, IptablesFipRuleSpec { eip: text(eip), internal_ip: text(pod) })
}

/// `outside` is `protocol/port`, `inside` is `address:port`.
pub(crate) fn dnat(name: &str, eip: &str, outside: &str, inside: &str) -> Object {
    let (protocol, external_port) = outside.split_once('/').expect("protocol/port");
    let (internal_ip, internal_port) = inside.split_once(':').expect("address:port");
    Object::new(
        name,
        IptablesDnatRuleSpec {
            eip: text(eip),
            external_port: text(external_port),
            protocol: text(protocol),
            internal_ip: text(internal_ip),
            internal_port: text(internal_port),
            sharing: None,
        },
    )
}

pub(crate) fn snat(name: &str, eip: &str, cidr: &str) -> Object {
    Object::new(name, IptablesSnatRuleSpec { eip: text(eip), internal_cidr: text(cidr) })
}

/// Created `seconds` after some moment.
pub(crate) fn aged(object: Object, seconds: u32) -> Object {
    object.created_at(format!("2026-01-01T00:00:{seconds:02}Z").parse().expect("a valid time"))
}

/// Each diagnostic as one line: `severity Reason text`.
pub(crate) fn lines(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(|d| format!("{} {} {d}", d.severity, d.reason)).collect()
}
