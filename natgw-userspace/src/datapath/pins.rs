//! Where a gateway's objects are pinned, and the creation of those directories.
//!
//! The kernel refuses names with a dot on bpffs (`bpf_lookup` in `kernel/bpf/inode.c` reserves them), but an object
//! name may contain dots: they become underscores, which object names cannot contain, so the mapping is reversible.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use thiserror::Error;

use super::attach::Hook;
use crate::core::objects::name_fault;

/// Directory below the bpffs that holds all gateways.
const TOP: &str = "natgw";

/// A pin directory cannot be used.
#[derive(Debug, Error)]
pub enum PinError {
    /// The name cannot name a `VpcNatGateway`.
    #[error(
        "gateway name `{name}` is not valid: {reason}; use the name of the VpcNatGateway object \
         (lower-case letters, digits, `-` and `.`)"
    )]
    GatewayName {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No bpffs at the path.
    #[error("{} is not a bpf file system; mount one: mount -t bpf bpf {}", path.display(), path.display())]
    NotBpffs {
        /// The path given by `--bpffs`.
        path: PathBuf,
    },
    /// The caller may not look.
    #[error("cannot look into {}: {source}; run this as root", path.display())]
    Denied {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A system call failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, for the message.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl PinError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// Which maps of a gateway: there is more than one set only while a migration is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generation {
    /// The gateway's.
    Current,
    /// Being filled, used by nothing that is attached.
    Next,
    /// Left behind.
    Old,
}

impl Generation {
    pub(super) const ALL: [Self; 3] = [Self::Current, Self::Next, Self::Old];

    const fn directory(self) -> &'static str {
        match self {
            Self::Current => "maps",
            Self::Next => "maps_next",
            Self::Old => "maps_old",
        }
    }
}

/// The pins of one gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayPaths {
    gateway: String,
    bpffs: PathBuf,
    root: PathBuf,
    generation: Generation,
}

impl GatewayPaths {
    /// The pins of `gateway` on the bpffs mounted at `bpffs`. Touches nothing.
    ///
    /// # Errors
    /// The name is not a DNS-1123 subdomain.
    pub fn new(bpffs: impl Into<PathBuf>, gateway: &str) -> Result<Self, PinError> {
        if let Some(reason) = name_fault(gateway) {
            return Err(PinError::GatewayName { name: gateway.to_owned(), reason });
        }
        let bpffs = bpffs.into();
        let root = bpffs.join(TOP).join(gateway.replace('.', "_"));
        Ok(Self { gateway: gateway.to_owned(), bpffs, root, generation: Generation::Current })
    }

    /// The same with the maps of another generation.
    pub(super) fn of(&self, generation: Generation) -> Self {
        Self { generation, ..self.clone() }
    }

    /// Every gateway that has pins on this bpffs, sorted by name.
    ///
    /// # Errors
    /// The directory exists and cannot be read.
    pub fn list(bpffs: impl Into<PathBuf>) -> Result<Vec<Self>, PinError> {
        let bpffs = bpffs.into();
        let top = bpffs.join(TOP);
        let entries = match fs::read_dir(&top) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                return Err(PinError::Denied { path: top, source });
            }
            Err(error) => return Err(PinError::io("read", &top)(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(PinError::io("read", &top))?;
            let name = entry.file_name().to_string_lossy().replace('_', ".");
            found.extend(Self::new(bpffs.clone(), &name));
        }
        found.sort_by(|a, b| a.gateway.cmp(&b.gateway));
        Ok(found)
    }

    /// Name of the gateway.
    #[must_use]
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// Mount point of the bpffs.
    #[must_use]
    pub fn bpffs(&self) -> &Path {
        &self.bpffs
    }

    /// The gateway's directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of the maps.
    #[must_use]
    pub fn maps(&self) -> PathBuf {
        self.root.join(self.generation.directory())
    }

    /// The directory of the links.
    #[must_use]
    pub fn links(&self) -> PathBuf {
        self.root.join("links")
    }

    /// The directory of the programs.
    #[must_use]
    pub fn progs(&self) -> PathBuf {
        self.root.join("progs")
    }

    /// The pin of map `name`.
    #[must_use]
    pub fn map(&self, name: &str) -> PathBuf {
        self.maps().join(name)
    }

    /// The pin of the link of `hook`.
    #[must_use]
    pub fn link(&self, hook: Hook) -> PathBuf {
        self.links().join(hook.name())
    }

    /// The pin of the sweep program.
    #[must_use]
    pub fn sweep(&self) -> PathBuf {
        self.progs().join("sweep")
    }

    /// Whether the gateway has a data plane (or the remains of one).
    ///
    /// # Errors
    /// Whoever asks may not know: the directories are their owner's only.
    pub fn exists(&self) -> Result<bool, PinError> {
        match fs::metadata(&self.root) {
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                Err(PinError::Denied { path: self.root.clone(), source })
            }
            found => Ok(found.is_ok_and(|found| found.is_dir())),
        }
    }

    /// Fails unless a bpffs is mounted at [`Self::bpffs`].
    ///
    /// # Errors
    /// It is missing or something else.
    pub fn check_bpffs(&self) -> Result<(), PinError> {
        match statfs(&self.bpffs) {
            Ok(stat) if stat.filesystem_type() == BPF_FS_MAGIC => Ok(()),
            Ok(_) | Err(nix::errno::Errno::ENOENT | nix::errno::Errno::ENOTDIR) => {
                Err(PinError::NotBpffs { path: self.bpffs.clone() })
            }
            Err(error) => Err(PinError::io("examine", &self.bpffs)(error.into())),
        }
    }

    /// Creates the gateway's own directory, for its owner only. Existing directories stay as they are.
    ///
    /// # Errors
    /// No bpffs, or a directory cannot be made.
    pub fn create_root(&self) -> Result<(), PinError> {
        self.check_bpffs()?;
        make_dir(&self.root)
    }

    /// Creates all of the gateway's directories, for their owner only.
    ///
    /// # Errors
    /// No bpffs, or a directory cannot be made.
    pub fn create(&self) -> Result<(), PinError> {
        self.create_root()?;
        [self.maps(), self.links(), self.progs()].iter().try_for_each(|dir| make_dir(dir))
    }
}

fn make_dir(path: &Path) -> Result<(), PinError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(PinError::io("create directory", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_becomes_an_underscore_because_bpffs_refuses_dots() {
        let paths = GatewayPaths::new("/sys/fs/bpf", "gw.prod").unwrap();
        assert_eq!(paths.map("EIPS"), Path::new("/sys/fs/bpf/natgw/gw_prod/maps/EIPS"));
        assert_eq!(paths.link(Hook::ExtOut), Path::new("/sys/fs/bpf/natgw/gw_prod/links/ext_out"));
        assert_eq!(paths.gateway(), "gw.prod");
    }

    #[test]
    fn names_that_could_leave_the_directory_or_collide_are_refused() {
        for name in ["", ".", "..", "a/b", "../x", "a..b", "A", "a_b", "-a", "a-", "a b", "a\0", &"x".repeat(254)] {
            assert!(GatewayPaths::new("/sys/fs/bpf", name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn the_longest_object_name_is_accepted() {
        assert!(GatewayPaths::new("/b", &"x".repeat(253)).is_ok());
    }

    #[test]
    fn a_path_that_is_no_bpffs_names_the_mount_command() {
        let error = GatewayPaths::new("/proc", "gw").unwrap().check_bpffs().unwrap_err();
        assert_eq!(error.to_string(), "/proc is not a bpf file system; mount one: mount -t bpf bpf /proc");
    }
}
