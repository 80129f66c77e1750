//! The metrics of `/metrics`: handles that the daemon sets, and collectors that look when somebody asks.
//!
//! Every series carries the prefix `natgw_` and only labels with a fixed set of values: never an address, a rule or a
//! flow. `docs/metrics.md` lists them, and a test compares.

mod cluster;
mod datapath;
mod labels;
mod objects;
mod reconcile;
mod sessions;
mod state;

use std::sync::Arc;

use natgw_common::abi::ABI_VERSION;
use prometheus_client::{encoding::text, metrics::info::Info, registry::Registry};

pub use self::{
    cluster::ClusterMetrics,
    labels::{Cause, Drift, Entries},
    objects::ObjectMetrics,
    reconcile::ReconcileMetrics,
    sessions::SessionMetrics,
};
use self::{datapath::DatapathCollector, state::StateCollector};
use super::Health;
use crate::datapath::GatewayPaths;

/// What [`Metrics::encode`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics. Cloning gives another handle to the same ones.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// What is wanted and what is in force.
    pub objects: ObjectMetrics,
    /// The passes of the loop.
    pub reconcile: ReconcileMetrics,
    /// Talking with the API server.
    pub cluster: ClusterMetrics,
    /// The session table.
    pub sessions: SessionMetrics,
    registry: Arc<Registry>,
}

impl Metrics {
    /// The metrics of the gateway of `paths`, whose maps need not exist yet.
    #[must_use]
    pub fn new(paths: GatewayPaths, health: Health) -> Self {
        let mut registry = Registry::with_prefix("natgw");
        let build = [("version", env!("CARGO_PKG_VERSION").to_owned()), ("abi_version", ABI_VERSION.to_string())];
        registry.register("build", "The running build and the version of its map layouts", Info::new(build));
        registry.register_collector(Box::new(StateCollector::new(paths.gateway(), health)));
        let objects = ObjectMetrics::register(&mut registry);
        let reconcile = ReconcileMetrics::register(&mut registry);
        let cluster = ClusterMetrics::register(&mut registry);
        let sessions = SessionMetrics::register(&mut registry);
        registry.register_collector(Box::new(DatapathCollector::new(paths)));
        Self { objects, reconcile, cluster, sessions, registry: Arc::new(registry) }
    }

    /// Everything in the `OpenMetrics` text format. Reads maps: blocking, for about a millisecond.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests;
