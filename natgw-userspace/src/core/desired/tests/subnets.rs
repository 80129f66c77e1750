//! What the external `Subnet` adds, and what is said when it cannot.

use super::*;
use crate::core::objects::Spec;

fn subnet(name: &str, cidr: &str, gateway: &str) -> Object {
    let spec = SubnetSpec {
        cidr_block: Some(cidr.to_owned()),
        gateway: Some(gateway.to_owned()),
        provider: Some(format!("{name}.default")),
        ..Default::default()
    };
    Object::new(name, spec)
}

fn gateway_on(subnets: &[&str]) -> Object {
    let external_subnets = subnets.iter().map(|name| (*name).to_owned()).collect();
    Object::new("gw1", VpcNatGatewaySpec { external_subnets, ..Default::default() })
}

fn network(text: &str) -> Ipv4Cidr {
    let (addr, len) = text.split_once('/').expect("a network");
    let addr: std::net::Ipv4Addr = addr.parse().expect("an address");
    Ipv4Cidr::new(addr.octets(), len.parse().expect("a length")).expect("a network")
}

#[test]
fn the_named_subnet_gives_the_prefix_and_the_default_route() {
    let outside = subnet("outside", "fd00::/64,203.0.112.0/23", "fd00::1,203.0.113.254");
    let default = subnet("ovn-vpc-external-network", "198.51.100.0/24", "198.51.100.1");
    let (state, said) = build([gateway_on(&["outside"]), eip("a", "203.0.113.10"), outside.clone(), default.clone()]);
    assert_eq!(said, [] as [&str; 0]);
    assert_eq!(state.external_networks, BTreeSet::from([network("203.0.112.0/23")]));
    assert_eq!(state.external_gateway, Some([203, 0, 113, 254]));
    // kube-ovn's default where none is named.
    let (state, said) = build([gateway_on(&[]), eip("a", "198.51.100.10"), outside.clone(), default]);
    assert_eq!(said, [] as [&str; 0]);
    assert_eq!(state.external_gateway, Some([198, 51, 100, 1]));
    // Without an EIP nothing needs the route.
    let (state, _) = build([gateway_on(&["outside"]), outside]);
    assert_eq!((state.external_networks.len(), state.external_gateway), (1, None));
}

#[test]
fn an_eip_may_be_of_another_subnet_than_its_gateway() {
    let mut other = eip("b", "198.51.100.10");
    let Spec::IptablesEip(spec) = &mut other.spec else { panic!("an EIP") };
    spec.external_subnet = Some("second".to_owned());
    let subnets =
        [subnet("outside", "203.0.113.0/24", "203.0.113.254"), subnet("second", "198.51.100.0/25", "198.51.100.1")];
    let objects = [gateway_on(&["outside"]), eip("a", "203.0.113.10"), other].into_iter().chain(subnets);
    let (state, said) = build(objects);
    assert_eq!(said, [] as [&str; 0]);
    assert_eq!(state.external_networks, BTreeSet::from([network("203.0.113.0/24"), network("198.51.100.0/25")]));
    assert_eq!(state.external_gateway, Some([203, 0, 113, 254]));
}

#[test]
fn a_subnet_that_is_missing_or_has_no_ipv4_is_named() {
    let (state, said) =
        build([gateway_on(&["outsied"]), eip("a", "203.0.113.10"), subnet("outside", "203.0.113.0/24", "203.0.113.1")]);
    assert_eq!(
        said,
        [
            "warning SubnetMissing VpcNatGateway/gw1: spec.externalSubnets: there is no Subnet `outsied`; EIPs get the prefix of \
             the interface, and no default route is set (create it, or name one that exists)"
        ]
    );
    assert_eq!((state.eips.len(), state.external_networks.len(), state.external_gateway), (1, 0, None));
    let (state, said) = build([gateway_on(&["six"]), eip("a", "203.0.113.10"), subnet("six", "fd00::/64", "fd00::1")]);
    assert_eq!(
        said,
        [
            "warning Unsupported VpcNatGateway/gw1: spec.externalSubnets: Subnet `six` has no IPv4 network (`fd00::/64`); EIPs \
             get the prefix of the interface (use a subnet with an IPv4 network)"
        ]
    );
    assert_eq!((state.eips.len(), state.external_networks.len(), state.external_gateway), (1, 0, None));
}

#[test]
fn what_nobody_says_any_more_may_be_kept() {
    let outside = subnet("outside", "203.0.113.0/24", "203.0.113.254");
    let mut routed = gateway("gw1", &[("10.0.2.0/24", "10.0.1.254")]);
    let Spec::VpcNatGateway(spec) = &mut routed.spec else { panic!("a gateway") };
    spec.external_subnets = vec!["outside".to_owned()];
    let (before, _) = build([routed, eip("a", "203.0.113.10"), outside.clone()]);
    let (mut now, _) = build([eip("a", "203.0.113.10"), eip("b", "203.0.113.11"), outside]);
    assert_eq!((now.routes.len(), now.external_networks.len(), now.external_gateway), (0, 0, None));
    now.keep_network_of(&before);
    assert_eq!((now.routes.len(), now.eips.len()), (1, 2));
    let outside = BTreeSet::from([network("203.0.113.0/24")]);
    assert_eq!((now.external_networks.clone(), now.external_gateway), (outside, Some([203, 0, 113, 254])));
    let route = Entry::Route(network("10.0.2.0/24"));
    assert_eq!(now.owner(&route), before.owner(&route));
}
