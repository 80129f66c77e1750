//! The cluster as the daemon sees it: an index that follows the API server, and what is wrong with the connection.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use clap::ValueEnum;
use kube::Client;
use serde::Deserialize;
use tokio::{
    sync::mpsc::{self, Receiver},
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{
    client::{ClientError, ClusterOptions, connect},
    fold::{Change, Fold, Observed},
    links::Links,
    watch::{Heard, Selection, watch},
};
pub use super::{links::WatchCount, watch::First};
use crate::core::{
    diagnostic::Diagnostic,
    index::Index,
    objects::{Kind, ObjectKey},
    verdict::Unread,
};

/// Events on their way; a list of many objects waits for the fold.
const CHANNEL: usize = 1024;
/// A burst is over after this silence ...
const QUIET: Duration = Duration::from_millis(2);
/// ... or this long after it began.
const LONGEST_BURST: Duration = Duration::from_millis(25);

/// The label that kube-ovn's controller writes on EIPs and rules.
pub const GATEWAY_LABEL: &str = "ovn.kubernetes.io/vpc-nat-gw-name";

/// Which objects of the cluster are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Watching {
    /// All of them: whose they are is decided by their specs.
    #[default]
    All,
    /// EIPs and rules that carry kube-ovn's label with the gateway's name: less to hold in large clusters, but needs
    /// kube-ovn's controller.
    Labelled,
}

/// A cluster, watched.
pub struct ClusterSource {
    client: Client,
    fold: Fold,
    heard: Receiver<Heard>,
    links: Links,
    /// Ends with the source.
    _tasks: JoinSet<()>,
    pending: Change,
    /// What was at hand has been told; next comes what is complete.
    at_hand_told: bool,
    gateway: ObjectKey,
}

impl ClusterSource {
    /// Starts to watch. Does not wait for the server.
    ///
    /// # Errors
    /// The configuration leads nowhere.
    pub async fn open(
        options: &ClusterOptions,
        gateway: &str,
        watching: Watching,
        first: First,
    ) -> Result<Self, ClientError> {
        let links = Links::default();
        let client = connect(options, &links).await?;
        let (sender, heard) = mpsc::channel(CHANNEL);
        let mut tasks = JoinSet::new();
        for kind in Kind::ALL {
            let labels = match (kind, watching) {
                (Kind::VpcNatGateway | Kind::QosPolicy | Kind::Subnet, _) | (_, Watching::All) => None,
                (
                    Kind::IptablesEip | Kind::IptablesFipRule | Kind::IptablesDnatRule | Kind::IptablesSnatRule,
                    Watching::Labelled,
                ) => Some(format!("{GATEWAY_LABEL}={gateway}")),
            };
            let selection = Selection { labels, first };
            tasks.spawn(watch(kind, client.clone(), selection, links.clone(), sender.clone()));
        }
        let gateway = ObjectKey::new(Kind::VpcNatGateway, gateway);
        Ok(Self {
            client,
            fold: Fold::default(),
            heard,
            links,
            _tasks: tasks,
            pending: Change::default(),
            at_hand_told: false,
            gateway,
        })
    }

    /// The client, for whoever writes.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Returns when something changed since the last call and has come to rest for a moment, but with objects only when
    /// something is known of every kind, and then when all have been listed: rules without their EIPs would look like
    /// mistakes. Cancel-safe.
    pub async fn changed(&mut self) -> Change {
        while self.pending == Change::default() || self.is_partial() {
            tokio::select! {
                heard = self.heard.recv() => self.take(heard),
                // Nothing is asked for, but there is something to report.
                () = self.links.changed() => return Change::default(),
            }
        }
        let end = Instant::now() + LONGEST_BURST;
        while let Ok(heard) = timeout_at((Instant::now() + QUIET).min(end), self.heard.recv()).await {
            self.take(heard);
            if Instant::now() >= end {
                break;
            }
        }
        self.at_hand_told = true;
        std::mem::take(&mut self.pending)
    }

    fn is_partial(&self) -> bool {
        let lacking = if self.at_hand_told { self.fold.unlisted().next() } else { self.fold.unknown().next() };
        lacking.is_some()
    }

    fn take(&mut self, heard: Option<Heard>) {
        // The senders live as long as the tasks, and those as long as this.
        if let Some((kind, told)) = heard {
            let change = self.fold.take(kind, told);
            self.pending.add(change);
        }
    }

    /// Whether [`Self::changed`] has yet to tell of a change of what is asked for, which the index has already.
    #[must_use]
    pub const fn is_unsettled(&self) -> bool {
        self.pending.desired
    }

    /// The objects.
    #[must_use]
    pub fn index(&self) -> &Index {
        self.fold.index()
    }

    /// What the server holds of an object besides its spec.
    #[must_use]
    pub fn observed(&self, key: &ObjectKey) -> Option<&Observed> {
        self.fold.observed(key)
    }

    /// The objects of which [`Self::observed`] has changed since the last call.
    pub fn take_fresh(&mut self) -> BTreeSet<ObjectKey> {
        self.fold.take_fresh()
    }

    /// The objects of which [`Self::index`] has changed since the last call; `None`: any may have.
    pub fn take_asked(&mut self) -> Option<BTreeSet<ObjectKey>> {
        self.fold.take_asked()
    }

    /// What is wrong with objects that cannot be read.
    #[must_use]
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        self.fold.malformed().cloned().collect()
    }

    /// The generations of the specs that cannot be read.
    #[must_use]
    pub fn unread(&self) -> Unread {
        self.fold.unread()
    }

    /// Whether something is known of every kind, but not yet whether it is the newest.
    #[must_use]
    pub fn is_at_hand(&self) -> bool {
        self.fold.unknown().next().is_none() && self.fold.unlisted().next().is_some()
    }

    /// Whether no object that can be read says what the gateway is for. Means something once everything was listed.
    #[must_use]
    pub fn lacks_gateway(&self) -> bool {
        self.index().get(&self.gateway).is_none()
    }

    /// Why it is not known yet what the gateway should do; `None` when it is.
    #[must_use]
    pub fn incomplete(&self) -> Option<String> {
        let unlisted: Vec<_> = self.fold.unlisted().map(Kind::plural).collect();
        if !unlisted.is_empty() {
            let unlisted = unlisted.join(", ");
            return Some(if self.is_at_hand() {
                format!(
                    "in force is what the API server had in memory; it has yet to say what is newest, and nothing is \
                     removed until then ({unlisted})"
                )
            } else {
                format!("the cluster has not been read yet ({unlisted})")
            });
        }
        let name = &self.gateway.name;
        self.lacks_gateway().then(|| {
            format!(
                "there is no VpcNatGateway `{name}` in the cluster; waiting for it, and nothing is removed until then"
            )
        })
    }

    /// What is wrong with the connection, one sentence per kind.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.links.failing().into_values().map(|(_, why)| why).collect()
    }

    /// What the watches have come to so far, by kind.
    #[must_use]
    pub fn watch_counts(&self) -> BTreeMap<Kind, WatchCount> {
        self.links.counted()
    }

    /// Since when what is known of a required kind may be out of date.
    #[must_use]
    pub fn stale_since(&self) -> Option<Instant> {
        let failing = self.links.failing();
        Kind::REQUIRED.iter().filter_map(|kind| failing.get(kind)).map(|(since, _)| *since).min()
    }
}
