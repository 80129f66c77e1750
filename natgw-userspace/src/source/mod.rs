//! Where the objects come from: a directory of manifests or a cluster. The daemon sees one interface.

pub mod manifests;

use std::{collections::BTreeSet, path::PathBuf};

use crate::{
    cluster::{
        ClusterOptions,
        source::{ClusterSource, First, Watching},
    },
    core::{diagnostic::Diagnostic, index::Index, objects::ObjectKey},
};
use manifests::{ManifestSource, Snapshot};

/// Which source, and how to get there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceOptions {
    /// A directory.
    Manifests(PathBuf),
    /// A cluster.
    Cluster(ClusterOptions, Watching),
}

/// A source that is followed.
pub enum Source {
    /// A directory.
    Manifests(Box<Manifests>),
    /// A cluster.
    Cluster(Box<ClusterSource>),
}

/// A directory and what it said last.
pub struct Manifests {
    source: ManifestSource,
    snapshot: Snapshot,
    index: Index,
}

/// What a reading came to, besides the index.
#[derive(Debug, Default)]
pub struct Reading {
    /// What is wrong with files or objects as such.
    pub diagnostics: Vec<Diagnostic>,
    /// Why what was read may be less than everything; `None` when it is everything.
    pub incomplete: Option<String>,
    /// It is incomplete only because the rest is on its way.
    pub awaited: bool,
    /// The objects of which the index has changed since the last reading; `None`: any may have.
    pub changed: Option<BTreeSet<ObjectKey>>,
}

/// What woke whoever waited for [`Source::changed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The objects, or what can be said about them, changed.
    Objects,
    /// Only what others wrote about them changed.
    Observed,
    /// The connection was lost or is back.
    Connection,
    /// The source can no longer be followed; it has to be opened again.
    Broken(String),
}

impl Source {
    /// Opens the source; a cluster's first lists are `first`. Does not wait for anything to be read.
    ///
    /// # Errors
    /// In words: the directory cannot be watched, or the cluster's configuration cannot be used.
    pub async fn open(options: &SourceOptions, gateway: &str, first: First) -> Result<Self, String> {
        match options {
            SourceOptions::Manifests(dir) => {
                let source = ManifestSource::new(dir).map_err(|error| error.to_string())?;
                let state = Manifests { source, snapshot: Snapshot::default(), index: Index::new() };
                Ok(Self::Manifests(Box::new(state)))
            }
            SourceOptions::Cluster(options, watching) => {
                let source = ClusterSource::open(options, gateway, *watching, first).await;
                source.map(|source| Self::Cluster(Box::new(source))).map_err(|error| error.to_string())
            }
        }
    }

    /// Brings the index up to date.
    pub fn read(&mut self) -> Reading {
        match self {
            Self::Manifests(state) => {
                state.snapshot = state.source.load();
                state.index = state.snapshot.objects.iter().cloned().collect();
                let incomplete = state.snapshot.incomplete();
                let diagnostics = state.snapshot.diagnostics.clone();
                Reading { diagnostics, incomplete, awaited: false, changed: None }
            }
            Self::Cluster(source) => Reading {
                diagnostics: source.diagnostics(),
                incomplete: source.incomplete(),
                awaited: source.is_at_hand(),
                changed: source.take_asked(),
            },
        }
    }

    /// The objects as last read.
    #[must_use]
    pub fn index(&self) -> &Index {
        match self {
            Self::Manifests(state) => &state.index,
            Self::Cluster(source) => source.index(),
        }
    }

    /// Fills in where the fields that `diagnostics` name are written, if that is known.
    pub fn locate(&self, diagnostics: &mut [Diagnostic]) {
        match self {
            Self::Manifests(state) => state.snapshot.locate(diagnostics),
            Self::Cluster(_) => {}
        }
    }

    /// The cluster, if it is one.
    #[must_use]
    pub fn cluster(&self) -> Option<&ClusterSource> {
        match self {
            Self::Manifests(_) => None,
            Self::Cluster(source) => Some(source),
        }
    }

    /// As [`Self::cluster`].
    pub fn cluster_mut(&mut self) -> Option<&mut ClusterSource> {
        match self {
            Self::Manifests(_) => None,
            Self::Cluster(source) => Some(source),
        }
    }

    /// Returns when there is news. Cancel-safe.
    pub async fn changed(&mut self) -> News {
        match self {
            Self::Manifests(state) => match state.source.changed().await {
                Ok(()) => News::Objects,
                Err(error) => News::Broken(error.to_string()),
            },
            Self::Cluster(source) => {
                let change = source.changed().await;
                match change {
                    change if change.desired => News::Objects,
                    change if change.observed => News::Observed,
                    _ => News::Connection,
                }
            }
        }
    }
}
