//! A running `natgw` process.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    clock,
    logs::{LogLine, Logs},
};

/// How long anything that the daemon does may take before a test gives up. Generous: the machine may be busy, and
/// the tests that measure time do it by themselves.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A `natgw run` process; killed (SIGKILL) on drop. The data plane it left stays until its [`crate::Gateway`] goes.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    started: Instant,
    ready: Option<Duration>,
    logs: Logs,
    pid_file: PathBuf,
}

impl Daemon {
    /// Starts `binary` in the calling thread's namespace. `dir` gets a file that names the process, so that the next
    /// test run can end it if this one dies.
    ///
    /// # Panics
    /// When the binary cannot be started.
    #[must_use]
    pub fn spawn(binary: &Path, args: &[String], dir: &Path) -> Self {
        let started = Instant::now();
        let mut child = Command::new(binary)
            .args(args)
            // The processes of all tests share one loopback; a test that asks for an address gives it as an argument.
            .env("NATGW_LISTEN", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", binary.display()));
        let pid_file = dir.join(format!("daemon-{}", child.id()));
        fs::write(&pid_file, "").expect("the test's directory is writable");
        let logs = Logs::default();
        logs.collect(child.stdout.take().expect("stdout is piped"));
        logs.collect(child.stderr.take().expect("stderr is piped"));
        Self { child, started, ready: None, logs, pid_file }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// When it was started.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Waits for the log line `ready` and returns it.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_ready(&mut self) -> LogLine {
        let line = self.wait_message(0, "ready");
        self.ready = Some(line.at - self.started);
        line
    }

    /// How long it took from exec to `ready`.
    ///
    /// # Panics
    /// Before [`Daemon::wait_ready`].
    #[must_use]
    pub fn ready_after(&self) -> Duration {
        self.ready.expect("the test has waited for `ready`")
    }

    /// Waits until everything that its source has is in force, and returns the log line that says so.
    ///
    /// # Panics
    /// When that does not come about.
    #[expect(clippy::must_use_candidate, reason = "waiting is the effect")]
    pub fn wait_complete(&self) -> LogLine {
        self.wait_line(0, "reconciled and complete", |line| {
            line.message() == "reconciled" && line.text.contains("\"complete\":true")
        })
    }

    /// Waits for a line at or after `mark` with this message.
    ///
    /// # Panics
    /// When it does not come; the message shows the log.
    #[expect(clippy::must_use_candidate, reason = "waiting is the effect")]
    pub fn wait_message(&self, mark: usize, message: &str) -> LogLine {
        self.wait_line(mark, message, |line| line.message() == message)
    }

    /// Waits for a line at or after `mark` that `wanted` picks; `what` names it in the failure.
    ///
    /// # Panics
    /// When it does not come; the message shows the log.
    pub fn wait_line(&self, mark: usize, what: &str, wanted: impl Fn(&LogLine) -> bool) -> LogLine {
        let patience = clock::patience(PATIENCE);
        self.logs.wait_from(mark, patience, wanted).unwrap_or_else(|| {
            panic!(
                "natgw (pid {}) did not log `{what}` within {patience:?}; its log:\n{}",
                self.pid(),
                self.logs.text()
            )
        })
    }

    /// SIGKILL, as the kernel's out-of-memory killer or a crash; waits until the process is gone.
    ///
    /// # Panics
    /// When it had ended by itself before.
    pub fn kill9(&mut self) {
        let status = self.signal_and_wait(Signal::SIGKILL);
        assert_eq!(status.signal(), Some(libc::SIGKILL), "natgw had ended before it was killed:\n{}", self.logs.text());
    }

    /// SIGTERM, as kubelet stops a container; returns how it ended.
    ///
    /// # Panics
    /// When the process cannot be waited for.
    pub fn term(&mut self) -> ExitStatus {
        self.signal_and_wait(Signal::SIGTERM)
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When the process cannot be waited for.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("a child can be waited for")
    }

    /// Sends `signal` without waiting.
    ///
    /// # Panics
    /// When the pid does not fit, which Linux does not do.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("a Linux pid fits an i32"));
        // It may be gone already; the caller's `wait` tells.
        let _ = kill(pid, signal);
    }

    fn signal_and_wait(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.wait()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.pid_file);
    }
}
