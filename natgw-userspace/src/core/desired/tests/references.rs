//! Names of nothing and addresses out of place: a warning each, and everything is programmed all the same.

use super::*;
use crate::core::objects::{QosPolicySpec, Spec};

fn subnet(name: &str, cidr: &str) -> Object {
    Object::new(name, SubnetSpec { cidr_block: Some(cidr.to_owned()), ..Default::default() })
}

fn world(gateway: VpcNatGatewaySpec) -> Vec<Object> {
    let gateway = VpcNatGatewaySpec { external_subnets: vec!["outside".to_owned()], ..gateway };
    vec![Object::new("gw1", gateway), subnet("outside", "203.0.113.0/24"), subnet("inside", "10.0.1.0/24")]
}

fn eip_of(name: &str, address: &str, external: &str) -> Object {
    let mut object = eip(name, address);
    let Spec::IptablesEip(spec) = &mut object.spec else { panic!("an EIP") };
    spec.external_subnet = Some(external.to_owned());
    object
}

#[test]
fn an_eip_outside_its_subnet_is_programmed_and_told() {
    let own = [eip("far", "198.51.100.10"), eip_of("near", "203.0.113.10", "outside")];
    let named = [eip_of("lost", "203.0.113.11", "nowhere"), eip_of("inner", "203.0.113.12", "inside")];
    let (state, said) = build(world(VpcNatGatewaySpec::default()).into_iter().chain(own).chain(named));
    assert_eq!(state.eips.len(), 4);
    assert_eq!(
        said,
        [
            "warning OutsideSubnet IptablesEIP/far: spec.v4ip: `198.51.100.10` is not in Subnet `outside` (203.0.113.0/24) \
             (give it an address of that network, or name another Subnet)",
            "warning OutsideSubnet IptablesEIP/inner: spec.v4ip: `203.0.113.12` is not in Subnet `inside` (10.0.1.0/24) \
             (give it an address of that network, or name another Subnet)",
            "warning SubnetMissing IptablesEIP/lost: spec.externalSubnet: there is no Subnet `nowhere` (create it, or name \
             one that exists)",
        ]
    );
}

#[test]
fn the_gateways_own_subnet_and_address_are_looked_at() {
    let gateway = |subnet: &str, lan_ip: &str| {
        world(VpcNatGatewaySpec {
            subnet: Some(subnet.to_owned()),
            lan_ip: Some(lan_ip.to_owned()),
            ..Default::default()
        })
    };
    let said = |subnet, lan_ip| build(gateway(subnet, lan_ip)).1;
    assert_eq!(said("inside", "10.0.1.1"), [] as [&str; 0]);
    assert_eq!(
        said("inside", "10.0.2.1"),
        [
            "warning OutsideSubnet VpcNatGateway/gw1: spec.lanIp: `10.0.2.1` is not in Subnet `inside` (10.0.1.0/24) (write \
             the address that the gateway has there)"
        ]
    );
    assert_eq!(
        said("insied", "10.0.1.1"),
        [
            "warning SubnetMissing VpcNatGateway/gw1: spec.subnet: there is no Subnet `insied` (create it, or name one that \
             exists)"
        ]
    );
    assert_eq!(
        said("inside", "10.0.1"),
        [
            "warning InvalidAddress VpcNatGateway/gw1: spec.lanIp: `10.0.1` is not an IPv4 address (write four numbers from \
             0 to 255, such as 10.0.1.2)"
        ]
    );
}

#[test]
fn the_gateways_address_may_be_of_both_families_and_is_read_without_subnets_too() {
    let said = |lan_ip: &str| {
        let spec = VpcNatGatewaySpec { lan_ip: Some(lan_ip.to_owned()), ..Default::default() };
        build([Object::new("gw1", spec), eip("a", "203.0.113.10")]).1
    };
    for right in ["10.0.1.1", "10.0.1.1,fd00::1", "fd00::1, 10.0.1.1", "fd00::1"] {
        assert_eq!(said(right), [] as [&str; 0], "{right}");
    }
    for wrong in ["10.0.1", "fd00::1,10.0.1", "127.0.0.1"] {
        assert!(said(wrong)[0].starts_with("warning InvalidAddress VpcNatGateway/gw1: spec.lanIp: "), "{wrong}");
    }
}

#[test]
fn where_there_is_no_subnet_none_is_missed() {
    let spec = VpcNatGatewaySpec {
        subnet: Some("inside".to_owned()),
        lan_ip: Some("10.9.9.9".to_owned()),
        ..Default::default()
    };
    let (_, said) = build([Object::new("gw1", spec), eip_of("a", "203.0.113.10", "outside")]);
    assert_eq!(said, [] as [&str; 0]);
}

#[test]
fn a_policy_that_is_not_there_is_told_apart_from_one_that_is_not_enforced() {
    let mut limited = eip("a", "203.0.113.10");
    let Spec::IptablesEip(spec) = &mut limited.spec else { panic!("an EIP") };
    spec.qos_policy = Some("slow".to_owned());
    let gateway = Object::new("gw1", VpcNatGatewaySpec { qos_policy: Some("fast".to_owned()), ..Default::default() });
    let (state, said) = build([gateway, limited, Object::new("fast", QosPolicySpec::default())]);
    assert_eq!(state.eips.len(), 1);
    assert_eq!(
        said,
        [
            "warning Unsupported VpcNatGateway/gw1: spec.qosPolicy: QoSPolicy `fast` is not enforced (remove it, or ignore \
             this)",
            "warning QosPolicyMissing IptablesEIP/a: spec.qosPolicy: there is no QoSPolicy `slow`, and natgw would not \
             enforce it (remove it, or ignore this)",
        ]
    );
}
