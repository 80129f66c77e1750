//! Rules that come and go at random beside some that stay.

use std::{collections::BTreeSet, net::Ipv4Addr};

use crate::{
    Proto, Rules, Topology,
    capture::{Captured, Way, assert_no_private_address_leaves, passed},
    lab::{EIP1, EIP2, EIP3},
    random::Random,
    rules::Rule,
    topology::{CLIENT, GW_EXTERNAL, POD2},
    traffic::VPC_CIDR,
};

const EIP4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 13);

/// Rules that are there all the time: traffic through them must never notice anything.
#[must_use]
pub fn stable() -> Rules {
    Rules::new()
        .eip("eip1", EIP1)
        .snat("eip1", VPC_CIDR)
        .dnat("eip1", Proto::Udp, 53, CLIENT, 5353)
        .eip("eip2", EIP2)
        .fip("eip2", POD2)
}

/// The stable rules and some others: elastic IPs that come and go, port mappings with changing targets, a source
/// prefix that moves between two EIPs.
#[must_use]
pub fn random_rules(random: &mut Random) -> Rules {
    let mut rules = stable();
    let third = random.below(3) > 0;
    if third {
        rules = rules.eip("eip3", EIP3);
        for _ in 0..random.below(8) {
            let (port, target) = (1000 + random.below(20), if random.below(2) == 0 { CLIENT } else { POD2 });
            if !rules.yaml().contains(&format!("dnat-eip3-udp-{port}\n")) {
                rules = rules.dnat("eip3", Proto::Udp, port, target, 5353);
            }
        }
        if random.below(2) == 0 {
            rules = rules.snat("eip3", CLIENT);
        }
    }
    if random.below(2) == 0 {
        rules = rules.eip("eip4", EIP4).snat("eip4", "10.0.2.0/24");
    }
    rules
}

/// The gateway's addresses on `net1`.
#[must_use]
pub fn addresses(net: &Topology) -> BTreeSet<String> {
    let shown = net.gw.command("ip", &["-o", "-4", "addr", "show", "dev", "net1"]);
    let words: Vec<&str> = shown.split_whitespace().collect();
    words.windows(2).filter(|pair| pair[0] == "inet").map(|pair| pair[1].to_owned()).collect()
}

/// What they have to be.
#[must_use]
pub fn expected_addresses(rules: &Rules) -> BTreeSet<String> {
    let eips = rules.rules().iter().filter_map(|rule| match rule {
        Rule::Eip { address, .. } => Some(format!("{address}/24")),
        Rule::Fip { .. } | Rule::Dnat { .. } | Rule::Snat { .. } | Rule::Route { .. } | Rule::Raw(_) => None,
    });
    eips.chain([format!("{GW_EXTERNAL}/24")]).collect()
}

/// Asserts that nothing un-translated has left, and nothing with an address that is nobody's.
///
/// # Panics
/// When something has.
pub fn assert_known_sources(captured: &[Captured]) {
    assert_no_private_address_leaves(captured);
    let leaving = passed(captured, "net1", Way::Out);
    let sources: BTreeSet<_> = leaving.iter().map(|packet| packet.source).collect();
    assert!(sources.is_subset(&BTreeSet::from([EIP1, EIP2, EIP3, GW_EXTERNAL])), "{sources:?}");
}
