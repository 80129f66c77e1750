//! `/proc/sys/net` of a namespace: read first, write only what differs.
//!
//! The files show the namespace of the thread that opens them, so all calls belong inside [`super::NetNs::run`].

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};
use thiserror::Error;

/// A setting that could not be made.
#[derive(Debug, Error)]
#[error("cannot set sysctl `{name}` to {value}: {source}{hint}")]
pub struct SysctlError {
    /// In dotted form; the interface keeps its own dots.
    pub name: String,
    /// Wanted value.
    pub value: &'static str,
    /// What the kernel said.
    pub source: io::Error,
    hint: &'static str,
}

impl SysctlError {
    /// Whether the interface of the setting is not there (any more): not a fault, it is set again when it returns.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// One setting: path below `/proc/sys/net/ipv4` and wanted value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    path: String,
    value: &'static str,
}

impl Setting {
    fn conf(interface: &str, key: &str, value: &'static str) -> Self {
        Self { path: format!("conf/{interface}/{key}"), value }
    }
}

/// What holds for the whole namespace. Translated packets that fall back to the kernel's forwarding carry a local
/// source address: `rp_filter` (the maximum of `all` and the interface counts) would drop them, redirects would tell
/// clients about a path that does not translate.
#[must_use]
pub fn namespace_settings() -> Vec<Setting> {
    vec![
        Setting { path: "ip_forward".to_owned(), value: "1" },
        Setting::conf("all", "rp_filter", "0"),
        Setting::conf("all", "send_redirects", "0"),
        Setting::conf("all", "promote_secondaries", "1"),
    ]
}

/// What keeps the siblings of a removed primary address, on every interface of the namespace.
#[must_use]
pub fn removal_settings() -> Vec<Setting> {
    vec![Setting::conf("all", "promote_secondaries", "1")]
}

/// What one of the gateway's interfaces needs. `accept_local` lets hairpinned and fallen-back packets with an EIP as
/// source through; `promote_secondaries` keeps the siblings of a removed primary address.
#[must_use]
pub fn interface_settings(interface: &str) -> Vec<Setting> {
    [
        ("accept_local", "1"),
        ("rp_filter", "0"),
        ("send_redirects", "0"),
        ("promote_secondaries", "1"),
        ("forwarding", "1"),
    ]
    .into_iter()
    .map(|(key, value)| Setting::conf(interface, key, value))
    .collect()
}

/// Makes each setting that differs; returns the names of those written and every failure.
#[must_use]
pub fn ensure(settings: &[Setting]) -> (Vec<String>, Vec<SysctlError>) {
    ensure_below(&root(Path::new(WRITABLE)), settings)
}

/// Where a pod may mount the node's `/proc/sys/net`: `/proc/sys` is read-only in a container that is not privileged.
/// Through a mount, too, the files belong to the namespace of the thread that opens them, never to the node's.
pub const WRITABLE: &str = "/run/natgw/proc-sys-net";

fn root(writable: &Path) -> PathBuf {
    let mounted = statfs(writable).is_ok_and(|found| found.filesystem_type() == PROC_SUPER_MAGIC);
    if mounted { writable.join("ipv4") } else { PathBuf::from("/proc/sys/net/ipv4") }
}

/// A test holds it to [`WRITABLE`].
const READ_ONLY: &str = "; mount the node's /proc/sys/net at /run/natgw/proc-sys-net, or run privileged";

fn ensure_below(root: &Path, settings: &[Setting]) -> (Vec<String>, Vec<SysctlError>) {
    let mut written = Vec::new();
    let mut errors = Vec::new();
    for setting in settings {
        let file: PathBuf = root.join(&setting.path);
        let outcome = fs::read_to_string(&file).and_then(|now| {
            if now.trim_end() == setting.value { Ok(false) } else { fs::write(&file, setting.value).map(|()| true) }
        });
        match outcome {
            Ok(true) => written.push(name(setting)),
            Ok(false) => {}
            Err(source) => {
                let read_only =
                    [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem].contains(&source.kind());
                let hint = if read_only { READ_ONLY } else { "" };
                errors.push(SysctlError { name: name(setting), value: setting.value, source, hint });
            }
        }
    }
    (written, errors)
}

fn name(setting: &Setting) -> String {
    format!("net/ipv4/{}", setting.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mounted_proc_is_preferred_and_anything_else_at_its_place_is_not() {
        assert_eq!(root(Path::new("/proc/sys/net")), Path::new("/proc/sys/net/ipv4"));
        assert_eq!(root(Path::new("/proc/self")), Path::new("/proc/self/ipv4"));
        assert_eq!(root(&std::env::temp_dir()), Path::new("/proc/sys/net/ipv4"));
        assert_eq!(root(Path::new("/nowhere")), Path::new("/proc/sys/net/ipv4"));
        assert!(READ_ONLY.contains(WRITABLE));
    }

    #[test]
    fn only_settings_that_differ_are_written() {
        let root = std::env::temp_dir().join(format!("natgw-sysctl-{}", std::process::id()));
        fs::create_dir_all(root.join("conf/net1")).expect("temporary directory");
        for (key, value) in [("accept_local", "0\n"), ("rp_filter", "0\n"), ("send_redirects", "1\n")] {
            fs::write(root.join("conf/net1").join(key), value).expect("written");
        }
        let (written, errors) = ensure_below(&root, &interface_settings("net1"));
        assert_eq!(written, ["net/ipv4/conf/net1/accept_local", "net/ipv4/conf/net1/send_redirects"]);
        assert!(errors.iter().all(SysctlError::is_gone), "{errors:?}");
        assert_eq!(errors.len(), 2);
        let (written, _) = ensure_below(&root, &interface_settings("net1"));
        assert!(written.is_empty(), "{written:?}");
        fs::remove_dir_all(root).expect("removed");
    }
}
