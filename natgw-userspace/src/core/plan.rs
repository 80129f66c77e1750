//! The difference between what the maps should hold and what they hold, as an ordered list of map writes.
//!
//! Make before break: everything new or changed is written first, and a changed entry is overwritten in place, so no
//! entry that exists before and after is ever absent in between. Then rules that are gone are removed, then their
//! EIPs, so that at no point a rule names an EIP that the programs do not know.
//!
//! Each state in between is one that may last, because the daemon may be killed after any write. A packet fares in it
//! as before or as after, and answers come back; `small_worlds` tries all of this, and says where two maps cannot
//! change together.

mod floating;

use std::collections::BTreeMap;

use natgw_common::abi::{DnatKey, DnatTarget, EipEntry, Fip, SnatKey, SnatPool};

use self::floating::floating;
use super::{
    desired::DesiredState,
    difference::{changed, gone},
};

/// What the rule maps hold now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Actual {
    /// `EIPS`.
    pub eips: BTreeMap<[u8; 4], EipEntry>,
    /// `FIP_IN`.
    pub fip_in: BTreeMap<[u8; 4], Fip>,
    /// `FIP_OUT`.
    pub fip_out: BTreeMap<[u8; 4], Fip>,
    /// `DNAT`.
    pub dnat: BTreeMap<DnatKey, DnatTarget>,
    /// `SNAT`.
    pub snat: BTreeMap<SnatKey, SnatPool>,
}

/// One write to one map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapOp {
    /// Insert into or overwrite in `EIPS`.
    PutEip([u8; 4], EipEntry),
    /// Insert into or overwrite in `FIP_OUT`.
    PutFipOut([u8; 4], Fip),
    /// Insert into or overwrite in `FIP_IN`.
    PutFipIn([u8; 4], Fip),
    /// Insert into or overwrite in `DNAT`.
    PutDnat(DnatKey, DnatTarget),
    /// Insert into or overwrite in `SNAT`.
    PutSnat(SnatKey, SnatPool),
    /// Remove from `SNAT`.
    DelSnat(SnatKey),
    /// Remove from `DNAT`.
    DelDnat(DnatKey),
    /// Remove from `FIP_IN`.
    DelFipIn([u8; 4]),
    /// Remove from `FIP_OUT`.
    DelFipOut([u8; 4]),
    /// Remove from `EIPS`.
    DelEip([u8; 4]),
}

/// Sessions that must end once the writes are done: the rule that made them is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndSessions {
    /// Every session of this elastic IP.
    Eip([u8; 4]),
    /// The sessions of a floating IP between this EIP and this pod.
    Fip {
        /// The elastic IP.
        eip: [u8; 4],
        /// The pod it pointed to.
        pod: [u8; 4],
    },
    /// The sessions of a port mapping to this target.
    Dnat {
        /// The identity of the mapping.
        key: DnatKey,
        /// Where it pointed to.
        target: DnatTarget,
    },
}

/// What to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Map writes, make before break.
    pub ops: Vec<MapOp>,
    /// Sessions to end after the writes. An EIP that goes is listed besides its rules.
    pub end: Vec<EndSessions>,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.end.is_empty()
    }
}

impl Actual {
    /// Carries out one write: the model of what the kernel does.
    pub fn apply(&mut self, op: &MapOp) {
        match *op {
            MapOp::PutEip(key, value) => drop(self.eips.insert(key, value)),
            MapOp::PutFipOut(key, value) => drop(self.fip_out.insert(key, value)),
            MapOp::PutFipIn(key, value) => drop(self.fip_in.insert(key, value)),
            MapOp::PutDnat(key, value) => drop(self.dnat.insert(key, value)),
            MapOp::PutSnat(key, value) => drop(self.snat.insert(key, value)),
            MapOp::DelSnat(key) => drop(self.snat.remove(&key)),
            MapOp::DelDnat(key) => drop(self.dnat.remove(&key)),
            MapOp::DelFipIn(key) => drop(self.fip_in.remove(&key)),
            MapOp::DelFipOut(key) => drop(self.fip_out.remove(&key)),
            MapOp::DelEip(key) => drop(self.eips.remove(&key)),
        }
    }
}

impl From<&DesiredState> for Actual {
    fn from(desired: &DesiredState) -> Self {
        Self {
            eips: desired.eips.clone(),
            fip_in: desired.fip_in.clone(),
            fip_out: desired.fip_out.clone(),
            dnat: desired.dnat.clone(),
            snat: desired.snat.clone(),
        }
    }
}

/// What turns `actual` into `desired`. Empty when nothing differs.
#[must_use]
pub fn plan(desired: &DesiredState, actual: &Actual) -> Plan {
    let mut ops = Vec::new();
    ops.extend(changed(&desired.eips, &actual.eips).map(|(k, v)| MapOp::PutEip(*k, *v)));
    let floating = floating(desired, actual);
    ops.extend(floating.marks);
    // The outbound half of a floating IP comes first: a reply of the pod that finds no FIP_OUT entry could become an
    // SNAT session, which would outlive the moment. And it precedes SNAT, whose ports must not be handed out on an EIP
    // before its floating IP is marked stateful.
    ops.extend(floating.moves);
    ops.extend(changed(&desired.dnat, &actual.dnat).map(|(k, v)| MapOp::PutDnat(*k, *v)));
    // Keys are in the order of their prefix length. A host finds the longest prefix: what a wider network says must not
    // reach it before its own, newer one is there, and not again while its own, older one goes.
    ops.extend(changed(&desired.snat, &actual.snat).rev().map(|(k, v)| MapOp::PutSnat(*k, *v)));
    ops.extend(gone(&desired.snat, &actual.snat).copied().map(MapOp::DelSnat));
    ops.extend(gone(&desired.dnat, &actual.dnat).copied().map(MapOp::DelDnat));
    ops.extend(gone(&desired.fip_in, &actual.fip_in).copied().map(MapOp::DelFipIn));
    ops.extend(gone(&desired.fip_out, &actual.fip_out).copied().map(MapOp::DelFipOut));
    ops.extend(floating.clears);
    ops.extend(gone(&desired.eips, &actual.eips).copied().map(MapOp::DelEip));

    let mut end = Vec::new();
    end.extend(gone(&desired.eips, &actual.eips).copied().map(EndSessions::Eip));
    end.extend(
        actual
            .fip_in
            .iter()
            .filter(|(eip, old)| desired.fip_in.get(*eip).is_none_or(|new| new.addr != old.addr))
            .map(|(eip, old)| EndSessions::Fip { eip: *eip, pod: old.addr }),
    );
    end.extend(
        changed(&actual.dnat, &desired.dnat)
            // A floating IP to the same place carries them on, and the hairpinned ones may be its own.
            .filter(|(key, old)| {
                old.port != key.port || desired.fip_in.get(&key.eip).is_none_or(|fip| fip.addr != old.addr)
            })
            .map(|(key, target)| EndSessions::Dnat { key: *key, target: *target }),
    );
    Plan { ops, end }
}

#[cfg(test)]
mod tests;
