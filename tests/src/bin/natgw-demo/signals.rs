//! Ctrl-C removes what the demo has made as well.

use std::{
    panic, process,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use natgw_tests::scratch;
use nix::sys::signal::{SigSet, Signal};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

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
            INTERRUPTED.store(true, Ordering::Relaxed);
            // What the demo trips over from now on is of no interest.
            panic::set_hook(Box::new(|_| {}));
            eprintln!("{signal}: removing the network");
            scratch::remove_own();
            // Not by raising it again: a shell's background job ignores SIGINT.
            exit(signal);
        }
    });
}

/// Does not return when a signal is ending the process: it must finish its removal first.
pub(crate) fn yield_to_interrupt() {
    while INTERRUPTED.load(Ordering::Relaxed) {
        thread::park();
    }
}

#[expect(clippy::disallowed_methods, reason = "what destructors would remove has just been removed")]
fn exit(signal: Signal) {
    process::exit(128 + signal as i32);
}
