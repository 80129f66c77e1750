//! The loop: waits for news of the source, the interfaces and the clock, and brings the kernel in line.
//!
//! Order of a change: what is new before what goes (an address answers ARP before its rules translate; rules go before
//! their address). When an interface is new it is the other way round: rules and programs first, because a live
//! connection's packet that meets the address without the programs would be reset by the gateway's own stack.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use natgw_common::abi::ConfigFlags;
use tokio::{task::block_in_place, time::MissedTickBehavior};

use super::{
    Options,
    backoff::Backoff,
    brake::Brake,
    hold::hold,
    network::{Network, Step},
    observing::Observer,
    publishing::Publishing,
    repair::Repair,
    reporter::Reporter,
    startup::{self, Opening, Startup, Stop},
    sweeper,
    telling::{describe, repair, repairs},
    work::{Cause, Work},
};
use crate::{
    cli::{Attach, Switch, Unmatched},
    cluster::source::{ClusterSource, First},
    core::{
        desired::DesiredState,
        diagnostic::Diagnostic,
        plan::{Actual, EndSessions, MapOp, Plan, plan},
    },
    datapath::{AttachError, AttachMode, Datapath, GatewayPaths, Lock, MapsError, Mechanism, Side, Sweeper},
    exit::{Exit, Failure},
    net::links::{LinkWatch, NetEvent},
    source::{News, Source, SourceOptions},
};

/// How long a start waits for the cluster before it goes on with what is pinned.
const FIRST_READING: Duration = Duration::from_secs(2);

/// How long after a pass its outcome is told to the cluster.
const SETTLE: Duration = Duration::from_millis(20);

/// The result of comparing and writing the rule maps.
#[derive(Debug, Default)]
struct Written {
    plan: Plan,
    ended: u64,
    errors: Vec<String>,
    /// Writes that the kernel refused.
    failed: Vec<(MapOp, String)>,
}

/// The running daemon.
#[expect(clippy::struct_excessive_bools, reason = "facts about the daemon, no state machine")]
pub(super) struct Daemon<'a> {
    pub(super) options: &'a Options,
    pub(super) started: Instant,
    pub(super) adopted: bool,
    paths: GatewayPaths,
    lock: Lock,
    stop: Stop,
    pub(super) datapath: Datapath,
    sweeper: Option<Sweeper>,
    pub(super) network: Network,
    /// `None`: it ended, and starting another one failed or is due at the next retry.
    watch: Option<LinkWatch>,
    pub(super) source: Option<Source>,
    /// A cluster that is being opened.
    opening: Option<Opening>,
    pub(super) publishing: Publishing,
    /// When what became of the objects is to be told.
    publish_due: Option<tokio::time::Instant>,
    pub(super) observer: Observer,
    /// The source's watch failed; it is asked again at the next retry.
    watch_broken: bool,
    pub(super) reporter: Reporter,
    backoff: Backoff,
    brake: Brake,
    /// What the source said last, and how many objects it had.
    pub(super) desired: Arc<DesiredState>,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) objects: usize,
    /// Whether the source has been read completely once: only then is anything removed.
    pub(super) complete: bool,
    /// `desired`, or while incomplete `desired` with all that is pinned.
    pub(super) effective: Arc<DesiredState>,
    /// What the rule maps hold, as long as every write since they were read has succeeded.
    known: Option<Actual>,
    /// EIPs that the kernel did not take into the map.
    unprogrammed: BTreeSet<[u8; 4]>,
    pending_end: Vec<EndSessions>,
    pub(super) mechanisms: [Option<Mechanism>; 2],
    /// Another gateway works on the interface: what is on it is that one's business.
    occupied: [bool; 2],
    pub(super) fallback_said: bool,
    pub(super) repairs: u64,
    /// The first pass over everything is done.
    pub(super) begun: bool,
    pub(super) ready: bool,
    /// Sessions whose rule went while no daemon ran have not been looked for yet.
    orphans_due: bool,
}

impl<'a> Daemon<'a> {
    pub(super) fn new(
        options: &'a Options,
        startup: Startup,
        observer: Observer,
        started: Instant,
    ) -> Result<Self, Failure> {
        let Startup { ns, paths, lock, datapath, adopted, stop, opening } = startup;
        let watch = LinkWatch::start(&ns, &[&options.internal, &options.external])
            .map_err(|error| Failure::from_error(Exit::Preflight, &error))?;
        Ok(Self {
            options,
            started,
            adopted,
            paths,
            lock,
            stop: stop.clone(),
            sweeper: None,
            datapath,
            network: Network::new(ns, options, stop)?,
            watch: Some(watch),
            source: None,
            opening,
            publishing: Publishing::default(),
            publish_due: None,
            observer,
            watch_broken: false,
            reporter: Reporter::default(),
            backoff: Backoff::default(),
            brake: Brake::default(),
            desired: Arc::default(),
            diagnostics: Vec::new(),
            objects: 0,
            complete: false,
            effective: Arc::default(),
            known: None,
            unprogrammed: BTreeSet::new(),
            pending_end: Vec::new(),
            mechanisms: [None; 2],
            occupied: [false; 2],
            fallback_said: false,
            repairs: 0,
            begun: false,
            ready: false,
            orphans_due: adopted,
        })
    }

    pub(super) async fn run(mut self) -> Result<(), Failure> {
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

    /// One pass: does what `work` names, reports, schedules a retry when something failed.
    async fn pass(&mut self, work: Work, cause: Cause) {
        let begun = Instant::now();
        let (before, complete) = (Arc::clone(&self.effective), self.complete);
        let writes_before = self.datapath.maps().writes();
        let changed = work.source && self.read_source().await;
        let mut errors = 0;
        let mut repaired = Vec::new();
        let mut written = Written::default();
        let new_hook = work.hooks && !self.attached();
        let mut leaving = Vec::new();
        if work.rules && new_hook {
            written = self.write_rules(cause);
        }
        if work.hooks {
            let (step, attach_errors) = self.hooks(cause);
            if self.ready {
                repaired.extend(step.repaired);
            }
            errors += self.reporter.problems("sysctl", step.errors);
            errors += self.reporter.problems("attach", attach_errors);
        }
        if work.rules || work.network {
            self.refresh_effective();
        }
        // Most changes are about rules alone; what went wrong before is tried again by itself.
        let alone =
            cause == Cause::Change && self.begun && complete == self.complete && before.has_network_of(&self.effective);
        let network = (work.rules || work.network) && !alone;
        if network && !self.occupied[1] {
            let (step, remove) = self.network.add_addresses(&self.effective, &self.unprogrammed).await;
            leaving = remove;
            repaired.extend(step.repaired);
            self.publishing.address_failures = step.refused;
            errors += self.reporter.problems("addresses", step.errors);
        }
        if work.rules && !new_hook {
            written = self.write_rules(cause);
            if !self.unprogrammed.is_empty() && !self.occupied[1] {
                (_, leaving) = self.network.add_addresses(&self.effective, &self.unprogrammed).await;
            }
        }
        if work.announce && !self.occupied[1] {
            self.network.announce_link();
        }
        if network || !leaving.is_empty() {
            errors += self.finish_network(&leaving, &mut repaired).await;
        }
        if work.hooks && !self.occupied[1] {
            let step = self.network.remove_strays(&self.paths, &self.effective).await;
            errors += self.reporter.problems("stray addresses", step.errors);
        }
        if work.rules {
            errors += self.reporter.problems("maps", std::mem::take(&mut written.errors));
        }
        self.schedule(errors, work);
        // What follows from a change that came without an event is no repair.
        if cause == Cause::Drift && !changed {
            repaired.extend(written.plan.ops.iter().map(repair));
        }
        self.tell_passed(&repaired, cause);
        let writes = self.datapath.maps().writes() - writes_before;
        self.observe(cause, begun.elapsed(), writes, errors);
        if cause == Cause::Change || changed || !written.plan.is_empty() {
            self.tell_reconciled(writes, written.ended, begun.elapsed(), errors);
        }
        self.tell_ready();
        self.end_orphans();
        if cause == Cause::Drift {
            self.tell_exhaustion();
        }
        if matches!(cause, Cause::Drift | Cause::Retry) {
            self.publishing.compare_all();
        }
        self.publish_soon(work.source);
    }

    /// After the data plane, and once for several changes: of ten thousand objects each is judged again. But objects that
    /// never come to rest must not keep it waiting: a pass that has `read` them all sees to what is overdue.
    fn publish_soon(&mut self, read: bool) {
        let now = tokio::time::Instant::now();
        match self.publish_due {
            Some(due) if read && due <= now => {
                self.publish_due = None;
                self.publish();
            }
            Some(_) => {}
            None => self.publish_due = Some(now + SETTLE),
        }
    }

    /// Tells what was put back; of a fight about it only now and then.
    fn tell_passed(&mut self, repaired: &[Repair], cause: Cause) {
        self.observer.repaired(repaired);
        if cause != Cause::Network {
            return self.tell_repairs(repaired);
        }
        match self.brake.repaired(repaired.len(), tokio::time::Instant::now()) {
            Some(count) => {
                self.tell_repairs(repaired);
                if count > repaired.len() {
                    tracing::warn!(count, "put back again and again: something else on this machine removes it");
                }
            }
            None => self.repairs += repaired.len() as u64,
        }
    }

    fn schedule(&mut self, errors: usize, work: Work) {
        if errors > 0 {
            self.backoff.failed(tokio::time::Instant::now());
        } else if self.source.is_some()
            && self.watch.is_some()
            && !self.watch_broken
            && work.rules
            && work.hooks
            && work.network
        {
            self.backoff.succeeded();
        }
    }

    async fn finish_network(&mut self, leaving: &[(Ipv4Addr, u8)], repaired: &mut Vec<Repair>) -> usize {
        let eips: BTreeSet<Ipv4Addr> = self.effective.eips.keys().map(|eip| Ipv4Addr::from(*eip)).collect();
        // Before the first complete read only prefix changes of living EIPs are made.
        let leaving: Vec<(Ipv4Addr, u8)> =
            leaving.iter().filter(|(addr, _)| self.complete || eips.contains(addr)).copied().collect();
        let step = self.network.remove_addresses(&leaving).await;
        let mut errors = self.reporter.problems("address removal", step.errors);
        let step = if self.occupied[0] {
            Step::default()
        } else {
            self.network.ensure_routes(&self.effective, self.complete).await
        };
        repaired.extend(step.repaired);
        let default =
            if self.occupied[1] { Step::default() } else { self.network.ensure_default_route(&self.effective).await };
        repaired.extend(default.repaired);
        errors += self.reporter.problems("routes", step.errors.into_iter().chain(default.errors));
        // Seen again at every check and every news of the interface; trying more often would not help.
        self.reporter.problems("next hops", step.blocked);
        errors
    }

    /// The first pass over everything.
    async fn begin(&mut self) {
        self.pass(Work::EVERYTHING, Cause::Change).await;
        self.begun = true;
        // What was counted before this daemon is no news.
        self.tell_exhaustion();
        self.observer.health.begun();
        self.tell_ready();
        self.end_orphans();
    }

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

    fn take_source(&mut self, opened: Result<Source, String>) {
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

    /// Reads the source again. Returns whether it wants something else than before.
    async fn read_source(&mut self) -> bool {
        if self.watch_broken || self.source.is_none() {
            self.watch_broken = false;
            if self.source.is_none() {
                self.open_source().await;
            }
        }
        let Some(source) = self.source.as_mut() else { return false };
        let reading = block_in_place(|| source.read());
        let (desired, mut diagnostics) = DesiredState::build(source.index(), &self.options.gateway);
        source.locate(&mut diagnostics);
        diagnostics.extend(reading.diagnostics);
        self.objects = source.index().len();
        self.reporter.diagnostics(diagnostics.clone());
        self.diagnostics = diagnostics;
        let changed = *self.desired != desired;
        if changed {
            self.desired = Arc::new(desired);
        }
        self.observer.health.read(reading.incomplete.as_deref());
        let complete = reading.incomplete.is_none();
        let held = reading.incomplete.filter(|_| !self.complete && !reading.awaited);
        self.complete |= complete;
        self.reporter.problems("fail static", held);
        changed
    }

    /// Says what is wrong with the connection to the source, or that it is right again.
    fn tell_connection(&mut self) {
        let problems = self.source.as_ref().and_then(Source::cluster).map(ClusterSource::problems);
        self.reporter.problems("connection", problems.unwrap_or_default());
        self.observe_cluster();
    }

    /// What should be there now. While incomplete this depends on what is pinned.
    fn refresh_effective(&mut self) {
        if self.complete {
            self.effective = Arc::clone(&self.desired);
        } else if let Ok(actual) = block_in_place(|| self.datapath.maps().read_actual()) {
            self.effective = Arc::new(hold(&self.desired, &actual));
        }
    }

    /// Compares the rule maps with what should be there and writes the difference. For a change of the objects the maps
    /// are not read again: nobody else writes them, and whoever does so all the same is noticed at the next resync.
    fn write_rules(&mut self, cause: Cause) -> Written {
        let known = self.known.take().filter(|_| cause == Cause::Change);
        let read = || block_in_place(|| self.datapath.maps().read_actual());
        let mut actual = match known.map_or_else(read, Ok) {
            Ok(actual) => actual,
            Err(error) => return Written { errors: vec![error.to_string()], ..Written::default() },
        };
        self.refresh_effective();
        let plan = plan(&self.effective, &actual);
        let mut written = Written::default();
        let maps = self.datapath.maps();
        block_in_place(|| {
            for op in &plan.ops {
                match maps.apply(op) {
                    Ok(()) => actual.apply(op),
                    Err(error) => {
                        written.errors.push(format!("{}: {error}", describe(op)));
                        written.failed.push((*op, error.to_string()));
                    }
                }
            }
        });
        self.known = written.failed.is_empty().then_some(actual);
        let gone =
            plan.ops.iter().filter_map(|op| if let MapOp::DelEip(eip) = op { Some((*eip).into()) } else { None });
        self.unprogrammed = written.failed.iter().filter_map(|(op, _)| refused_eip(op)).collect();
        self.publishing.maps_written(&written.failed, &self.effective);
        self.observer.maps_written(&written.failed);
        self.network.forget(gone);
        self.pending_end.extend_from_slice(&plan.end);
        written.ended = self.end_sessions(&mut written.errors);
        written.plan = plan;
        written
    }

    fn end_sessions(&mut self, errors: &mut Vec<String>) -> u64 {
        if self.pending_end.is_empty() {
            return 0;
        }
        let outcome = match &self.sweeper {
            Some(sweeper) => block_in_place(|| sweeper.end(&self.pending_end)).map_err(|error| error.to_string()),
            None => Err("the sweeper is not available".to_owned()),
        };
        match outcome {
            Ok(ended) => {
                self.pending_end.clear();
                ended
            }
            Err(error) => {
                errors.push(format!("cannot end the sessions of removed rules: {error}"));
                0
            }
        }
    }

    fn attached(&self) -> bool {
        self.network.internal.link.is_some() == self.mechanisms[0].is_some()
            && self.network.external.link.is_some() == self.mechanisms[1].is_some()
    }

    /// CONFIG, programs and sysctls of the interfaces that exist.
    fn hooks(&mut self, cause: Cause) -> (Step, Vec<String>) {
        let mut errors = Vec::new();
        if let Err(error) = self.write_config() {
            errors.push(error.to_string());
        }
        let mut repaired = Vec::new();
        for (slot, side) in [(0, Side::Internal), (1, Side::External)] {
            let interface = if side == Side::Internal { &self.network.internal } else { &self.network.external };
            let Some(link) = interface.link else {
                self.occupied[slot] = false;
                continue;
            };
            let name = interface.name.clone();
            let mode = mode(self.options.attach);
            let (ns, datapath) = (&self.network.ns, &mut self.datapath);
            match block_in_place(|| ns.run(|| datapath.attach(side, link.ifindex, &name, mode))) {
                Ok(Ok(attached)) => {
                    self.occupied[slot] = false;
                    if self.mechanisms[slot].is_some() {
                        repaired.extend(repairs(&attached, &name));
                    }
                    self.mechanisms[slot] = Some(attached.mechanism);
                    self.tell_attached(&name, link.ifindex, &attached);
                }
                // Its next event tells more.
                Ok(Err(error)) if error.is_interface_gone() => {
                    tracing::debug!(%error, interface = name, "the interface went while programs were attached");
                }
                Ok(Err(error)) => {
                    self.occupied[slot] = matches!(error, AttachError::Occupied { .. });
                    errors.push(format!("{name}: {error}"));
                }
                Err(error) => errors.push(error.to_string()),
            }
        }
        let mut step = self.network.ensure_sysctls();
        // A new interface starts with the kernel's defaults: setting those is no repair.
        if cause != Cause::Drift {
            step.repaired.clear();
        }
        step.repaired.extend(repaired);
        (step, errors)
    }

    fn write_config(&mut self) -> Result<bool, MapsError> {
        let (internal, external) = (self.network.internal.link, self.network.external.link);
        let options = self.options;
        block_in_place(|| {
            self.datapath.maps().update_config(|config| {
                let mut flags = 0;
                if options.redirect == Switch::On {
                    flags |= ConfigFlags::Redirect as u32;
                }
                if options.unmatched == Unmatched::Drop {
                    flags |= ConfigFlags::UnmatchedDrop as u32;
                }
                config.flags = flags;
                // A missing interface keeps its old index: no packet can carry it.
                if let Some(link) = internal {
                    config.int_ifindex = link.ifindex;
                }
                if let Some(link) = external {
                    config.ext_ifindex = link.ifindex;
                }
                (config.port_min, config.port_max) = options.ports;
                config.timeouts = options.timeouts;
            })
        })
    }

    fn open_sweepers(&mut self) {
        match self.datapath.sweeper() {
            Ok(sweeper) => self.sweeper = Some(sweeper),
            Err(error) => tracing::error!(%error, "cannot open the sweeper; sessions of removed rules will time out"),
        }
    }

    pub(super) fn start_sweeping(&self) {
        if let Ok(sweeper) = self.datapath.sweeper() {
            sweeper::spawn(sweeper, self.options.sweep, self.observer.metrics.sessions.clone());
        }
    }

    /// Once after an adoption, as soon as every rule is known: before, a session's rule may only not have been read.
    fn end_orphans(&mut self) {
        if !(self.orphans_due && self.ready && self.complete) {
            return;
        }
        self.orphans_due = false;
        let paths = self.paths.clone();
        let Ok(sweeper) = self.datapath.sweeper() else { return };
        tokio::task::spawn_blocking(move || match sweeper::end_orphans(&paths, &sweeper) {
            Ok(0) => {}
            Ok(ended) => tracing::info!(ended, "ended sessions whose rule went while no daemon ran"),
            Err(error) => tracing::error!(%error, "cannot look for sessions without a rule"),
        });
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

fn refused_eip(op: &MapOp) -> Option<[u8; 4]> {
    if let MapOp::PutEip(eip, _) = op { Some(*eip) } else { None }
}

fn mode(attach: Attach) -> AttachMode {
    match attach {
        Attach::Auto => AttachMode::Auto,
        Attach::Tcx => AttachMode::Tcx,
        Attach::Clsact => AttachMode::Clsact,
    }
}
