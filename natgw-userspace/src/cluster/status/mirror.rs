//! `--own-status`: the fields that kube-ovn's controller would write, for clusters where it does not run.
//!
//! Contract: each rule kind mirrors its spec when it is in force, an EIP says which kinds use it, in the fixed order
//! `dnat,fip,snat`. A rule that is not in force is `ready: false` and keeps its mirror.

use std::{collections::BTreeMap, net::Ipv4Addr};

use serde_json::{Map, Value, json};

use crate::core::{
    desired::{DesiredState, Entry},
    index::Index,
    objects::{Kind, Object, ObjectKey, Spec},
};

/// What rules need to know about EIPs and the other way round.
pub(super) struct Mirrors<'a> {
    index: &'a Index,
    gateway: &'a str,
    /// Kinds of the rules in force on each EIP.
    uses: BTreeMap<[u8; 4], [bool; 3]>,
}

const USES: [&str; 3] = ["dnat", "fip", "snat"];

/// Every field of a mirror, of whatever kind.
const FIELDS: [&str; 9] =
    ["ip", "nat", "v4ip", "natGwDp", "protocol", "internalIp", "internalPort", "externalPort", "internalCIDR"];

impl<'a> Mirrors<'a> {
    pub(super) fn new(index: &'a Index, gateway: &'a str, state: &DesiredState) -> Self {
        let mut uses: BTreeMap<[u8; 4], [bool; 3]> = BTreeMap::new();
        for entry in state.owners.keys() {
            let (eip, slot) = match entry {
                Entry::Dnat(key) => (key.eip, 0),
                Entry::Fip(eip) => (*eip, 1),
                Entry::Snat { eip, .. } => (*eip, 2),
                Entry::Eip(_) | Entry::Route(_) => continue,
            };
            if let Some(used) = uses.entry(eip).or_default().get_mut(slot) {
                *used = true;
            }
        }
        Self { index, gateway, uses }
    }

    /// The status fields of the object, `conditions` aside; null for one that has to be absent. What `status` mirrors is
    /// said again of an object that is not in force: a server-side apply takes away what it does not name.
    pub(super) fn of(&self, key: &ObjectKey, ready: bool, status: &Value) -> Map<String, Value> {
        let mut fields = Map::new();
        match key.kind {
            // kube-ovn has no such field there.
            Kind::QosPolicy | Kind::Subnet => return fields,
            Kind::VpcNatGateway
            | Kind::IptablesEip
            | Kind::IptablesFipRule
            | Kind::IptablesDnatRule
            | Kind::IptablesSnatRule => {}
        }
        fields.insert("ready".to_owned(), json!(ready));
        match self.index.get(key) {
            Some(object) if ready => self.mirror(object, &mut fields),
            // Also of one that could never be read.
            Some(_) | None => {
                let there = FIELDS.iter().filter_map(|name| Some(((*name).to_owned(), status.get(*name)?.clone())));
                fields.extend(there.filter(|(_, value)| !value.is_null() && value != ""));
            }
        }
        fields
    }

    fn mirror(&self, object: &Object, fields: &mut Map<String, Value>) {
        // Absent, not empty: see `core::verdict`.
        let mut put = |name: &str, value: Option<&str>| {
            fields.insert(name.to_owned(), json!(value.filter(|value| !value.is_empty())));
        };
        match &object.spec {
            Spec::IptablesEip(spec) => {
                put("ip", spec.v4ip.as_deref());
                let address = spec.v4ip.as_deref().and_then(|text| text.parse::<Ipv4Addr>().ok());
                let used = address.and_then(|address| self.uses.get(&address.octets())).copied().unwrap_or_default();
                let words: Vec<_> =
                    USES.into_iter().zip(used).filter(|(_, used)| *used).map(|(word, _)| word).collect();
                put("nat", Some(&words.join(",")));
            }
            Spec::IptablesFipRule(spec) => {
                self.rule(spec.eip.as_deref(), &mut put);
                put("internalIp", spec.internal_ip.as_deref());
            }
            Spec::IptablesDnatRule(spec) => {
                self.rule(spec.eip.as_deref(), &mut put);
                put("protocol", spec.protocol.as_deref());
                put("internalIp", spec.internal_ip.as_deref());
                put("internalPort", spec.internal_port.as_deref());
                put("externalPort", spec.external_port.as_deref());
            }
            Spec::IptablesSnatRule(spec) => {
                self.rule(spec.eip.as_deref(), &mut put);
                put("internalCIDR", spec.internal_cidr.as_deref());
            }
            Spec::VpcNatGateway(_) | Spec::QosPolicy(_) | Spec::Subnet(_) => {}
        }
    }

    fn rule(&self, eip: Option<&str>, put: &mut impl FnMut(&str, Option<&str>)) {
        let object = eip.and_then(|name| self.index.get(&ObjectKey::new(Kind::IptablesEip, name)));
        let address = object.and_then(|object| match &object.spec {
            Spec::IptablesEip(spec) => spec.v4ip.as_deref(),
            Spec::VpcNatGateway(_)
            | Spec::IptablesFipRule(_)
            | Spec::IptablesDnatRule(_)
            | Spec::IptablesSnatRule(_)
            | Spec::QosPolicy(_)
            | Spec::Subnet(_) => None,
        });
        put("v4ip", address);
        put("natGwDp", Some(self.gateway));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{dnat, eip, fip, gateway, snat};

    fn mirror(kind: Kind, name: &str, ready: bool) -> Value {
        let objects = [
            gateway("gw1", &[]),
            eip("a", "203.0.113.10"),
            eip("idle", "203.0.113.11"),
            fip("f", "a", "10.0.1.2"),
            dnat("d", "a", "tcp/80", "10.0.1.3:8080"),
            snat("s", "a", "10.0.1.0/24"),
        ];
        let index: Index = objects.into_iter().collect();
        let (state, _) = DesiredState::build(&index, "gw1");
        Value::Object(Mirrors::new(&index, "gw1", &state).of(
            &ObjectKey::new(kind, name),
            ready,
            &json!({"v4ip": "old", "conditions": [], "redo": "x", "nat": ""}),
        ))
    }

    #[test]
    fn every_kind_mirrors_what_kube_ovn_mirrors() {
        let eip = mirror(Kind::IptablesEip, "a", true);
        assert_eq!(eip, json!({"ready": true, "ip": "203.0.113.10", "nat": "dnat,fip,snat"}));
        assert_eq!(mirror(Kind::IptablesEip, "idle", true)["nat"], Value::Null);
        assert_eq!(
            mirror(Kind::IptablesFipRule, "f", true),
            json!({"ready": true, "v4ip": "203.0.113.10", "natGwDp": "gw1", "internalIp": "10.0.1.2"})
        );
        assert_eq!(
            mirror(Kind::IptablesDnatRule, "d", true),
            json!({
                "ready": true, "v4ip": "203.0.113.10", "natGwDp": "gw1", "protocol": "tcp",
                "internalIp": "10.0.1.3", "internalPort": "8080", "externalPort": "80"
            })
        );
        assert_eq!(
            mirror(Kind::IptablesSnatRule, "s", true),
            json!({"ready": true, "v4ip": "203.0.113.10", "natGwDp": "gw1", "internalCIDR": "10.0.1.0/24"})
        );
        assert_eq!(mirror(Kind::VpcNatGateway, "gw1", true), json!({"ready": true}));
    }

    #[test]
    fn what_is_not_in_force_is_said_to_be_not_ready_and_keeps_its_mirror() {
        for name in ["f", "never read"] {
            assert_eq!(mirror(Kind::IptablesFipRule, name, false), json!({"ready": false, "v4ip": "old"}), "{name}");
        }
    }
}
