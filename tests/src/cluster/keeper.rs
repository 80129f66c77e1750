//! Starts processes that end with this one, however it ends.
//!
//! The kernel sends `PR_SET_PDEATHSIG`'s signal when the *thread* that forked ends. The thread of a test ends before the
//! process does, so one thread that never ends starts them all.

use std::{
    io,
    os::unix::process::CommandExt as _,
    process::{Child, Command},
    sync::{
        LazyLock,
        mpsc::{SyncSender, sync_channel},
    },
    thread,
};

use nix::{
    errno::Errno,
    sys::{prctl, signal::Signal},
    unistd::{getpid, getppid},
};

type Job = (Command, SyncSender<io::Result<Child>>);

static KEEPER: LazyLock<SyncSender<Job>> = LazyLock::new(|| {
    let (jobs, inbox) = sync_channel::<Job>(0);
    let work = move || {
        for (mut command, reply) in inbox {
            // Whoever asked waits for it.
            let _ = reply.send(command.spawn());
        }
    };
    thread::Builder::new().name("keeper".to_owned()).spawn(work).expect("a thread can be started");
    jobs
});

/// Starts `command`; the kernel kills it when this process is gone.
pub(super) fn spawn(mut command: Command) -> io::Result<Child> {
    let parent = getpid();
    let die_with_parent = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have ended before that: nobody would tell.
        if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH.into()) }
    };
    // SAFETY: between fork and exec it makes two system calls and allocates nothing.
    unsafe { command.pre_exec(die_with_parent) };
    let (reply, answer) = sync_channel(1);
    KEEPER.send((command, reply)).expect("the keeper never ends");
    answer.recv().expect("the keeper answers")
}
