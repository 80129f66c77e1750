//! The daemon: what it knows, and in its modules what it does. `turning` is the loop, `pass` what one turn of it brings in
//! line, in which order; the others are the parts of a pass.

mod hooks;
mod pass;
mod reading;
mod rules;
mod turning;

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use super::{
    Options,
    backoff::Backoff,
    brake::Brake,
    network::Network,
    observing::Observer,
    publishing::Publishing,
    reporter::Reporter,
    startup::{Opening, Startup, Stop},
};
use crate::{
    core::{
        desired::{DesiredState, Following},
        diagnostic::Diagnostic,
        plan::{Actual, EndSessions},
    },
    datapath::{Datapath, GatewayPaths, Lock, Mechanism, Sweeper},
    exit::{Exit, Failure},
    net::links::LinkWatch,
    source::Source,
};

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
    /// What the source's objects come to.
    following: Following,
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
            following: Following::default(),
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
}
