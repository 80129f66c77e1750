//! One writer per gateway: an exclusive `flock` on the gateway's directory.
//!
//! The kernel releases it when the holder ends, however it ends. `detach` removes the directory while it holds the
//! lock, so whoever waited on the old directory must notice and take the new one: after every acquisition the inode
//! behind the descriptor is compared with the one behind the path.

use std::{
    fmt, fs,
    fs::File,
    io,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::stat::{major, minor},
};
use thiserror::Error;

use super::pins::{GatewayPaths, PinError};

/// The lock cannot be taken for another reason than that somebody holds it.
#[derive(Debug, Error)]
pub enum LockError {
    /// The directory is unusable.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// `flock` failed.
    #[error("cannot lock {}: {source}", path.display())]
    Flock {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process id, when the kernel tells it.
    pub pid: Option<u32>,
    /// Its command line, when readable.
    pub command: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, self.command.as_deref()) {
            (Some(pid), Some(command)) => write!(f, "process {pid} ({command})"),
            (Some(pid), None) => write!(f, "process {pid}, which is ending"),
            (None, _) => f.write_str("a process that cannot be seen from here: in another PID namespace, or ending"),
        }
    }
}

/// The exclusive right to change a gateway's data plane; released on drop and when the process ends.
#[derive(Debug)]
pub struct Lock {
    dir: Flock<File>,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock, or says who holds it.
    ///
    /// # Errors
    /// No bpffs, or no permission. A held lock is no error.
    pub fn try_acquire(paths: &GatewayPaths) -> Result<Result<Self, Holder>, LockError> {
        acquire(paths, FlockArg::LockExclusiveNonblock)
    }

    /// Waits for the lock. It blocks in the kernel until the holder ends, so give it a thread of its own (not a
    /// runtime's blocking pool, whose shutdown would wait for it).
    ///
    /// # Errors
    /// No bpffs, or no permission.
    pub fn acquire_blocking(paths: &GatewayPaths) -> Result<Self, LockError> {
        loop {
            if let Ok(lock) = acquire(paths, FlockArg::LockExclusive)? {
                return Ok(lock);
            }
        }
    }

    /// Who holds the lock of this gateway now, without taking it. `None`: nobody, or there is no such gateway.
    #[must_use]
    pub fn holder(paths: &GatewayPaths) -> Option<Holder> {
        let metadata = fs::metadata(paths.root()).ok()?;
        let pid = holder_pid(&fs::read_to_string("/proc/locks").ok()?, metadata.dev(), metadata.ino())?;
        Some(describe(Some(pid)))
    }

    /// Whether the locked directory is still the one at its path. If not, somebody has removed the pins, and another
    /// process may hold the lock of the new directory.
    #[must_use]
    pub fn is_current(&self) -> bool {
        is_at(&self.dir, &self.path).unwrap_or(false)
    }

    /// The locked directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn is_at(dir: &File, path: &Path) -> io::Result<bool> {
    let held = dir.metadata()?;
    Ok(fs::metadata(path).is_ok_and(|now| now.dev() == held.dev() && now.ino() == held.ino()))
}

fn acquire(paths: &GatewayPaths, how: FlockArg) -> Result<Result<Lock, Holder>, LockError> {
    let path = paths.root();
    let fail = |source: io::Error| LockError::Flock { path: path.to_owned(), source };
    loop {
        match paths.create_root() {
            // A detach of the last other gateway has just removed the directory above.
            Err(PinError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        }
        let dir = match File::open(path) {
            Ok(dir) => dir,
            // Removed by a detach in this moment.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(fail(error)),
        };
        match Flock::lock(dir, how) {
            Ok(dir) => {
                if is_at(&dir, path).map_err(fail)? {
                    tracing::debug!(path = %path.display(), fd = dir.as_raw_fd(), "lock taken");
                    return Ok(Ok(Lock { dir, path: path.to_owned() }));
                }
            }
            Err((_, Errno::EINTR)) => {}
            Err((dir, Errno::EWOULDBLOCK)) => {
                let metadata = dir.metadata().map_err(fail)?;
                let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
                return Ok(Err(describe(holder_pid(&locks, metadata.dev(), metadata.ino()))));
            }
            Err((_, errno)) => return Err(fail(errno.into())),
        }
    }
}

/// The holder of the `flock` on `dev`:`ino` according to `/proc/locks`, whose lines are
/// `1: FLOCK  ADVISORY  WRITE 1234 00:1d:567 0 EOF`, waiters `1: -> FLOCK ...`, device numbers in hexadecimal.
/// Holders in a PID namespace that is no child of ours are not listed.
fn holder_pid(locks: &str, dev: u64, ino: u64) -> Option<u32> {
    let wanted = format!("{:02x}:{:02x}:{ino}", major(dev), minor(dev));
    locks.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (kind, pid, file) = (words.next()?, words.nth(2)?, words.next()?);
        (kind == "FLOCK" && file == wanted).then(|| pid.parse().ok()).flatten()
    })
}

fn describe(pid: Option<u32>) -> Holder {
    let pid = pid.filter(|pid| *pid != 0);
    // Empty once the process has given up its memory, which it does before its files.
    let command = pid
        .and_then(|pid| fs::read(format!("/proc/{pid}/cmdline")).ok())
        .map(|raw| {
            let words: Vec<_> = raw.split(|b| *b == 0).map(String::from_utf8_lossy).collect();
            words.join(" ").trim_end().to_owned()
        })
        .filter(|command| !command.is_empty());
    Holder { pid, command }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKS: &str = "1: POSIX  ADVISORY  WRITE 1 00:1d:77 0 EOF\n\
                         2: FLOCK  ADVISORY  WRITE 4711 00:1d:77 0 EOF\n\
                         2: -> FLOCK  ADVISORY  WRITE 4712 00:1d:77 0 EOF\n\
                         3: FLOCK  ADVISORY  WRITE 9 fe:100:78 0 EOF\n";

    fn dev(major: u64, minor: u64) -> u64 {
        nix::sys::stat::makedev(major, minor)
    }

    #[test]
    fn the_holder_is_found_by_device_and_inode_not_the_waiter() {
        assert_eq!(holder_pid(LOCKS, dev(0, 0x1d), 77), Some(4711));
        assert_eq!(holder_pid(LOCKS, dev(0xfe, 0x100), 78), Some(9));
    }

    #[test]
    fn an_unlisted_file_has_no_visible_holder() {
        assert_eq!(holder_pid(LOCKS, dev(0, 0x1d), 78), None);
        assert_eq!(holder_pid("", 0, 0), None);
        assert_eq!(holder_pid("garbage\n1: FLOCK", 0, 0), None);
    }

    #[test]
    fn a_holder_that_is_unknown_or_ending_is_said_to_be_so() {
        assert!(describe(Some(0)).to_string().contains("in another PID namespace, or ending"));
        assert!(describe(None).to_string().contains("in another PID namespace, or ending"));
        assert_eq!(describe(Some(u32::MAX)).to_string(), format!("process {}, which is ending", u32::MAX));
    }

    #[test]
    fn a_visible_holder_is_named_with_its_command_line() {
        let text = describe(Some(std::process::id())).to_string();
        assert!(text.starts_with(&format!("process {} (", std::process::id())), "{text}");
    }
}
