//! Follows a directory by inotify: which changes are worth a reading, and which files are being written just now.
//!
//! A file that its writer has opened and truncated looks empty, and half of a file looks like a file with fewer
//! objects. So a modified file counts as unfinished until its writer closes it, and is not read before.
//!
//! A directory that is not there, or is replaced, is found again by watching the nearest one above it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fmt, fs, io,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf, absolute},
    time::Duration,
};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use tokio::{
    io::unix::AsyncFd,
    time::{Instant, sleep_until},
};

use super::directory::{Identity, is_manifest};

/// A burst of changes is over when nothing has happened for this long ...
const QUIET: Duration = Duration::from_millis(10);
/// ... and is not waited for longer than this.
const LONGEST_BURST: Duration = Duration::from_millis(50);
/// A file changed without being closed (truncate(2), a writer that never ends) is read after this long without change,
/// as one that may lack something.
const LONGEST_WRITE: Duration = Duration::from_secs(30);
/// Several hundred events; what does not fit is read in the next round.
const BUFFER_BYTES: usize = 32 * 1024;
/// Attempts to get ahead of directories being created; a directory that exists but may not be watched ends them.
const MOST_ROUNDS: usize = 16;

/// The watch on one directory.
pub(super) struct Watcher {
    /// Absolute, so that there is a parent to watch.
    dir: PathBuf,
    /// The directory that `inside` watches.
    watched: Option<Identity>,
    inotify: Inotify,
    /// A second descriptor of the same inotify instance: readiness, once a runtime is there.
    readiness: Option<AsyncFd<OwnedFd>>,
    /// The watch of the directory, when it exists.
    inside: Option<WatchDescriptor>,
    /// The watch of the nearest directory above it, and the name in there that leads to it.
    above: Option<(WatchDescriptor, OsString)>,
    /// Files that are being written, and when they last changed.
    writing: BTreeMap<OsString, Instant>,
    /// Files whose writer was given up: they may still grow.
    given_up: BTreeSet<OsString>,
    /// Changes that nobody has been told of.
    burst: Option<Burst>,
    /// The watches have to be set anew.
    stale: bool,
    buffer: Box<[u8]>,
}

/// Changes that belong together.
#[derive(Debug, Clone, Copy)]
struct Burst {
    first: Instant,
    last: Instant,
}

impl Watcher {
    /// Watches `dir`, which need not exist.
    pub(super) fn new(dir: &Path) -> io::Result<Self> {
        let mut watcher = Self {
            dir: absolute(dir)?,
            watched: None,
            inotify: Inotify::init()?,
            readiness: None,
            inside: None,
            above: None,
            writing: BTreeMap::new(),
            given_up: BTreeSet::new(),
            burst: None,
            stale: true,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
        };
        watcher.arm()?;
        Ok(watcher)
    }

    /// Files that must not be read now.
    pub(super) fn unfinished(&self) -> BTreeSet<OsString> {
        self.writing.keys().cloned().collect()
    }

    /// Files that may be read but need not be whole.
    pub(super) fn given_up(&self) -> BTreeSet<OsString> {
        self.given_up.clone()
    }

    /// A reading begins: what happened before is part of it.
    pub(super) fn begin_reading(&mut self) -> io::Result<()> {
        // A link somewhere above now leads to another directory, of which no watch tells.
        self.stale |= Identity::of(&self.dir).ok() != self.watched;
        self.drain()?;
        self.burst = None;
        Ok(())
    }

    /// Returns when something worth a reading happened and the burst is over.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        loop {
            self.drain()?;
            let now = Instant::now();
            self.give_up_writers(now);
            let burst_end = self.burst.map(|burst| (burst.last + QUIET).min(burst.first + LONGEST_BURST));
            if burst_end.is_some_and(|end| end <= now) {
                self.burst = None;
                return Ok(());
            }
            let write_end = self.writing.values().min().map(|last| *last + LONGEST_WRITE);
            let wake = burst_end.into_iter().chain(write_end).min();
            tokio::select! {
                ready = self.readable() => ready?,
                () = until(wake) => {}
            }
        }
    }

    /// Waits for events. Cancel-safe.
    async fn readable(&mut self) -> io::Result<()> {
        let readiness = if let Some(readiness) = &self.readiness {
            readiness
        } else {
            let fd = self.inotify.as_fd().try_clone_to_owned()?;
            #[expect(deprecated, reason = "its successor is unsafe to call, for types that change their descriptor")]
            self.readiness.insert(AsyncFd::new(fd)?)
        };
        // Cleared before the events are read: one that arrives in between makes it ready again.
        readiness.readable().await?.clear_ready();
        Ok(())
    }

    pub(super) fn give_up_writers(&mut self, now: Instant) {
        let given_up = self.writing.extract_if(.., |_, last| *last + LONGEST_WRITE <= now).map(|(name, _)| name);
        let before = self.given_up.len();
        self.given_up.extend(given_up);
        if self.given_up.len() > before {
            self.touch();
        }
    }

    fn touch(&mut self) {
        let now = Instant::now();
        let first = self.burst.map_or(now, |burst| burst.first);
        self.burst = Some(Burst { first, last: now });
    }

    /// Takes note of every event there is.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        loop {
            let mut buffer = std::mem::take(&mut self.buffer);
            let result = self.inotify.read_events(&mut buffer).map(|events| {
                events.map(|event| (event.wd, event.mask, event.name.map(OsStr::to_owned))).collect::<Vec<_>>()
            });
            self.buffer = buffer;
            match result {
                Ok(events) => {
                    for (wd, mask, name) in events {
                        self.note(&wd, mask, name);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.arm()
    }

    fn note(&mut self, wd: &WatchDescriptor, mask: EventMask, name: Option<OsString>) {
        if mask.contains(EventMask::Q_OVERFLOW) {
            // Whatever was lost: look at everything again.
            self.writing.clear();
            self.given_up.clear();
            self.stale = true;
            self.touch();
        } else if self.inside.as_ref() == Some(wd) {
            match name {
                Some(name) => self.note_inside(mask, name),
                None => self.note_directory(mask),
            }
        } else if let Some((above, next)) = &self.above
            && above == wd
            && name.as_ref().is_none_or(|name| name == next)
        {
            self.stale = true;
        }
    }

    fn note_inside(&mut self, mask: EventMask, name: OsString) {
        // A ConfigMap mount is updated by replacing the link `..data`, through which all its files are reached.
        if name.as_encoded_bytes().starts_with(b"..data") {
            self.touch();
        } else if !is_manifest(&name) {
        } else if mask.contains(EventMask::MODIFY) || (mask.contains(EventMask::CREATE) && self.is_empty(&name)) {
            self.given_up.remove(&name);
            self.writing.insert(name, Instant::now());
        } else if !(mask.contains(EventMask::ATTRIB) && self.is_open(&name)) {
            self.writing.remove(&name);
            self.given_up.remove(&name);
            self.touch();
        }
    }

    fn is_open(&self, name: &OsStr) -> bool {
        self.writing.contains_key(name) || self.given_up.contains(name)
    }

    /// Whether `name` was only just created by a writer that has yet to write. A link comes with its contents.
    fn is_empty(&self, name: &OsStr) -> bool {
        fs::symlink_metadata(self.dir.join(name)).is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
    }

    fn note_directory(&mut self, mask: EventMask) {
        if mask.intersects(EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::UNMOUNT | EventMask::IGNORED) {
            self.stale = true;
        } else {
            self.touch();
        }
    }

    /// Sets the watches where the directory is now, if they may have to move.
    fn arm(&mut self) -> io::Result<()> {
        for _ in 0..MOST_ROUNDS {
            if !self.stale {
                break;
            }
            self.watched = Identity::of(&self.dir).ok();
            let inside = self.add(&self.dir.clone(), INSIDE)?;
            let (above, next) = self.add_above()?;
            // What was missing may have been created before the directory above it was watched.
            self.stale = inside.is_none() && next.is_dir();
            let above = above.and_then(|wd| Some((wd, next.file_name()?.to_owned())));
            if inside != self.inside {
                self.writing.clear();
                self.given_up.clear();
            }
            let old = [self.inside.take(), self.above.take().map(|(wd, _)| wd)];
            for wd in old.into_iter().flatten() {
                let still_used = inside.as_ref() == Some(&wd) || above.as_ref().is_some_and(|(a, _)| *a == wd);
                if !still_used {
                    // It may have gone with its directory; then there is nothing to remove.
                    let _ = self.inotify.watches().remove(wd);
                }
            }
            (self.inside, self.above) = (inside, above);
            self.touch();
        }
        self.stale = false;
        Ok(())
    }

    /// Watches the nearest directory above that exists; says which, and the path in it that leads down.
    fn add_above(&mut self) -> io::Result<(Option<WatchDescriptor>, PathBuf)> {
        let dir = self.dir.clone();
        let mut next = dir.as_path();
        for path in dir.ancestors().skip(1) {
            if let Some(wd) = self.add(path, ABOVE)? {
                return Ok((Some(wd), next.to_owned()));
            }
            next = path;
        }
        Ok((None, next.to_owned()))
    }

    /// `None` when there is no such directory, or none that may be watched.
    fn add(&mut self, path: &Path, mask: WatchMask) -> io::Result<Option<WatchDescriptor>> {
        match self.inotify.watches().add(path, mask | WatchMask::ONLYDIR) {
            Ok(wd) => Ok(Some(wd)),
            Err(error) if NO_SUCH_DIRECTORY.contains(&error.kind()) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Reasons for which a directory is as good as absent.
const NO_SUCH_DIRECTORY: [io::ErrorKind; 3] =
    [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory, io::ErrorKind::PermissionDenied];

const INSIDE: WatchMask = WatchMask::MODIFY
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::CREATE)
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVE)
    .union(WatchMask::ATTRIB)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF)
    // A writer of a deleted file says nothing about a new one of its name.
    .union(WatchMask::EXCL_UNLINK);

const ABOVE: WatchMask = WatchMask::CREATE
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVE)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF);

async fn until(wake: Option<Instant>) {
    match wake {
        Some(wake) => sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("dir", &self.dir).field("writing", &self.writing).finish_non_exhaustive()
    }
}
