//! `natgw run`: wires source, core, data path and network together. The decisions are made elsewhere.
//!
//! Start: preflight, lock, load or adopt, then the loop of `daemon::Daemon`. Whatever ends the process, the data plane
//! stays; only [`detach`] removes it.

mod backoff;
mod brake;
mod daemon;
pub mod detach;
mod hold;
mod network;
mod observing;
pub mod options;
mod publishing;
mod repair;
mod reporter;
mod startup;
mod sweeper;
mod telling;
mod work;

use std::time::Instant;

use crate::{
    cli::RunArgs,
    datapath::GatewayPaths,
    exit::{Exit, Failure},
    logging,
    observe::{Health, Metrics, Server},
};

pub use options::Options;

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// What kept it from starting.
pub fn run(args: &RunArgs) -> Result<(), Failure> {
    let started = Instant::now();
    let options = Options::resolve(args)?;
    logging::init(options.log_format, &options.log_level)?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let paths = GatewayPaths::new(&options.bpffs, &options.gateway)
            .map_err(|error| Failure::from_error(Exit::Usage, &error))?;
        let health = Health::new([&options.internal, &options.external], options.resync, options.lock_wait);
        let metrics = Metrics::new(paths.clone(), health.clone());
        let mut server = Server::start(options.listen, health.clone(), metrics.clone())
            .map_err(|error| Failure::from_error(Exit::Usage, &error))?;
        let Some(startup) = startup::start(&options, paths, &health, &mut server).await? else { return Ok(()) };
        let observer = observing::Observer::new(health, metrics);
        daemon::Daemon::new(&options, startup, observer, started)?.run().await
    });
    // A thread that waits for the lock or sweeps must not keep the process.
    runtime.shutdown_background();
    outcome
}

/// Two workers: one may sit in a blocking map or namespace call while the other serves timers and sockets.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failure, format!("cannot start the async runtime: {error}")))
}
