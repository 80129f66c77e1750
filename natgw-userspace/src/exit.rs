//! How the process ends: the documented exit codes, and one error message on standard error.

use std::{error::Error, fmt, process};

/// The exit codes of `natgw`, listed in `natgw --help`. Numbers are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// `natgw check` found errors, `natgw probe` got a no or no answer, or something failed that has no number of its own.
    Failure = 1,
    /// The command line, an environment variable or the configuration file is wrong.
    Usage = 2,
    /// Something natgw needs is missing: a capability, the bpffs, a kernel feature, the eBPF object.
    Preflight = 3,
    /// The pinned maps have another layout than this build knows; the old data plane was not touched.
    Abi = 4,
    /// Another natgw owns the gateway.
    LockHeld = 5,
    /// There is no data plane of that gateway.
    NoGateway = 6,
}

impl From<Exit> for process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The list for `natgw --help`.
pub const HELP: &str = "\
Exit codes:
  0  done
  1  `natgw check` found errors, `natgw probe` got a no or no answer, or another failure
  2  wrong command line, environment variable or configuration file
  3  something is missing: capabilities, bpffs, kernel feature, eBPF object
  4  the pinned maps have another layout; the old data plane was not touched
  5  another natgw owns the gateway
  6  there is no data plane of that gateway

Every option of `natgw run` can also be given as NATGW_<OPTION> or in the --config file;
the command line wins over the environment, the environment over the file.";

/// An error that ends the process: what to say and which code.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    message: String,
}

impl Failure {
    /// A failure that says `message`.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// A failure that says what `error` and its causes say. A cause whose text the outer error already quotes is left
    /// out.
    pub fn from_error(exit: Exit, error: &(dyn Error + 'static)) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let text = inner.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = inner.source();
        }
        Self { exit, message }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot frobnicate `x`{0}")]
    struct Outer(&'static str, #[source] io::Error);

    #[test]
    fn causes_are_said_once() {
        let inner = || io::Error::other("disk on fire");
        let with_cause = Failure::from_error(Exit::Failure, &Outer("", inner()));
        assert_eq!(with_cause.to_string(), "cannot frobnicate `x`: disk on fire");
        let quoting = Failure::from_error(Exit::Failure, &Outer(": disk on fire", inner()));
        assert_eq!(quoting.to_string(), "cannot frobnicate `x`: disk on fire");
    }

    #[test]
    fn the_help_lists_every_code() {
        for exit in [Exit::Ok, Exit::Failure, Exit::Usage, Exit::Preflight, Exit::Abi, Exit::LockHeld, Exit::NoGateway]
        {
            assert!(HELP.contains(&format!("\n  {}  ", exit as u8)), "{exit:?}");
        }
    }
}
