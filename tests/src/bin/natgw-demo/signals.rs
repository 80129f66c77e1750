//! Ctrl-C removes what the demo has made as well.

use std::thread;

use natgw_tests::scratch;
use nix::sys::signal::{SigSet, Signal, raise};

/// Starts a thread that waits for SIGINT or SIGTERM, removes everything of this process, and ends it.
///
/// To be called before any other thread is started: they inherit the mask that keeps the signals for this one.
pub(crate) fn clean_up_on_interrupt() {
    let mut wanted = SigSet::empty();
    wanted.add(Signal::SIGINT);
    wanted.add(Signal::SIGTERM);
    if wanted.thread_block().is_err() {
        // Then the next run removes what this one leaves.
        return;
    }
    thread::spawn(move || {
        if let Ok(signal) = wanted.wait() {
            eprintln!("{signal}: removing the network");
            scratch::remove_own();
            // Then it does what it would have done.
            let _ = wanted.thread_unblock();
            let _ = raise(signal);
        }
    });
}
