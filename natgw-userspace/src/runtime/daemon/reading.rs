//! The source: opened, read, and what follows from it.

use std::sync::Arc;

use tokio::task::block_in_place;

use super::Daemon;
use crate::{
    cluster::source::{ClusterSource, First},
    runtime::{hold::hold, startup, work::Cause},
    source::{Source, SourceOptions},
};

impl Daemon<'_> {
    /// Opens the source. A cluster comes later, by [`Self::take_source`].
    async fn open_source(&mut self) {
        match self.options.source {
            SourceOptions::Manifests(_) => {
                let opened = Source::open(&self.options.source, &self.options.gateway, First::Newest).await;
                self.take_source(opened);
            }
            // Whatever comes of it, everything is looked at again after the usual wait.
            SourceOptions::Cluster(..) if self.opening.is_none() => {
                self.opening = Some(startup::open(self.options, &self.paths));
                self.backoff.failed(tokio::time::Instant::now());
            }
            SourceOptions::Cluster(..) => {
                self.backoff.failed(tokio::time::Instant::now());
                let waiting =
                    "the credentials of the kubeconfig are still being waited for: does its plugin (`exec`) hang?";
                self.observer.health.open(Some(waiting));
                self.reporter.problems("source", [waiting.to_owned()]);
            }
        }
    }

    pub(super) fn take_source(&mut self, opened: Result<Source, String>) {
        let (source, error) = match opened {
            Ok(source) => (Some(source), None),
            Err(error) => (None, Some(error)),
        };
        self.source = source;
        self.publishing.start(self.source.as_ref(), &self.options.gateway);
        self.observer.health.open(error.as_deref());
        if self.reporter.problems("source", error) > 0 {
            self.backoff.failed(tokio::time::Instant::now());
        }
    }

    /// Reads the source again. Returns whether it wants something else than before. What did not change is taken for what it
    /// was only for a change: whatever is looked at to be sure is built anew.
    pub(super) async fn read_source(&mut self, cause: Cause) -> bool {
        if self.watch_broken || self.source.is_none() {
            self.watch_broken = false;
            if self.source.is_none() {
                self.open_source().await;
            }
        }
        let Some(source) = self.source.as_mut() else { return false };
        let reading = block_in_place(|| source.read());
        let gateway = &self.options.gateway;
        match reading.changed.filter(|_| cause == Cause::Change) {
            Some(changed) => self.following.follow(source.index(), gateway, &changed),
            None => self.following.build(source.index(), gateway),
        }
        let mut desired = Arc::clone(self.following.state());
        let mut diagnostics = self.following.diagnostics().to_vec();
        let orphaned = self.complete && source.cluster().is_some_and(ClusterSource::lacks_gateway);
        let mut incomplete = reading.incomplete;
        if orphaned {
            Arc::make_mut(&mut desired).keep_network_of(&self.desired);
            incomplete =
                Some(format!("VpcNatGateway `{gateway}` is gone from the cluster; its routes stay until it is back"));
        }
        source.locate(&mut diagnostics);
        diagnostics.extend(reading.diagnostics);
        self.objects = source.index().len();
        self.reporter.diagnostics(diagnostics.clone());
        self.diagnostics = diagnostics;
        let changed = !Arc::ptr_eq(&self.desired, &desired) && (!orphaned || self.desired != desired);
        if changed {
            self.desired = desired;
        }
        self.observer.health.read(incomplete.as_deref());
        let complete = incomplete.is_none();
        let held = incomplete.filter(|_| (!self.complete && !reading.awaited) || orphaned);
        self.complete |= complete;
        self.reporter.problems("fail static", held);
        changed
    }

    /// Says what is wrong with the connection to the source, or that it is right again.
    pub(super) fn tell_connection(&mut self) {
        let problems = self.source.as_ref().and_then(Source::cluster).map(ClusterSource::problems);
        self.reporter.problems("connection", problems.unwrap_or_default());
        self.observe_cluster();
    }

    /// What should be there now. While incomplete this depends on what is pinned.
    pub(super) fn refresh_effective(&mut self) {
        if self.complete {
            self.effective = Arc::clone(&self.desired);
        } else if let Ok(actual) = block_in_place(|| self.datapath.maps().read_actual()) {
            self.effective = Arc::new(hold(&self.desired, &actual));
        }
    }
}
