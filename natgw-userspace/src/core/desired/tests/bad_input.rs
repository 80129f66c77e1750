//! Every kind of bad input: the exact words, and every other rule stays programmed.

use super::*;

/// Adds `bad` to a gateway with one good rule of each kind, checks that they stay, and returns what is said.
fn said_about(bad: impl IntoIterator<Item = Object>) -> Vec<String> {
    let good = [
        gateway("gw1", &[("10.1.0.0/16", "gateway")]),
        eip("a", "203.0.113.10"),
        eip("b", "203.0.113.11"),
        eip("c", "203.0.113.12"),
        fip("good-fip", "a", "10.0.1.3"),
        dnat("good-dnat", "b", "tcp/8080", "10.0.1.2:80"),
        snat("good-snat", "c", "10.0.1.0/24"),
    ];
    let (before, none) = build(good.clone());
    assert!(none.is_empty(), "the good objects are good: {none:?}");
    let (after, said) = build(good.into_iter().chain(bad));
    for key in before.eips.keys() {
        assert!(after.eips.contains_key(key));
    }
    for key in before.fip_in.keys() {
        assert_eq!(before.fip_in[key].addr, after.fip_in[key].addr);
    }
    for (key, target) in &before.dnat {
        assert_eq!(after.dnat.get(key), Some(target));
    }
    for (key, pool) in &before.snat {
        assert_eq!(after.snat.get(key), Some(pool));
    }
    assert!(before.routes.iter().all(|(cidr, hop)| after.routes.get(cidr) == Some(hop)));
    said
}

fn case(bad: impl IntoIterator<Item = Object>, want: &[&str]) {
    assert_eq!(said_about(bad), want);
}

#[test]
fn elastic_ips() {
    case(
        [eip("e", "")],
        &[
            "error MissingField IptablesEIP/e: spec.v4ip: not set, and there is no controller behind these objects that \
           would choose an address (set it to a free address of the external subnet)",
        ],
    );
    case(
        [eip("e", "203.0.113.300")],
        &["error InvalidAddress IptablesEIP/e: spec.v4ip: `203.0.113.300` is not an IPv4 address (write four numbers \
           from 0 to 255, such as 10.0.1.2)"],
    );
    case(
        [eip("e", "2001:db8::1")],
        &["error Unsupported IptablesEIP/e: spec.v4ip: `2001:db8::1` is IPv6, which is not translated (give IPv4)"],
    );
    case(
        [eip_on("e", "203.0.113.13", "")],
        &["error MissingField IptablesEIP/e: spec.natGwDp: required, but not set (set it, for example the name of a \
           VpcNatGateway)"],
    );
    case(
        [eip("e", "203.0.113.10")],
        &["error DuplicateAddress IptablesEIP/e: spec.v4ip: `203.0.113.10` is the address of IptablesEIP `a`, which \
           comes first by name (give this EIP another address, or delete one of the two)"],
    );
    case(
        [aged(eip("0", "203.0.113.10"), 1)],
        &[
            "error DuplicateAddress IptablesEIP/0: spec.v4ip: `203.0.113.10` is the address of IptablesEIP `a`, which is \
           older (give this EIP another address, or delete one of the two)",
        ],
    );
    case(
        [eip_on("e", "203.0.113.10", "gw2")],
        &[
            "warning DuplicateAddress IptablesEIP/a: spec.v4ip: `203.0.113.10` is also the address of IptablesEIP `e` on \
           gateway `gw2` (give one of the two another address, unless the two external networks are separate)",
        ],
    );
}

#[test]
fn an_eip_with_only_an_ipv6_address_and_a_bandwidth_policy_say_what_is_not_done() {
    let dual = |v4ip: Option<&str>| {
        let spec = crate::core::objects::IptablesEipSpec {
            v4ip: v4ip.map(str::to_owned),
            v6ip: Some("2001:db8::1".into()),
            nat_gw_dp: Some("gw1".into()),
            qos_policy: Some("fast".into()),
            ..Default::default()
        };
        Object::new("e", spec)
    };
    case(
        [dual(None)],
        &["error Unsupported IptablesEIP/e: spec.v4ip: not set, and `2001:db8::1` in spec.v6ip is IPv6, which is not \
           translated (set spec.v4ip)"],
    );
    case(
        [dual(Some("203.0.113.13"))],
        &[
            "warning Unsupported IptablesEIP/e: spec.qosPolicy: QoSPolicy `fast` is not enforced (remove it, or ignore \
             this)",
            "warning Unsupported IptablesEIP/e: spec.v6ip: `2001:db8::1` is not configured: IPv4 only (remove it, or \
             ignore this)",
        ],
    );
}

#[test]
fn rules_without_a_usable_eip() {
    case(
        [fip("r", "nope", "10.0.1.9")],
        &["error EipMissing IptablesFIPRule/r: spec.eip: there is no IptablesEIP `nope` (create it, or name one that \
           exists)"],
    );
    case(
        [snat("r", "", "10.0.9.0/24")],
        &[
            "error MissingField IptablesSnatRule/r: spec.eip: required, but not set (set it, for example the name of an \
           IptablesEIP)",
        ],
    );
    case(
        [eip("e", "x"), dnat("r", "e", "tcp/1", "10.0.1.9:1")],
        &[
            "error InvalidAddress IptablesEIP/e: spec.v4ip: `x` is not an IPv4 address (write four numbers from 0 to \
             255, such as 10.0.1.2)",
            "error EipNotProgrammed IptablesDnatRule/r: spec.eip: IptablesEIP `e` has an error of its own (repair \
             IptablesEIP `e`)",
        ],
    );
}

#[test]
fn floating_ips() {
    case(
        [fip("r", "b", "fd00::9")],
        &[
            "error Unsupported IptablesFIPRule/r: spec.internalIp: `fd00::9` is IPv6, which is not translated (give IPv4)",
        ],
    );
    case(
        [fip("r", "b", "")],
        &[
            "error MissingField IptablesFIPRule/r: spec.internalIp: required, but not set (set it, for example 10.0.1.2)",
        ],
    );
    case(
        [fip("r", "a", "10.0.1.9")],
        &[
            "error DuplicateFip IptablesFIPRule/r: spec.eip: IptablesEIP `a` is used by IptablesFIPRule `good-fip`, which \
           comes first by name (use another EIP, or delete one of the two)",
        ],
    );
    case(
        [aged(fip("r", "a", "10.0.1.3"), 1)],
        &[
            "error DuplicateFip IptablesFIPRule/r: spec.eip: IptablesEIP `a` is used by IptablesFIPRule `good-fip`, which \
           is older (use another EIP, or delete one of the two)",
        ],
    );
    case(
        [eip("e", "203.0.113.13"), fip("r", "e", "203.0.113.11")],
        &[
            "warning TargetIsEip IptablesFIPRule/r: spec.internalIp: `203.0.113.11` is itself an elastic IP of this gateway \
           (give the pod's own address)",
        ],
    );
}

#[test]
fn port_mappings() {
    case(
        [dnat("r", "b", "tcp/70000", "10.0.1.2:80")],
        &["error InvalidPort IptablesDnatRule/r: spec.externalPort: `70000` is not a port (give a number from 1 to \
           65535)"],
    );
    case(
        [dnat("r", "b", "tcp/80-90", "10.0.1.2:80")],
        &["error InvalidPort IptablesDnatRule/r: spec.externalPort: `80-90` is not a port (give one port; each port \
           needs a rule of its own)"],
    );
    case(
        [dnat("r", "b", "tcp/80", "10.0.1.2:0")],
        &["error InvalidPort IptablesDnatRule/r: spec.internalPort: `0` is not a port (give a number from 1 to 65535)"],
    );
    case(
        [dnat("r", "b", "sctp/80", "10.0.1.2:80")],
        &[
            "error InvalidProtocol IptablesDnatRule/r: spec.protocol: `sctp` is not a protocol that a DNAT rule can map \
           (use tcp or udp; a floating IP carries every protocol)",
        ],
    );
    case(
        [dnat("r", "b", "TCP/8080", "10.0.1.9:1")],
        &["error DuplicateDnat IptablesDnatRule/r: spec.externalPort: tcp port 8080 of IptablesEIP `b` is mapped by \
           IptablesDnatRule `good-dnat`, which comes first by name (use another port, or delete one of the two)"],
    );
    // One line for each problem, not only for the first.
    case(
        [dnat("r", "nope", "/", "127.0.0.1:")],
        &[
            "error EipMissing IptablesDnatRule/r: spec.eip: there is no IptablesEIP `nope` (create it, or name one that \
             exists)",
            "error MissingField IptablesDnatRule/r: spec.externalPort: required, but not set (set it, for example \
             \"8080\")",
            "error InvalidAddress IptablesDnatRule/r: spec.internalIp: `127.0.0.1` is a loopback address (give the \
             address of one host)",
            "error MissingField IptablesDnatRule/r: spec.internalPort: required, but not set (set it, for example \
             \"80\")",
            "error MissingField IptablesDnatRule/r: spec.protocol: required, but not set (set it, for example tcp)",
        ],
    );
}

#[test]
fn a_shared_mapping_is_refused_and_an_exclusive_one_is_not() {
    let typed = |sharing: &str| {
        let mut object = dnat("r", "b", "tcp/81", "10.0.1.2:80");
        if let crate::core::objects::Spec::IptablesDnatRule(spec) = &mut object.spec {
            spec.sharing = Some(sharing.to_owned());
        }
        object
    };
    case([typed("exclusive")], &[]);
    case(
        [typed("share")],
        &[
            "error Unsupported IptablesDnatRule/r: spec.type: `share` is not supported: a mapping has one target (remove \
           it, or write `exclusive`)",
        ],
    );
}

#[test]
fn source_nat() {
    case(
        [snat("r", "b", "10.0.9.0/33")],
        &[
            "error InvalidCidr IptablesSnatRule/r: spec.internalCIDR: `10.0.9.0/33` is not an IPv4 network (give a prefix \
           length from 0 to 32)",
        ],
    );
    case(
        [snat("r", "b", "fd00::/64")],
        &[
            "error Unsupported IptablesSnatRule/r: spec.internalCIDR: `fd00::/64` is IPv6, which is not translated (give \
           IPv4)",
        ],
    );
    case(
        [snat("r", "b", "10.0.9.9/24")],
        &["warning HostBitsSet IptablesSnatRule/r: spec.internalCIDR: `10.0.9.9/24` has host bits set; read as \
           `10.0.9.0/24` (write `10.0.9.0/24`, or a longer prefix)"],
    );
    case(
        [snat("r", "c", "10.0.1.0/24")],
        &[
            "warning DuplicateSnat IptablesSnatRule/r: IptablesSnatRule `good-snat` already translates `10.0.1.0/24` to \
           this EIP (delete one of the two)",
        ],
    );
}

#[test]
fn routes() {
    let said = |routes: &[(&str, &str)]| build([gateway("gw1", routes), eip("a", "203.0.113.10")]);
    let (state, lines) =
        said(&[("", "gateway"), ("10.1.0.0/16", "next"), ("10.2.0.0/16", "10.0.1.9"), ("10.2.0.0/16", "gateway")]);
    assert_eq!(state.routes.values().collect::<Vec<_>>(), [&NextHop::Addr([10, 0, 1, 9])]);
    assert_eq!(
        lines,
        [
            "error MissingField VpcNatGateway/gw1: spec.routes[0].cidr: required, but not set (set it, for example \
             10.1.0.0/16)",
            "error InvalidAddress VpcNatGateway/gw1: spec.routes[1].nextHopIP: `next` is not an IPv4 address (give an \
             IPv4 address, or `gateway` for the subnet's gateway)",
            "error DuplicateRoute VpcNatGateway/gw1: spec.routes[3].cidr: `10.2.0.0/16` already has a route further up \
             (remove one of the two)",
        ]
    );
}

#[test]
fn a_gateway_that_nothing_names_is_probably_misspelt() {
    let (state, said) = build([gateway("gw-1", &[]), eip_on("a", "203.0.113.10", "gw-1")]);
    assert_eq!(state, DesiredState::default());
    assert_eq!(
        said,
        [
            "warning GatewayMissing VpcNatGateway/gw1: no object belongs to this gateway, so nothing is translated (add it, \
          or use one of `gw-1`)"
        ]
    );
}

#[test]
fn more_eips_than_the_map_holds_are_refused_one_by_one_and_the_oldest_stay() {
    let eips = (0..16_386_u32).map(|n| {
        let addr = std::net::Ipv4Addr::from_bits(0x6440_0001 + n);
        eip(&format!("e{n:05}"), &addr.to_string())
    });
    let (state, said) = build(eips.chain([fip("f", "e16385", "10.0.1.3")]));
    assert_eq!(state.eips.len(), 16_384);
    assert!(state.eips.contains_key(&[100, 64, 64, 0]) && !state.eips.contains_key(&[100, 64, 64, 1]));
    assert_eq!(
        said,
        [
            "error EipLimit IptablesEIP/e16384: spec.natGwDp: the gateway already has 16384 EIPs, which is all it can \
             hold (move it to another gateway)",
            "error EipLimit IptablesEIP/e16385: spec.natGwDp: the gateway already has 16384 EIPs, which is all it can \
             hold (move it to another gateway)",
            "error EipNotProgrammed IptablesFIPRule/f: spec.eip: IptablesEIP `e16385` has an error of its own (repair \
             IptablesEIP `e16385`)",
        ]
    );
}

#[test]
fn an_eip_that_is_reserved_for_something_else_is_a_warning() {
    let subnet = SubnetSpec { cidr_block: Some("203.0.113.0/24".to_owned()), ..Default::default() };
    let spec = VpcNatGatewaySpec {
        lan_ip: Some("10.0.1.1".to_owned()),
        external_subnets: vec!["external".to_owned()],
        ..Default::default()
    };
    let (state, said) = build([
        Object::new("external", subnet),
        Object::new("gw1", spec),
        eip("a", "203.0.113.0"),
        eip("b", "203.0.113.255"),
        eip("c", "10.0.1.1"),
        eip("d", "203.0.113.1"),
    ]);
    assert_eq!(state.eips.len(), 4);
    let line = |name: &str, what: &str| {
        format!("warning ReservedAddress IptablesEIP/{name}: spec.v4ip: {what} (give the EIP a free address)")
    };
    assert_eq!(
        said,
        [
            line("a", "`203.0.113.0` is the network address of 203.0.113.0/24"),
            line("b", "`203.0.113.255` is the broadcast address of 203.0.113.0/24"),
            line("c", "`10.0.1.1` is the gateway's own address in the VPC (spec.lanIp)"),
            "warning OutsideSubnet IptablesEIP/c: spec.v4ip: `10.0.1.1` is not in Subnet `external` (203.0.113.0/24) (give \
             it an address of that network, or name another Subnet)"
                .to_owned(),
        ]
    );
}
