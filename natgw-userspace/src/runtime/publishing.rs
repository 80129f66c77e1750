//! What the daemon says in the cluster: which verdict each object has, and what happened to the gateway.

use std::{collections::BTreeMap, net::Ipv4Addr};

use natgw_common::abi::{DropReason, SnatKey};

use super::{daemon::Daemon, telling::word};
use crate::{
    cluster::{
        source::ClusterSource,
        status::{
            events::{Note, Severity},
            ready::GatewayFacts,
            wanted::{Said, differences, differences_of},
            writer::{Tally, Writer},
        },
    },
    core::{
        desired::{DesiredState, Entry},
        difference::{changed, gone},
        objects::{Kind, ObjectKey},
        plan::MapOp,
        verdict::{Failures, Verdict, reason, verdicts},
    },
    source::Source,
};

/// Drop reasons that mean that something is used up.
const EXHAUSTION: [(DropReason, &str); 2] = [
    (
        DropReason::NoPort,
        "new flows were refused: an EIP has no free port towards a destination; add an EIP to the pool",
    ),
    (
        DropReason::TableFull,
        "new flows were refused: the session table is full; raise max_sessions, or shorten timeouts",
    ),
];

/// What is said so far.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    writer: Option<Writer>,
    /// What [`Daemon::publish`] has judged last.
    verdicts: BTreeMap<ObjectKey, Verdict>,
    /// How many things had failed then.
    failures: usize,
    /// What the server holds of every object is to be compared, whatever is news.
    all: bool,
    /// What could not be written into the maps, by object.
    pub(super) map_failures: Failures,
    /// Addresses that could not be set.
    pub(super) address_failures: Vec<(Ipv4Addr, String)>,
    /// Drops of each of [`EXHAUSTION`] as last seen.
    exhausted: Option<[u64; 2]>,
}

impl Publishing {
    /// Begins to write, if the source is a cluster.
    pub(super) fn start(&mut self, source: Option<&Source>, gateway: &str) {
        let cluster = source.and_then(Source::cluster);
        self.writer = cluster.map(|cluster| Writer::start(cluster.client(), gateway));
        self.compare_all();
    }

    /// The next time, what the server holds of every object is compared with what is to be said.
    pub(super) const fn compare_all(&mut self) {
        self.all = true;
    }

    /// What was written so far, if the source is a cluster.
    pub(super) fn tally(&self) -> Option<Tally> {
        self.writer.as_ref().map(Writer::tally)
    }

    /// Takes over which map writes failed.
    pub(super) fn maps_written(&mut self, failed: &[(MapOp, String)], state: &DesiredState) {
        self.map_failures.clear();
        for (op, error) in failed {
            for owner in owners(op).into_iter().filter_map(|entry| state.owner(&entry)) {
                self.map_failures.insert(owner.clone(), (reason::DATA_PLANE_ERROR, error.clone()));
            }
        }
    }
}

/// Whose entry an operation writes.
fn owners(op: &MapOp) -> Vec<Entry> {
    match op {
        MapOp::PutEip(eip, _) => vec![Entry::Eip(*eip)],
        MapOp::PutFipIn(eip, _) => vec![Entry::Fip(*eip)],
        MapOp::PutFipOut(_, fip) => vec![Entry::Fip(fip.addr)],
        MapOp::PutDnat(key, _) => vec![Entry::Dnat(*key)],
        MapOp::PutSnat(key, pool) => {
            let used = usize::try_from(pool.count).unwrap_or(0);
            let entry = |eip: &[u8; 4]| Entry::Snat { cidr: SnatKey { ..*key }, eip: *eip };
            pool.eips.iter().take(used).map(entry).collect()
        }
        MapOp::DelSnat(_) | MapOp::DelDnat(_) | MapOp::DelFipIn(_) | MapOp::DelFipOut(_) | MapOp::DelEip(_) => {
            Vec::new()
        }
    }
}

impl Daemon<'_> {
    /// Whether the source holds objects that no pass has seen: a verdict now would be on what they said before.
    pub(super) fn is_unsettled(&self) -> bool {
        self.source.as_ref().and_then(Source::cluster).is_some_and(ClusterSource::is_unsettled)
    }

    /// Judges every object of the last pass and hands the writer what has to be said about those of which the verdict or
    /// the status has changed.
    pub(super) fn publish(&mut self) {
        if !self.may_publish() {
            return;
        }
        let failures = self.failures();
        let gateway = self.options.gateway.as_str();
        let Some(source) = self.source.as_mut() else { return };
        let mut news = source.cluster_mut().map(ClusterSource::take_fresh).unwrap_or_default();
        let unread = source.cluster().map(ClusterSource::unread).unwrap_or_default();
        let verdicts = verdicts(source.index(), gateway, &self.desired, &self.diagnostics, &unread, &failures);
        self.publishing.failures = failures.len();
        let before = std::mem::replace(&mut self.publishing.verdicts, verdicts);
        // A status that mirrors specs says something of other objects, too.
        if std::mem::take(&mut self.publishing.all) || self.options.own_status {
            return self.say(|writer, said, cluster| writer.set(differences(said, cluster)));
        }
        let now = &self.publishing.verdicts;
        news.extend(changed(now, &before).map(|(key, _)| key).chain(gone(now, &before)).cloned());
        // It says how many entries there are.
        news.insert(ObjectKey::new(Kind::VpcNatGateway, gateway));
        self.say(|writer, said, cluster| writer.update(differences_of(said, cluster, news)));
    }

    /// Hands the writer what has to be said about the objects whose status has changed: the verdicts are what they were.
    pub(super) fn publish_observed(&mut self) {
        if !self.may_publish() {
            return;
        }
        let fresh = self.source.as_mut().and_then(Source::cluster_mut).map(ClusterSource::take_fresh);
        let fresh = fresh.unwrap_or_default();
        self.say(|writer, said, cluster| writer.update(differences_of(said, cluster, fresh)));
    }

    fn may_publish(&self) -> bool {
        self.publishing.writer.is_some() && self.complete && self.begun
    }

    fn say(&self, hand_over: impl FnOnce(&Writer, &Said<'_>, &ClusterSource)) {
        let (Some(writer), Some(source)) = (&self.publishing.writer, &self.source) else { return };
        let Some(cluster) = source.cluster() else { return };
        let said = Said {
            index: source.index(),
            gateway: self.options.gateway.as_str(),
            state: &self.desired,
            verdicts: &self.publishing.verdicts,
            facts: &self.facts(self.publishing.failures),
            own_status: self.options.own_status,
        };
        hand_over(writer, &said, cluster);
    }

    fn failures(&self) -> Failures {
        let mut failures = self.publishing.map_failures.clone();
        let owner = |addr: &[u8; 4]| self.desired.owner(&Entry::Eip(*addr)).cloned();
        for (addr, error) in &self.publishing.address_failures {
            failures.extend(owner(&addr.octets()).map(|key| (key, (reason::DATA_PLANE_ERROR, error.clone()))));
        }
        if self.network.external.link.is_none() {
            let name = &self.network.external.name;
            let text =
                format!("`{name}` does not exist, so the address is nowhere (the pod's network attachment brings it)");
            let eips = self.desired.eips.keys().filter_map(owner);
            failures.extend(eips.map(|key| (key, (reason::INTERFACE_MISSING, text.clone()))));
        }
        failures
    }

    fn facts(&self, failures: usize) -> GatewayFacts {
        let interfaces = [&self.network.internal, &self.network.external];
        let missing = interfaces.iter().filter(|interface| interface.link.is_none());
        let bare = interfaces.iter().zip(self.mechanisms).filter(|(_, mechanism)| mechanism.is_none());
        let state = &self.effective;
        GatewayFacts {
            missing: missing.map(|interface| interface.name.clone()).collect(),
            unattached: bare.map(|(interface, _)| interface.name.clone()).collect(),
            mechanism: self.mechanisms[1].map_or("nothing", word),
            failures,
            counts: [state.eips.len(), state.fip_in.len(), state.dnat.len(), state.snat.len(), state.routes.len()],
        }
    }

    /// An Event about the gateway.
    pub(super) fn note(&self, severity: Severity, reason: &str, action: &str, text: String) {
        let (Some(writer), Some(cluster)) = (&self.publishing.writer, self.source.as_ref().and_then(Source::cluster))
        else {
            return;
        };
        let about = ObjectKey::new(Kind::VpcNatGateway, self.options.gateway.as_str());
        let Some(observed) = cluster.observed(&about) else { return };
        let (uid, reason, action) = (observed.uid.clone(), reason.to_owned(), action.to_owned());
        writer.note(Note { about, uid, severity, reason, action, text });
    }

    /// Looks for refusals since the last look.
    pub(super) fn tell_exhaustion(&mut self) {
        let Ok(counters) = tokio::task::block_in_place(|| self.datapath.maps().counters()) else { return };
        let count = |wanted: DropReason| {
            counters.drops.iter().find(|(reason, _)| *reason == wanted).map_or(0, |(_, traffic)| traffic.packets)
        };
        let now = EXHAUSTION.map(|(reason, _)| count(reason));
        let before = self.publishing.exhausted.replace(now);
        for ((reason, text), (now, before)) in EXHAUSTION.iter().zip(now.iter().zip(before.unwrap_or(now))) {
            if *now > before {
                let refused = now - before;
                tracing::warn!(refused, reason = reason.name(), "{text}");
                self.note(Severity::Warning, "Exhausted", "Translate", format!("{refused} packets: {text}"));
            }
        }
    }
}
