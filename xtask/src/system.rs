//! What is known about the machine: which distribution, which user, which programs are on it.

use std::{
    env, fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};

/// How programs are installed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packages {
    /// Debian, Ubuntu and what descends from them: `cargo xtask setup` does it.
    Apt,
    /// Fedora and relatives: setup says how.
    Dnf,
    /// Alpine: setup says how.
    Apk,
    /// Anything else.
    Unknown,
}

/// /etc/os-release.
#[derive(Debug)]
pub(crate) struct OsRelease(String);

impl OsRelease {
    pub(crate) fn parse(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The value of a variable; empty when it is not set.
    pub(crate) fn value(&self, key: &str) -> &str {
        let line = self.0.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"')
    }
}

/// That of this machine, empty where there is none.
pub(crate) fn os_release() -> OsRelease {
    OsRelease::parse(&fs::read_to_string("/etc/os-release").unwrap_or_default())
}

impl Packages {
    /// By the names in /etc/os-release.
    pub(crate) fn of(os_release: &OsRelease) -> Self {
        let family = format!("{} {}", os_release.value("ID"), os_release.value("ID_LIKE")).to_lowercase();
        family
            .split_whitespace()
            .find_map(|id| match id {
                "debian" | "ubuntu" => Some(Self::Apt),
                "fedora" | "rhel" => Some(Self::Dnf),
                "alpine" => Some(Self::Apk),
                _ => None,
            })
            .unwrap_or(Self::Unknown)
    }

    /// Those of this machine.
    pub(crate) fn here() -> Self {
        Self::of(&os_release())
    }
}

/// Whether we may install packages, mount bpffs and load programs.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Fails for other users, saying what `cargo xtask <command>` needs root for.
pub(crate) fn require_root(command: &str, what: &str) -> Result<()> {
    ensure!(is_root(), "`cargo xtask {command}` needs root: {what}");
    Ok(())
}

/// Where a program is. The sbin directories are not in every root's PATH (`su` without `-`).
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(sbin).map(|dir| dir.join(name)).find(|file| is_executable(file))
}

/// Whether it is a program.
pub(crate) fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Whether a bpf file system is mounted at `path`, by the text of /proc/self/mounts.
pub(crate) fn has_bpffs(mounts: &str, path: &str) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some(path) && fields.next() == Some("bpf")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages(os_release: &str) -> Packages {
        Packages::of(&OsRelease::parse(os_release))
    }

    #[test]
    fn debian_ubuntu_and_their_descendants_use_apt() {
        assert_eq!(packages("NAME=\"Debian GNU/Linux\"\nID=debian\n"), Packages::Apt);
        assert_eq!(packages("ID=ubuntu\nID_LIKE=debian\n"), Packages::Apt);
        assert_eq!(packages("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), Packages::Apt);
    }

    #[test]
    fn other_systems_are_told_apart() {
        assert_eq!(packages("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"), Packages::Dnf);
        assert_eq!(packages("ID=alpine\n"), Packages::Apk);
        assert_eq!(packages("ID=nixos\n"), Packages::Unknown);
        assert_eq!(packages(""), Packages::Unknown);
        // VERSION_ID and ID_LIKE are not ID.
        assert_eq!(packages("VERSION_ID=debian\n"), Packages::Unknown);
    }

    #[test]
    fn bpffs_counts_only_at_its_place_and_of_its_type() {
        let mounts = "sysfs /sys sysfs rw 0 0\nbpf /sys/fs/bpf bpf rw,mode=700 0 0\n";
        assert!(has_bpffs(mounts, "/sys/fs/bpf"));
        assert!(!has_bpffs(mounts, "/run/bpf"));
        assert!(!has_bpffs("tmpfs /sys/fs/bpf tmpfs rw 0 0\n", "/sys/fs/bpf"));
    }

    #[test]
    fn programs_are_found_only_when_executable() {
        assert!(find_program("sh").is_some());
        assert_eq!(find_program("no-such-program-anywhere"), None);
    }
}
