//! Packages of Debian and Ubuntu, by name and only those that are missing.

use std::{fs, path::Path, process::Command};

use anyhow::Result;

use crate::{cargo, progress, toolchain::Version, workspace::Workspace};

/// A program that the layers or the demo run, and the packages that bring it. A further group is tried where the
/// first is not offered.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) packages: &'static [&'static [&'static str]],
    pub(crate) what_for: &'static str,
}

/// All of them. A layer that runs another program adds it here.
pub(crate) const TOOLS: &[Tool] = &[
    Tool { program: "mount", packages: &[&["mount"]], what_for: "bpffs; minimal images lack it" },
    Tool { program: "ip", packages: &[&["iproute2"]], what_for: "namespaces, links and routes" },
    Tool { program: "tc", packages: &[&["iproute2"]], what_for: "clsact filters" },
    // Ubuntu before 24.10 has it as a wrapper in linux-tools.
    Tool {
        program: "bpftool",
        packages: &[&["bpftool"], &["linux-tools-common", "linux-tools-generic"]],
        what_for: "dumps of pinned maps",
    },
    Tool { program: "ethtool", packages: &[&["ethtool"]], what_for: "offloads of veth" },
    Tool { program: "nft", packages: &[&["nftables"]], what_for: "proof that no netfilter hook is there" },
    Tool {
        program: "conntrack",
        packages: &[&["conntrack"]],
        what_for: "the iptables gateway that tests compare with",
    },
    Tool { program: "ping", packages: &[&["iputils-ping"]], what_for: "ICMP echo" },
    Tool { program: "qemu-system-x86_64", packages: &[&["qemu-system-x86"]], what_for: "tests on other kernels" },
    Tool { program: "busybox", packages: &[&["busybox-static"]], what_for: "the first program on other kernels" },
    Tool { program: "cpio", packages: &[&["cpio"]], what_for: "packing what other kernels start from" },
    Tool { program: "depmod", packages: &[&["kmod"]], what_for: "modules of other kernels" },
    Tool { program: "faketime", packages: &[&["faketime"]], what_for: "clocks that are hours apart" },
    Tool {
        program: "iptables-legacy-restore",
        packages: &[&["iptables"]],
        what_for: "the gateway that natgw replaces, as an oracle",
    },
];

/// Debian's own compiler with its source (and clippy for it), for machines whose rustup has no rust-src.
pub(crate) const RUST: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-clippy"];

/// The `Candidate:` of `apt-cache policy`, as a version of the program.
pub(crate) fn parse_candidate(policy: &str) -> Option<&str> {
    let candidate = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?.trim();
    let upstream = candidate.split_once(':').map_or(candidate, |(_epoch, rest)| rest);
    (upstream != "(none)").then_some(upstream)
}

/// The version of a package that apt would install.
fn candidate(workspace: &Workspace, package: &str) -> Option<String> {
    let text = cargo::probe(cargo::command("apt-cache", workspace.root()).args(["policy", package]))?;
    parse_candidate(&text).map(str::to_owned)
}

/// Whether apt offers a compiler that is recent enough.
pub(crate) fn offers_rust(workspace: &Workspace, oldest: Version) -> bool {
    candidate(workspace, RUST[0]).and_then(|text| Version::parse(&text)).is_some_and(|version| version >= oldest)
}

/// The packages for some tools, without repetition, from the first group that is `offered`.
pub(crate) fn packages_for(tools: &[&Tool], offered: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut packages = Vec::new();
    for tool in tools {
        let group = tool.packages.iter().find(|group| group.iter().all(|package| offered(package)));
        // Nothing offered: ask for the first, so that apt's own message names it.
        for package in group.or(tool.packages.first()).into_iter().copied().flatten() {
            if !packages.contains(package) {
                packages.push(*package);
            }
        }
    }
    packages
}

/// The packages for some tools on this machine.
pub(crate) fn resolve(workspace: &Workspace, tools: &[&Tool]) -> Vec<&'static str> {
    packages_for(tools, |package| candidate(workspace, package).is_some())
}

/// Fetches the package lists where there are none, as in a fresh container.
pub(crate) fn ensure_lists(workspace: &Workspace) -> Result<()> {
    let lists = fs::read_dir(Path::new("/var/lib/apt/lists"));
    let any = lists.is_ok_and(|entries| {
        entries.filter_map(Result::ok).any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
    });
    if any { Ok(()) } else { update(workspace) }
}

fn update(workspace: &Workspace) -> Result<()> {
    progress::run("fetching the package lists", apt_get(workspace).arg("update"), |_| None)
}

/// Installs packages and prints a line for each one.
pub(crate) fn install(workspace: &Workspace, packages: &[&str]) -> Result<()> {
    let label = format!("installing {}", packages.join(" "));
    let attempt = || {
        let mut command = apt_get(workspace);
        command.args(["install", "--yes", "--no-install-recommends"]).args(packages);
        progress::run(&label, &mut command, |line| parse_installed(line).map(|what| format!("  installed {what}")))
    };
    // Lists that are older than the archive name packages that are gone.
    attempt().or_else(|first| {
        eprintln!("{first:#}; trying again with fresh package lists");
        update(workspace)?;
        attempt()
    })
}

/// `Setting up NAME (VERSION) ...` of dpkg, as `NAME VERSION`.
fn parse_installed(line: &str) -> Option<String> {
    let (name, rest) = line.strip_prefix("Setting up ")?.split_once(" (")?;
    let (version, _) = rest.split_once(')')?;
    Some(format!("{name} {version}"))
}

fn apt_get(workspace: &Workspace) -> Command {
    let mut command = cargo::command("apt-get", workspace.root());
    // Another apt (unattended-upgrades) may hold the lock: wait for it.
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["--quiet", "--option", "DPkg::Lock::Timeout=300"]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_candidate_is_read_without_its_epoch() {
        let policy = "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n  Version table:\n";
        assert_eq!(parse_candidate(policy), Some("1.96.0+dfsg1-1~deb12u2"));
        assert_eq!(parse_candidate("x:\n  Candidate: 1:22.1.8-1\n"), Some("22.1.8-1"));
        assert_eq!(parse_candidate("x:\n  Installed: (none)\n  Candidate: (none)\n"), None);
        assert_eq!(parse_candidate(""), None);
    }

    #[test]
    fn one_package_that_brings_two_programs_is_asked_for_once() {
        let tools: Vec<&Tool> = TOOLS.iter().filter(|tool| ["ip", "tc"].contains(&tool.program)).collect();
        assert_eq!(tools.len(), 2);
        assert_eq!(packages_for(&tools, |_| true), ["iproute2"]);
    }

    #[test]
    fn a_package_that_is_not_offered_is_replaced_by_the_next_group() {
        let tools: Vec<&Tool> = TOOLS.iter().filter(|tool| tool.program == "bpftool").collect();
        assert_eq!(packages_for(&tools, |package| package != "bpftool"), ["linux-tools-common", "linux-tools-generic"]);
        assert_eq!(packages_for(&tools, |_| false), ["bpftool"]);
    }

    #[test]
    fn each_package_that_dpkg_sets_up_is_one_line() {
        assert_eq!(parse_installed("Setting up ethtool (1:6.1-1) ..."), Some("ethtool 1:6.1-1".to_owned()));
        assert_eq!(parse_installed("Unpacking ethtool (1:6.1-1) ..."), None);
    }
}
