//! What a set of objects becomes, and what is said about it.

mod bad_input;
mod following;
mod purity;
mod references;
mod subnets;

use natgw_common::abi::{DnatKey, DnatTarget, EipFlags, FipFlags, SNAT_POOL_MAX, SnatKey};

use super::*;
use crate::core::{
    objects::{SubnetSpec, VpcNatGatewaySpec},
    testing::{aged, dnat, eip, eip_on, fip, gateway, lines, snat},
};

const A: [u8; 4] = [203, 0, 113, 10];
const B: [u8; 4] = [203, 0, 113, 11];
const POD: [u8; 4] = [10, 0, 1, 2];
const STATEFUL: u32 = FipFlags::Stateful as u32;

fn build(objects: impl IntoIterator<Item = Object>) -> (DesiredState, Vec<String>) {
    let (state, diagnostics) = DesiredState::build(&objects.into_iter().collect(), "gw1");
    (state, lines(&diagnostics))
}

fn two_eips() -> Vec<Object> {
    vec![gateway("gw1", &[]), eip("a", "203.0.113.10"), eip("b", "203.0.113.11")]
}

fn with(mut objects: Vec<Object>, more: impl IntoIterator<Item = Object>) -> Vec<Object> {
    objects.extend(more);
    objects
}

fn cidr24(addr: [u8; 4]) -> SnatKey {
    SnatKey { prefix_len: 24, addr }
}

#[test]
fn every_rule_kind_on_one_eip_is_programmed() {
    let (state, said) = build(with(
        two_eips(),
        [fip("f", "a", "10.0.1.3"), dnat("d", "a", "TCP/8080", "10.0.1.2:80"), snat("s", "a", "10.0.1.0/24")],
    ));
    let flags = EipFlags::Fip as u32 | EipFlags::Dnat as u32 | EipFlags::Snat as u32;
    assert_eq!(state.eips, BTreeMap::from([(A, EipEntry { flags }), (B, EipEntry { flags: 0 })]));
    assert_eq!(state.fip_in, BTreeMap::from([(A, Fip { addr: [10, 0, 1, 3], flags: STATEFUL })]));
    assert_eq!(state.fip_out, BTreeMap::from([([10, 0, 1, 3], Fip { addr: A, flags: STATEFUL })]));
    let key = DnatKey::new(A, 8080_u16.to_be_bytes(), 6);
    assert_eq!(state.dnat, BTreeMap::from([(key, DnatTarget::new(POD, 80_u16.to_be_bytes()))]));
    let pool = state.snat.get(&cidr24([10, 0, 1, 0])).expect("the pool");
    assert_eq!((pool.count, pool.eips[0], pool.eips[1]), (1, A, [0; 4]));
    assert_eq!(state.owner(&Entry::Dnat(key)).map(ToString::to_string).as_deref(), Some("IptablesDnatRule/d"));
    assert_eq!(
        said,
        [
            "warning ShadowedByFip IptablesDnatRule/d: spec.eip: IptablesFIPRule `f` takes every new flow to this EIP (use \
          another EIP, or delete one of the two)"
        ]
    );
}

#[test]
fn a_floating_ip_alone_on_its_eip_is_stateless() {
    let (state, said) = build(with(two_eips(), [fip("f", "a", "10.0.1.2"), snat("s", "b", "10.0.1.0/24")]));
    assert_eq!(state.fip_in, BTreeMap::from([(A, Fip { addr: POD, flags: 0 })]));
    assert_eq!(state.fip_out, BTreeMap::from([(POD, Fip { addr: A, flags: 0 })]));
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn two_eips_for_one_pod_both_work_inbound_and_the_oldest_outbound() {
    let rules = [aged(fip("f1", "a", "10.0.1.2"), 2), aged(fip("f2", "b", "10.0.1.2"), 1)];
    let (state, said) = build(with(two_eips(), rules));
    assert_eq!(
        state.fip_in,
        BTreeMap::from([(A, Fip { addr: POD, flags: STATEFUL }), (B, Fip { addr: POD, flags: 0 })])
    );
    assert_eq!(state.fip_out, BTreeMap::from([(POD, Fip { addr: B, flags: 0 })]));
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn tcp_and_udp_share_a_port() {
    let rules = [dnat("t", "a", "tcp/53", "10.0.1.2:53"), dnat("u", "a", "UDP/53", "10.0.1.3:53")];
    let (state, said) = build(with(two_eips(), rules));
    assert_eq!(state.dnat.len(), 2);
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn overlapping_networks_are_allowed_and_one_network_with_several_eips_is_a_pool_oldest_first() {
    let rules = [
        aged(snat("young", "a", "10.0.1.0/24"), 9),
        aged(snat("old", "b", "10.0.1.0/24"), 1),
        snat("wide", "a", "10.0.0.0/16"),
        snat("host", "a", "10.0.1.7"),
    ];
    let (state, said) = build(with(two_eips(), rules));
    let pools: Vec<_> = state.snat.iter().map(|(k, p)| (k.prefix_len, p.count, p.eips[0], p.eips[1])).collect();
    assert_eq!(pools, [(16, 1, A, [0; 4]), (24, 2, B, A), (32, 1, A, [0; 4])]);
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn a_pool_takes_sixteen_eips_and_refuses_the_next_by_name() {
    let mut objects = vec![gateway("gw1", &[])];
    for n in 10..=26 {
        objects.push(eip(&format!("e{n}"), &format!("203.0.113.{n}")));
        objects.push(snat(&format!("s{n}"), &format!("e{n}"), "10.0.1.0/24"));
    }
    let (state, said) = build(objects);
    let pool = state.snat.get(&cidr24([10, 0, 1, 0])).expect("the pool");
    assert_eq!((pool.count, pool.eips[SNAT_POOL_MAX - 1]), (16, [203, 0, 113, 25]));
    assert_eq!(
        said,
        [
            "error PoolLimit IptablesSnatRule/s26: spec.eip: `10.0.1.0/24` has 16 older EIPs, which is the limit of a pool \
          (delete this rule, or split the network)"
        ]
    );
}

#[test]
fn objects_of_another_gateway_are_ignored_without_a_word() {
    let (state, said) = build([
        gateway("gw1", &[]),
        gateway("gw2", &[("not a cidr", "")]),
        eip("a", "203.0.113.10"),
        eip_on("other", "nonsense", "gw2"),
        fip("f", "other", "also nonsense"),
        dnat("d", "other", "sctp/0", "x:y"),
        snat("s", "other", ""),
    ]);
    assert_eq!(state.eips.keys().collect::<Vec<_>>(), [&A]);
    assert!(state.fip_in.is_empty() && state.dnat.is_empty() && state.snat.is_empty() && state.routes.is_empty());
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn routes_go_to_an_address_or_to_the_subnets_gateway() {
    let (state, said) =
        build([gateway("gw1", &[("10.1.0.0/16", "10.0.1.254"), ("10.2.0.0/16", "gateway")]), eip("a", "203.0.113.10")]);
    let routes: Vec<_> = state.routes.iter().map(|(cidr, hop)| (cidr.to_string(), *hop)).collect();
    assert_eq!(
        routes,
        [
            ("10.1.0.0/16".to_owned(), NextHop::Addr([10, 0, 1, 254])),
            ("10.2.0.0/16".to_owned(), NextHop::SubnetGateway)
        ]
    );
    assert!(said.is_empty(), "{said:?}");
}
