//! Every world that real objects make: two elastic IPs, each there or not, and up to three rules in every order of age.

use std::collections::BTreeMap;

use super::universe::Code;
use crate::core::{
    desired::DesiredState,
    objects::Object,
    plan::Actual,
    testing::{dnat, eip, fip, gateway, snat},
};

/// One world.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) desired: DesiredState,
    pub(crate) maps: Actual,
    pub(super) code: Code,
    /// An index of objects that makes it.
    pub(crate) objects: Vec<Object>,
}

/// Each kind of rule in all its variants. Its name, by which rules of no age are ordered, is its place among the rules
/// of a world.
fn rules(name: &str) -> Vec<Object> {
    let mut all = Vec::new();
    for eip in ["a", "b"] {
        all.push(fip(name, eip, "10.0.1.1"));
        all.push(fip(name, eip, "10.0.1.2"));
        all.push(dnat(name, eip, "tcp/80", "10.0.1.1:80"));
        all.push(dnat(name, eip, "tcp/80", "10.0.1.2:8080"));
        all.push(snat(name, eip, "10.0.1.0/24"));
        all.push(snat(name, eip, "10.0.1.1/32"));
    }
    all
}

/// Every world once, with the smallest set of objects that makes it.
pub(crate) fn worlds() -> Vec<World> {
    let mut worlds = BTreeMap::new();
    let [first, second, third] = ["r1", "r2", "r3"].map(rules);
    let some = |rules: &[Object]| -> Vec<Option<Object>> {
        std::iter::once(None).chain(rules.iter().cloned().map(Some)).collect()
    };
    let eips = [vec![], vec![eip("a", "203.0.113.10")], vec![eip("b", "203.0.113.11")], {
        vec![eip("a", "203.0.113.10"), eip("b", "203.0.113.11")]
    }];
    for eips in &eips {
        for third in &some(&third) {
            for second in &some(&second) {
                for first in &first {
                    let rules = [Some(first), second.as_ref(), third.as_ref()].into_iter().flatten().cloned();
                    add(eips.iter().cloned().chain(rules).collect(), &mut worlds);
                }
            }
        }
        add(eips.clone(), &mut worlds);
    }
    worlds.into_values().collect()
}

fn add(objects: Vec<Object>, worlds: &mut BTreeMap<Code, World>) {
    let with_gateway = objects.iter().cloned().chain([gateway("gw1", &[])]);
    let (desired, _) = DesiredState::build(&with_gateway.collect(), "gw1");
    let maps = Actual::from(&desired);
    let code = Code::of(&maps);
    let new = World { desired, maps, code, objects };
    let fewer = worlds.get(&code).is_none_or(|known| known.objects.len() > new.objects.len());
    if fewer {
        worlds.insert(code, new);
    }
}
