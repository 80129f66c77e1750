//! Everything before the loop: preflight, the lock, loading or adopting the data plane.

use std::{io, thread};

use natgw_common::abi::map;
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
    task::JoinHandle,
};

use super::Options;
use crate::{
    cluster::source::First,
    core::plan::Actual,
    datapath::{Datapath, GatewayPaths, Holder, LoadError, LoadOptions, LoadReport, Lock, LockError, Maps, MapsError},
    exit::{Exit, Failure},
    net::{NetNs, NetNsError},
    observe::{Health, Server, health::Loaded},
    preflight::{Level, Preflight},
    source::{Source, SourceOptions},
};

/// SIGTERM and SIGINT. Long work looks at it in between.
#[derive(Debug, Clone)]
pub(super) struct Stop {
    signal: watch::Receiver<Option<&'static str>>,
}

impl Stop {
    fn new() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::new(Exit::Failure, format!("cannot handle signals: {error}")));
        let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        let (sender, signal) = watch::channel(None);
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            let _ = sender.send(Some(name));
            // Kept: a dropped sender would look like a signal.
            sender.closed().await;
        });
        Ok(Self { signal })
    }

    /// Whether one of them has come.
    pub(super) fn is_asked(&self) -> bool {
        self.signal.borrow().is_some()
    }

    /// Returns when one of them comes, with its name.
    pub(super) async fn wait(&mut self) -> &'static str {
        let name = self.signal.wait_for(Option::is_some).await.ok().and_then(|name| *name);
        name.unwrap_or("a signal")
    }
}

/// What the loop starts with.
pub(super) struct Startup {
    pub(super) ns: NetNs,
    pub(super) paths: GatewayPaths,
    pub(super) lock: Lock,
    pub(super) datapath: Datapath,
    pub(super) adopted: bool,
    pub(super) stop: Stop,
    pub(super) opening: Option<Opening>,
}

/// A source that is being opened, and what comes of it: the source, or in words why there is none.
pub(super) type Opening = JoinHandle<Result<Source, String>>;

/// Begins to open a cluster. On a thread of its own: the kubeconfig may name a program that gets the credentials, and kube
/// waits for its end.
pub(super) fn open(options: &Options, paths: &GatewayPaths) -> Opening {
    let first = first(paths);
    let (source, gateway) = (options.source.clone(), options.gateway.clone());
    tokio::task::spawn_blocking(move || Handle::current().block_on(Source::open(&source, &gateway, first)))
}

/// What was pinned is newer than whatever the API server may have in memory, or no older.
fn first(paths: &GatewayPaths) -> First {
    let pinned = Maps::open(paths).and_then(|maps| maps.read_actual());
    match pinned {
        Err(MapsError::NotPinned { .. }) if !paths.map(map::EIPS).exists() => First::AtHand,
        Ok(pinned) if pinned == Actual::default() => First::AtHand,
        Ok(_) | Err(_) => First::Newest,
    }
}

/// Gets everything that the loop needs; `None` when a signal ended the wait for the lock.
pub(super) async fn start(
    options: &Options,
    paths: GatewayPaths,
    health: &Health,
    server: &mut Server,
) -> Result<Option<Startup>, Failure> {
    let mut stop = Stop::new()?;
    let ns = preflight(options)?;
    health.stage("another natgw of this gateway has to end");
    let Some(lock) = lock(&paths, options, &mut stop).await? else { return Ok(None) };
    health.stage("the data plane is being loaded");
    server.settle().await.map_err(|error| Failure::from_error(Exit::Usage, &error))?;
    // A cluster lists thousands of objects while the kernel verifies the programs.
    let opening = match &options.source {
        SourceOptions::Cluster(..) => Some(open(options, &paths)),
        SourceOptions::Manifests(_) => None,
    };
    let load = LoadOptions { max_sessions: options.max_sessions, ..LoadOptions::default() };
    // Inside the namespace: an upgrade of the maps replaces the programs of the filters there.
    let (mut datapath, report) = tokio::task::block_in_place(|| ns.run(|| Datapath::load(&paths, &lock, &load)))
        .map_err(|error| Failure::from_error(Exit::Preflight, &error))?
        .map_err(|error| Failure::from_error(load_exit(&error), &error))?;
    let adopted = report.created.is_empty();
    let pinned = tokio::task::block_in_place(|| datapath.maps().read_actual());
    health.loaded(Loaded { adopted, eips: pinned.map_or(0, |pinned| pinned.eips.len()) });
    tell(options, &report, adopted);
    Ok(Some(Startup { ns, paths, lock, datapath, adopted, stop, opening }))
}

fn preflight(options: &Options) -> Result<NetNs, Failure> {
    let ns = NetNs::from_option(options.netns.as_deref()).map_err(|error| {
        let absent = matches!(&error, NetNsError::Open { source, .. } if source.kind() == io::ErrorKind::NotFound);
        Failure::from_error(if absent { Exit::Usage } else { Exit::Preflight }, &error)
    })?;
    let interfaces = [options.internal.as_str(), options.external.as_str()];
    let (preflight, entered) = match ns.run(|| Preflight::run(&options.bpffs, &interfaces)) {
        Ok(preflight) => (preflight, Ok(())),
        // Without privileges the namespace is closed as well; the table says more.
        Err(error) => (Preflight::run(&options.bpffs, &[]), Err(error)),
    };
    if let Some(sentence) = preflight.lacks_rights() {
        return Err(Failure::new(Exit::Preflight, sentence));
    }
    if !preflight.passed() {
        return Err(Failure::new(Exit::Preflight, format!("natgw cannot run here\n{}", preflight.render().trim_end())));
    }
    entered.map_err(|error| Failure::from_error(Exit::Preflight, &error))?;
    // Missing interfaces are told by whoever waits for them.
    let warnings = preflight.checks.iter().filter(|check| check.level == Level::Warning);
    for check in warnings.filter(|check| !check.name.starts_with("interface ")) {
        tracing::warn!(fix = check.fix, "{}: {}", check.name, check.found);
    }
    Ok(ns)
}

async fn lock(paths: &GatewayPaths, options: &Options, stop: &mut Stop) -> Result<Option<Lock>, Failure> {
    let fail = |error: LockError| Failure::from_error(Exit::Preflight, &error);
    let holder = match Lock::try_acquire(paths).map_err(fail)? {
        Ok(lock) => return Ok(Some(lock)),
        Err(holder) => holder,
    };
    if options.lock_wait.is_zero() {
        return Err(held(options, &holder));
    }
    tracing::warn!(
        gateway = %options.gateway,
        holder = %holder,
        wait = %humantime::format_duration(options.lock_wait),
        "another natgw owns gateway `{}`: {holder}; waiting for it to end",
        options.gateway
    );
    let (sender, receiver) = oneshot::channel();
    let wanted = paths.clone();
    // flock(2) blocks without a time-out; the thread ends with the process if the wait is given up.
    thread::Builder::new()
        .name("natgw-lock".to_owned())
        .spawn(move || drop(sender.send(Lock::acquire_blocking(&wanted))))
        .map_err(|error| Failure::new(Exit::Failure, format!("cannot start a thread: {error}")))?;
    tokio::select! {
        taken = tokio::time::timeout(options.lock_wait, receiver) => match taken {
            Ok(Ok(lock)) => lock.map(Some).map_err(fail),
            Ok(Err(_)) | Err(_) => Err(held(options, &Lock::holder(paths).unwrap_or(holder))),
        },
        name = stop.wait() => {
            tracing::info!(signal = name, "stopped while waiting for the lock");
            Ok(None)
        }
    }
}

fn held(options: &Options, holder: &Holder) -> Failure {
    Failure::new(
        Exit::LockHeld,
        format!(
            "another natgw owns gateway `{}`: {holder}; stop it first, or wait longer with --lock-wait (now {})",
            options.gateway,
            humantime::format_duration(options.lock_wait)
        ),
    )
}

fn tell(options: &Options, report: &LoadReport, adopted: bool) {
    for warning in &report.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(migrated) = &report.migrated {
        tracing::info!(
            gateway = %options.gateway,
            from = migrated.from,
            to = migrated.to,
            resumed = migrated.resumed,
            rules = migrated.rules,
            sessions = migrated.sessions,
            left = migrated.left,
            hooks = migrated.hooks,
            held_ms = millis(migrated.held),
            "maps migrated"
        );
    }
    let insns = report.programs.iter().filter_map(|program| program.verified_instructions).max();
    tracing::info!(
        gateway = %options.gateway,
        adopted,
        maps_adopted = report.adopted.len(),
        maps_created = report.created.len(),
        verified_instructions_max = insns,
        duration_ms = millis(report.elapsed),
        "data plane loaded"
    );
}

/// Whole milliseconds, for log fields.
pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn load_exit(error: &LoadError) -> Exit {
    match error {
        LoadError::Abi(_) | LoadError::Maps(MapsError::Abi(_)) => Exit::Abi,
        LoadError::NoObject | LoadError::Pin(_) => Exit::Preflight,
        LoadError::Maps(_)
        | LoadError::Object { .. }
        | LoadError::Incomplete { .. }
        | LoadError::Verifier { .. }
        | LoadError::Program { .. }
        | LoadError::Migration { .. }
        | LoadError::PinProgram { .. } => Exit::Failure,
    }
}
