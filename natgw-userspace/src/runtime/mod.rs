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
pub mod options;
mod publishing;
mod reporter;
mod startup;
mod sweeper;
mod telling;
mod work;

use std::time::Instant;

use crate::{
    cli::RunArgs,
    exit::{Exit, Failure},
    logging,
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
        let Some(startup) = startup::start(&options).await? else { return Ok(()) };
        daemon::Daemon::new(&options, startup, started)?.run().await
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
