//! What the maps should hold: a pure function of the set of objects.
//!
//! Only objects of the given gateway count; a rule belongs to the gateway of its EIP. Objects that want the same thing
//! are ordered by age ([`Object::seniority`]): the oldest gets it, the others get a diagnostic that names it. An object
//! with an error never keeps another from being programmed, and is never a rival of one that is right.

mod dnat;
mod eips;
mod fields;
mod fips;
mod following;
mod references;
mod routes;
mod snat;
mod subnets;

use std::collections::{BTreeMap, BTreeSet};

use natgw_common::abi::{DnatKey, DnatTarget, EipEntry, EipFlags, Fip, SnatKey, SnatPool};
use serde::Serialize;

pub use self::following::Following;
use self::{eips::Eips, fields::Report};
pub use super::{
    cidr::Ipv4Cidr,
    diagnostic::{Diagnostic, Location, Position, Reason, Severity},
};
use super::{
    index::Index,
    objects::{Kind, Object, ObjectKey},
};

/// Entries of the rule maps and routes of one gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DesiredState {
    /// `EIPS`: address to what it carries.
    pub eips: BTreeMap<[u8; 4], EipEntry>,
    /// `FIP_IN`: EIP to pod.
    pub fip_in: BTreeMap<[u8; 4], Fip>,
    /// `FIP_OUT`: pod to EIP.
    pub fip_out: BTreeMap<[u8; 4], Fip>,
    /// `DNAT`.
    pub dnat: BTreeMap<DnatKey, DnatTarget>,
    /// `SNAT`.
    pub snat: BTreeMap<SnatKey, SnatPool>,
    /// Routes on the internal interface.
    pub routes: BTreeMap<Ipv4Cidr, NextHop>,
    /// Networks that the EIPs are from: an EIP gets the prefix length of the one that holds it.
    pub external_networks: BTreeSet<Ipv4Cidr>,
    /// Next hop of the default route on the external interface; `None` while nobody says or nothing needs one.
    pub external_gateway: Option<[u8; 4]>,
    /// Which object an entry comes from, for messages and `natgw rules`.
    pub owners: BTreeMap<Entry, ObjectKey>,
}

/// Where a route points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum NextHop {
    /// This address.
    Addr([u8; 4]),
    /// The gateway of the internal interface's subnet (`nextHopIP: gateway`).
    SubnetGateway,
}

/// Names one programmed thing in [`DesiredState::owners`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entry {
    /// An elastic IP.
    Eip([u8; 4]),
    /// The floating IP of an EIP: its `FIP_IN` entry, and `FIP_OUT` when that one names this EIP.
    Fip([u8; 4]),
    /// A port mapping.
    Dnat(DnatKey),
    /// One EIP of a source network's pool.
    Snat {
        /// The source network.
        cidr: SnatKey,
        /// The elastic IP.
        eip: [u8; 4],
    },
    /// A route.
    Route(Ipv4Cidr),
}

impl DesiredState {
    /// What `gateway` should do according to `index`, and everything that is wrong with its objects, sorted by object.
    #[must_use]
    pub fn build(index: &Index, gateway: &str) -> (Self, Vec<Diagnostic>) {
        let (state, said, _) = Self::build_with(index, gateway);
        (state, said)
    }

    fn build_with(index: &Index, gateway: &str) -> (Self, Vec<Diagnostic>, Eips) {
        let mut state = Self::default();
        let mut report = Report::default();
        let eips = Eips::build(index, gateway, &mut state, &mut report);
        fips::build(index, &eips, &mut state, &mut report);
        dnat::build(index, &eips, &mut state, &mut report);
        snat::build(index, &eips, &mut state, &mut report);
        state.mark_stateful();
        routes::build(index, gateway, &mut state, &mut report);
        subnets::build(index, gateway, &mut state, &mut report);
        references::build(index, gateway, &state, &mut report);
        (state, report.finish(), eips)
    }

    /// Marks the floating IPs whose flows need a session, once every rule is known.
    pub fn mark_stateful(&mut self) {
        fips::mark_stateful(self);
    }

    fn flag(&mut self, eip: [u8; 4], flag: EipFlags) {
        if let Some(entry) = self.eips.get_mut(&eip) {
            entry.flags |= flag as u32;
        }
    }

    /// Whether both have the same addresses and routes.
    #[must_use]
    pub fn has_network_of(&self, other: &Self) -> bool {
        self.eips.keys().eq(other.eips.keys())
            && self.routes == other.routes
            && self.external_networks == other.external_networks
            && self.external_gateway == other.external_gateway
    }

    /// Takes over the routes and networks of `other`, for as long as nobody says what they should be.
    pub fn keep_network_of(&mut self, other: &Self) {
        self.routes.clone_from(&other.routes);
        self.external_networks.clone_from(&other.external_networks);
        self.external_gateway = other.external_gateway;
        let routes = other.owners.iter().filter(|(entry, _)| matches!(entry, Entry::Route(_)));
        self.owners.extend(routes.map(|(entry, owner)| (*entry, owner.clone())));
    }

    /// The object that `entry` comes from.
    #[must_use]
    pub fn owner(&self, entry: &Entry) -> Option<&ObjectKey> {
        self.owners.get(entry)
    }
}

/// The objects of `kind`, the one with precedence first. A rule that waits for its finalizer is as good as gone; an EIP
/// is not while a rule uses it.
fn by_seniority(index: &Index, kind: Kind) -> Vec<&Object> {
    let objects = index.of_kind(kind).filter(|object| !object.deleting || kind == Kind::IptablesEip);
    // What is compared beside what is sorted: of ten thousand objects each is looked at once.
    let mut objects: Vec<_> = objects.map(|object| (object.seniority(), object)).collect();
    objects.sort_by_key(|(seniority, _)| *seniority);
    objects.into_iter().map(|(_, object)| object).collect()
}

#[cfg(test)]
mod tests;
