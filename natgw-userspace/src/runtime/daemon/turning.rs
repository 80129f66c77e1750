//! The loop: what wakes the daemon, and what it does then.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::Daemon;
use crate::{
    exit::{Exit, Failure},
    net::links::{LinkWatch, NetEvent},
    runtime::{
        backoff::Backoff,
        startup::Opening,
        work::{Cause, Work},
    },
    source::{News, Source, SourceOptions},
};

/// How long a start waits for the cluster before it goes on with what is pinned.
const FIRST_READING: Duration = Duration::from_secs(2);

impl Daemon<'_> {
    pub(in crate::runtime) async fn run(mut self) -> Result<(), Failure> {
        self.open_sweepers();
        // The watch tells the state of each interface first.
        for _ in 0..2 {
            if self.watch.is_some() {
                let event = next_event(self.watch.as_mut()).await;
                self.take(&event);
            }
        }
        if self.adopted {
            // The rules are pinned: the programs need not wait for the source, whose reading may take a while.
            self.pass(Work::INTERFACES, Cause::Network).await;
        }
        // Files are read at once. A cluster answers soon or not at all; the interfaces do not wait for it.
        let mut first = match self.options.source {
            SourceOptions::Manifests(_) => {
                self.begin().await;
                None
            }
            SourceOptions::Cluster(..) => Some(tokio::time::Instant::now() + FIRST_READING),
        };
        let mut resync =
            tokio::time::interval_at(tokio::time::Instant::now() + self.options.resync, self.options.resync);
        resync.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.observer.health.beat();
            let retry = Backoff::wait(self.backoff.due());
            tokio::select! {
                signal = self.stop.wait() => {
                    tracing::info!(
                        signal,
                        gateway = %self.options.gateway,
                        "stopping; the data plane keeps running (`natgw detach` removes it)"
                    );
                    return Ok(());
                }
                event = next_event(self.watch.as_mut()) => {
                    let mut work = self.take(&event);
                    while let Some(event) = self.watch.as_mut().and_then(LinkWatch::try_next) {
                        work = work.with(self.take(&event));
                    }
                    if let Some(work) = self.brake.admit(work, tokio::time::Instant::now()) {
                        self.pass(work, Cause::Network).await;
                    }
                }
                () = Backoff::wait(self.brake.due()) => {
                    let work = self.brake.release();
                    self.pass(work, Cause::Network).await;
                }
                opened = opened(self.opening.as_mut()) => {
                    self.opening = None;
                    self.take_source(opened);
                }
                news = changed(self.source.as_mut().filter(|_| !self.watch_broken)) => match news {
                    News::Broken(error) => {
                        // The retry reads everything and watches again.
                        self.watch_broken = true;
                        self.observer.health.open(Some(&error));
                        self.reporter.problems("source", [error]);
                        self.backoff.failed(tokio::time::Instant::now());
                    }
                    News::Objects if first.take().is_some() => self.begin().await,
                    News::Objects => self.pass(Work::RULES, Cause::Change).await,
                    // What is due anyway looks at every object, with new verdicts.
                    News::Observed if self.publish_due.is_some() => {}
                    News::Observed => self.publish_observed(),
                    News::Connection => self.tell_connection(),
                },
                () = Backoff::wait(first) => {
                    first = None;
                    self.begin().await;
                }
                // Objects that came meanwhile have a pass of their own first, which then sees to it.
                () = Backoff::wait(self.publish_due), if !self.is_unsettled() => {
                    if !self.is_unsettled() {
                        self.publish_due = None;
                        self.publish();
                    }
                }
                () = retry => {
                    self.check_pins()?;
                    self.watch_again();
                    self.pass(Work::EVERYTHING, Cause::Retry).await;
                }
                _ = resync.tick() => {
                    self.check_pins()?;
                    self.pass(Work::DRIFT, Cause::Drift).await;
                }
            }
        }
    }

    /// Without its pins the data plane cannot be repaired, and the lock keeps nobody out: only a new start makes both.
    fn check_pins(&self) -> Result<(), Failure> {
        if self.lock.is_current() {
            return Ok(());
        }
        let path = self.lock.path().display();
        Err(Failure::new(
            Exit::Failure,
            format!("the pins of gateway `{}` at {path} were removed; a restart makes them anew", self.options.gateway),
        ))
    }

    /// Folds an event of the watch into what has to be done.
    fn take(&mut self, event: &NetEvent) -> Work {
        match event {
            NetEvent::Link(name, state) => {
                let other = self.network.link(name, *state);
                if other {
                    let side = usize::from(*name == self.options.external);
                    self.mechanisms[side] = None;
                }
                Work { hooks: other, network: true, announce: true, ..Work::default() }
            }
            NetEvent::Changed(_) => Work { network: true, ..Work::default() },
            NetEvent::Closed => {
                self.watch = None;
                self.reporter.problems("watch", ["the kernel's news of the interfaces ended".to_owned()]);
                self.backoff.failed(tokio::time::Instant::now());
                Work::default()
            }
        }
    }

    /// Starts the watch again that has ended. It tells the state of each interface first.
    fn watch_again(&mut self) {
        if self.watch.is_some() {
            return;
        }
        let problem = match LinkWatch::start(&self.network.ns, &[&self.options.internal, &self.options.external]) {
            Ok(watch) => {
                self.watch = Some(watch);
                None
            }
            Err(error) => {
                self.backoff.failed(tokio::time::Instant::now());
                Some(format!("cannot watch the interfaces: {error}"))
            }
        };
        self.reporter.problems("watch", problem);
    }
}

/// Waits for the next news of the interfaces. Never returns without a watch.
async fn next_event(watch: Option<&mut LinkWatch>) -> NetEvent {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}

/// Waits for what comes of opening the source; for ever when nobody opens one.
async fn opened(opening: Option<&mut Opening>) -> Result<Source, String> {
    match opening {
        Some(opening) => opening.await.unwrap_or_else(|error| Err(format!("cannot open the cluster: {error}"))),
        None => std::future::pending().await,
    }
}

/// Waits for the source's next news. Never returns without a source.
async fn changed(source: Option<&mut Source>) -> News {
    match source {
        Some(source) => source.changed().await,
        None => std::future::pending().await,
    }
}
