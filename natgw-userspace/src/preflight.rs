//! What the machine must have before natgw can run, as a table with the command that helps.
//!
//! `Facts` are gathered by system calls; what they mean is a pure function of them. Nothing is changed.

use std::{fmt::Write as _, fs, io, path::Path};

use caps::{CapSet, Capability};
use nix::{
    sys::{
        statfs::{BPF_FS_MAGIC, statfs},
        utsname::uname,
    },
    unistd::geteuid,
};
use serde::Serialize;

/// How serious a missing thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// There.
    Ok,
    /// Missing or not as it should be; natgw runs, with what the row says.
    Warning,
    /// Missing; natgw cannot run.
    Missing,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Missing => "MISSING",
        }
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// Whether it is there.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// The command (or, where none does, the measure) that helps.
    pub fix: Option<String>,
}

/// The whole table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preflight {
    /// The rows, in the order in which to mend them.
    pub checks: Vec<Check>,
}

/// What stands at the bpffs path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bpffs {
    Mounted,
    OtherFs,
    Absent,
    Unreadable,
}

/// What was found out about the machine.
#[derive(Debug, Clone)]
struct Facts {
    root: bool,
    /// Effective ones.
    capabilities: Vec<Capability>,
    bpffs_path: String,
    bpffs: Bpffs,
    release: String,
    btf: bool,
    /// `None`: cannot be told. Linux 6.1 shows the setting in the node's own network namespace only, not in a pod's.
    jit: Option<bool>,
    /// Name and whether it exists.
    interfaces: Vec<(String, bool)>,
}

/// Major and minor number of a kernel.
type Version = (u32, u32);

/// The oldest kernel that has everything the programs use, by what needs it.
const NEEDS: [(Version, &str); 4] = [
    ((5, 10), "bpf_redirect_neigh"),
    ((5, 11), "bpf_ktime_get_coarse_ns"),
    ((5, 12), "bpf_check_mtu"),
    ((5, 12), "atomic instructions"),
];
/// The oldest long-term kernel above that.
const RECOMMENDED: Version = (5, 15);
/// The kernel whose attachments can be pinned and updated as links.
const TCX: Version = (6, 6);
/// Before it, bpf memory counted against `RLIMIT_MEMLOCK`.
const NO_MEMLOCK: Version = (5, 11);

impl Preflight {
    /// Looks at this machine. Interfaces are looked up in the calling thread's network namespace.
    #[must_use]
    pub fn run(bpffs: &Path, interfaces: &[&str]) -> Self {
        Self { checks: judge(&gather(bpffs, interfaces)) }
    }

    /// Whether natgw can run.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.level != Level::Missing)
    }

    /// One sentence instead of the table when the rights are missing: without them the other rows are guesses.
    #[must_use]
    pub fn lacks_rights(&self) -> Option<String> {
        let check = self.checks.iter().find(|check| check.name == CAPABILITIES && check.level == Level::Missing)?;
        let fix = check.fix.as_deref().unwrap_or_default();
        Some(format!("natgw needs more rights: {}; {fix}", check.found))
    }

    /// The table as text, one row per line, each fix below its row.
    #[must_use]
    pub fn render(&self) -> String {
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for Check { name, level, found, fix } in &self.checks {
            // Writing to a string cannot fail.
            let _infallible = writeln!(text, "{:7}  {name:width$}  {found}", level.word());
            if let Some(fix) = fix {
                let _infallible = writeln!(text, "{:7}  {:width$}  -> {fix}", "", "");
            }
        }
        text
    }
}

fn gather(bpffs: &Path, interfaces: &[&str]) -> Facts {
    let bpffs_state = match statfs(bpffs) {
        Ok(stat) if stat.filesystem_type() == BPF_FS_MAGIC => Bpffs::Mounted,
        Ok(_) => Bpffs::OtherFs,
        Err(nix::errno::Errno::ENOENT | nix::errno::Errno::ENOTDIR) => Bpffs::Absent,
        Err(_) => Bpffs::Unreadable,
    };
    let jit = fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").map(|text| text.trim() != "0");
    Facts {
        root: geteuid().is_root(),
        capabilities: caps::read(None, CapSet::Effective).unwrap_or_default().into_iter().collect(),
        bpffs_path: bpffs.display().to_string(),
        bpffs: bpffs_state,
        release: uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default(),
        btf: fs::metadata("/sys/kernel/btf/vmlinux")
            .map_or_else(|error| error.kind() != io::ErrorKind::NotFound, |_| true),
        jit: jit.ok(),
        interfaces: interfaces
            .iter()
            .map(|name| ((*name).to_owned(), nix::net::if_::if_nametoindex(*name).is_ok()))
            .collect(),
    }
}

const CAPABILITIES: &str = "capabilities";

/// All that natgw has a use for; `deploy/base` gives it these and no others.
pub(crate) const CAPABILITIES_USED: [Capability; 4] =
    [Capability::CAP_BPF, Capability::CAP_PERFMON, Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW];

fn judge(facts: &Facts) -> Vec<Check> {
    let kernel = parse_release(&facts.release);
    let mut checks = vec![capabilities(facts), kernel_version(&facts.release, kernel), bpffs(facts)];
    checks.push(row(
        "kernel BTF",
        if facts.btf {
            Ok("/sys/kernel/btf/vmlinux")
        } else {
            Err("no /sys/kernel/btf/vmlinux: natgw loads without it, tracing tools do not")
        },
        Some("use a kernel built with CONFIG_DEBUG_INFO_BTF=y"),
    ));
    checks.push(match kernel {
        Some(version) if version < TCX => row(
            "attachment",
            Err("clsact filters through netlink: no TCX before Linux 6.6"),
            Some("nothing to do; Linux 6.6 or newer attaches with links"),
        ),
        Some(_) | None => row("attachment", Ok("TCX links"), None),
    });
    if facts.jit == Some(false) {
        let found = "off: programs are interpreted, which is slow";
        checks.push(row("bpf JIT", Err(found), Some("sysctl -w net.core.bpf_jit_enable=1")));
    }
    if kernel.is_some_and(|version| version < NO_MEMLOCK) {
        let found = "before Linux 5.11 maps count as locked memory";
        checks.push(row("locked memory", Err(found), Some("ulimit -l unlimited")));
    }
    for (name, exists) in &facts.interfaces {
        let found = if *exists { Ok("there") } else { Err("not there yet: natgw waits for it") };
        let fix = format!("ip link show {name}");
        checks.push(row(&format!("interface {name}"), found, Some(&fix)));
    }
    checks
}

/// A row that is `Ok`, or a warning with its fix.
fn row(name: &str, found: Result<&str, &str>, fix: Option<&str>) -> Check {
    let (level, found, fix) = match found {
        Ok(found) => (Level::Ok, found, None),
        Err(found) => (Level::Warning, found, fix),
    };
    Check { name: name.to_owned(), level, found: found.to_owned(), fix: fix.map(str::to_owned) }
}

fn capabilities(facts: &Facts) -> Check {
    let has = |wanted: Capability| facts.capabilities.contains(&wanted);
    // The one from which the finer ones were split off.
    let all = has(Capability::CAP_SYS_ADMIN);
    let needed = [(Capability::CAP_BPF, all), (Capability::CAP_PERFMON, all), (Capability::CAP_NET_ADMIN, false)];
    let missing: Vec<_> = needed
        .into_iter()
        .filter(|(capability, covered)| !covered && !has(*capability))
        .map(|(capability, _)| capability.to_string())
        .collect();
    let name = CAPABILITIES.to_owned();
    if !missing.is_empty() {
        let fix = if facts.root {
            "start the container with these capabilities added (securityContext.capabilities.add), or privileged"
        } else {
            "run it as root: sudo natgw ..."
        };
        let found = format!("without {}", missing.join(", "));
        return Check { name, level: Level::Missing, found, fix: Some(fix.to_owned()) };
    }
    if !has(Capability::CAP_NET_RAW) {
        let fix = "add CAP_NET_RAW to the container's capabilities".to_owned();
        let found = "without CAP_NET_RAW elastic IPs cannot be announced by ARP".to_owned();
        return Check { name, level: Level::Warning, found, fix: Some(fix) };
    }
    let found = CAPABILITIES_USED.map(|capability| capability.to_string()).join(", ");
    Check { name, level: Level::Ok, found, fix: None }
}

fn bpffs(facts: &Facts) -> Check {
    let path = &facts.bpffs_path;
    let mount = format!("mount -t bpf bpf {path}");
    let (level, found, fix) = match facts.bpffs {
        Bpffs::Mounted => (Level::Ok, path.clone(), None),
        Bpffs::OtherFs => (Level::Missing, format!("{path} is another file system"), Some(mount)),
        Bpffs::Absent => {
            (Level::Missing, format!("{path} does not exist"), Some(format!("mkdir -p {path} && {mount}")))
        }
        Bpffs::Unreadable => (Level::Missing, format!("{path} cannot be examined"), Some(format!("ls -ld {path}"))),
    };
    Check { name: "bpf file system".to_owned(), level, found, fix }
}

fn kernel_version(release: &str, version: Option<Version>) -> Check {
    let name = "kernel".to_owned();
    let Some(version) = version else {
        let found = format!("`{release}` has no version that can be understood");
        return Check { name, level: Level::Warning, found, fix: Some("uname -r".to_owned()) };
    };
    let lacking: Vec<_> = NEEDS.iter().filter(|(needed, _)| version < *needed).map(|(_, what)| *what).collect();
    let fix = Some("boot Linux 5.15 or newer".to_owned());
    if !lacking.is_empty() {
        let found = format!("{release} has no {}", lacking.join(", no "));
        return Check { name, level: Level::Missing, found, fix };
    }
    if version < RECOMMENDED {
        let found = format!("{release} is older than what natgw is tested with");
        return Check { name, level: Level::Warning, found, fix };
    }
    Check { name, level: Level::Ok, found: release.to_owned(), fix: None }
}

/// `6.1.0-18-amd64` is `(6, 1)`.
fn parse_release(release: &str) -> Option<Version> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        Facts {
            root: true,
            capabilities: caps::all().into_iter().collect(),
            bpffs_path: "/sys/fs/bpf".into(),
            bpffs: Bpffs::Mounted,
            release: "6.12.4-arch".into(),
            btf: true,
            jit: Some(true),
            interfaces: vec![("eth0".into(), true)],
        }
    }

    fn table(change: impl FnOnce(&mut Facts)) -> Preflight {
        let mut facts = good();
        change(&mut facts);
        Preflight { checks: judge(&facts) }
    }

    fn only(facts: impl FnOnce(&mut Facts), level: Level) -> Check {
        let mut found: Vec<_> = table(facts).checks.into_iter().filter(|check| check.level != Level::Ok).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].level, level);
        found.remove(0)
    }

    #[test]
    fn a_good_machine_has_nothing_to_mend() {
        let table = table(|_| ());
        assert!(table.checks.iter().all(|check| check.level == Level::Ok && check.fix.is_none()), "{table:?}");
    }

    #[test]
    fn a_missing_bpffs_comes_with_its_mount_command() {
        let check = only(|facts| facts.bpffs = Bpffs::OtherFs, Level::Missing);
        assert_eq!(check.fix.as_deref(), Some("mount -t bpf bpf /sys/fs/bpf"));
        let check = only(|facts| facts.bpffs = Bpffs::Absent, Level::Missing);
        assert_eq!(check.fix.as_deref(), Some("mkdir -p /sys/fs/bpf && mount -t bpf bpf /sys/fs/bpf"));
    }

    #[test]
    fn without_rights_there_is_one_sentence_that_says_so() {
        let table = table(|facts| {
            facts.root = false;
            facts.capabilities.clear();
        });
        assert!(!table.passed());
        let text = table.lacks_rights().unwrap();
        for part in ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON", "sudo natgw"] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(super::Preflight { checks: judge(&good()) }.lacks_rights(), None);
    }

    #[test]
    fn sys_admin_stands_for_bpf_and_perfmon_but_not_for_net_admin() {
        let with = |capabilities: Vec<Capability>| table(|facts| facts.capabilities = capabilities).passed();
        assert!(with(vec![Capability::CAP_SYS_ADMIN, Capability::CAP_NET_ADMIN]));
        assert!(with(vec![Capability::CAP_BPF, Capability::CAP_PERFMON, Capability::CAP_NET_ADMIN]));
        assert!(!with(vec![Capability::CAP_SYS_ADMIN]));
        assert!(!with(vec![Capability::CAP_BPF, Capability::CAP_NET_ADMIN]));
    }

    #[test]
    fn an_old_kernel_is_told_which_helpers_it_lacks() {
        let check = only_kernel("5.10.0-30-amd64");
        assert_eq!(check.level, Level::Missing);
        assert!(check.found.contains("bpf_check_mtu") && !check.found.contains("bpf_redirect_neigh"), "{check:?}");
        assert!(only_kernel("5.4.0").found.contains("bpf_redirect_neigh"));
        assert_eq!(only_kernel("5.12.1").level, Level::Warning);
        assert_eq!(only_kernel("5.15.0").level, Level::Ok);
        assert_eq!(only_kernel("6.1.0-18-amd64").level, Level::Ok);
        assert_eq!(only_kernel("strange").level, Level::Warning);
    }

    fn only_kernel(release: &str) -> Check {
        table(|facts| facts.release = release.into()).checks.into_iter().find(|check| check.name == "kernel").unwrap()
    }

    #[test]
    fn a_kernel_without_tcx_is_a_warning_that_names_clsact() {
        let check = only(|facts| facts.release = "6.1.0".into(), Level::Warning);
        assert!(check.found.contains("clsact"), "{check:?}");
    }

    #[test]
    fn a_jit_that_is_off_is_a_warning_and_one_that_a_pod_cannot_see_is_none() {
        assert_eq!(only(|facts| facts.jit = Some(false), Level::Warning).name, "bpf JIT");
        assert!(table(|facts| facts.jit = None).checks.iter().all(|check| check.name != "bpf JIT"));
    }

    #[test]
    fn locked_memory_is_a_subject_only_for_old_kernels() {
        let rows = |release: &str| table(|facts| facts.release = release.into()).checks;
        assert!(rows("5.10.0").iter().any(|check| check.fix.as_deref() == Some("ulimit -l unlimited")));
        assert!(rows("5.11.0").iter().all(|check| check.name != "locked memory"));
    }

    #[test]
    fn an_absent_interface_is_waited_for() {
        let check = only(|facts| facts.interfaces[0].1 = false, Level::Warning);
        assert_eq!((check.name.as_str(), check.fix.as_deref()), ("interface eth0", Some("ip link show eth0")));
    }

    #[test]
    fn the_text_has_each_fix_below_its_row() {
        let text = table(|facts| facts.bpffs = Bpffs::OtherFs).render();
        let lines: Vec<_> = text.lines().collect();
        let at = lines.iter().position(|line| line.starts_with("MISSING  bpf file system")).unwrap();
        assert!(lines[at + 1].trim_start().starts_with("-> mount -t bpf bpf"), "{text}");
    }
}
