//! Which kernels, where Debian has them, and which tests run on each.

use std::{collections::BTreeSet, fmt::Write as _};

use anyhow::{Result, ensure};

use crate::{archive::Target, cache};

/// A kernel, and why it is run.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// How its version begins.
    pub(crate) series: &'static str,
    pub(crate) what: &'static str,
    pub(crate) suites: &'static [Suite],
}

/// All of them: what this machine's kernel cannot show.
pub(crate) const KERNELS: [Kernel; 2] = [
    Kernel {
        series: "6.1",
        what: "no TCX; VLANs",
        suites: &[VERIFIER, Suite { target: "netns", filters: &["kernels::", "every_rule_works_when_net1_is_a_vlan"] }],
    },
    Kernel {
        series: "6.12",
        what: "TCX; VLANs",
        suites: &[VERIFIER, Suite { target: "netns", filters: &["kernels::"] }],
    },
];

/// A test binary of natgw-tests and which of its tests run. Few: an emulated processor is ten times slower.
#[derive(Debug)]
pub(crate) struct Suite {
    pub(crate) target: &'static str,
    pub(crate) filters: &'static [&'static str],
}

/// What runs on every kernel.
const VERIFIER: Suite =
    Suite { target: "datapath", filters: &["refused::", "every_program_verifies_within_the_budget"] };

/// How many times longer tests may wait there.
pub(crate) const SLOWNESS: &str = "10";

/// Modules of the guest's first minute; the rest is loaded by the kernel when it is asked for.
pub(crate) const MODULES: [&str; 4] = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];

/// What is kept of `lib/modules/<release>/kernel`: three quarters are drivers of hardware.
pub(crate) const KEPT: [&str; 7] = ["arch", "crypto", "fs", "lib", "net", "drivers/net", "drivers/virtio"];
/// And not that.
pub(crate) const DROPPED: [&str; 2] = ["drivers/net/ethernet", "drivers/net/wireless"];

impl Kernel {
    /// The name of its cache directory: another choice of modules is another one.
    pub(crate) fn id(&self) -> String {
        format!("{}-{:016x}", self.series, cache::fnv1a([CODENAME].into_iter().chain(KEPT).chain(DROPPED)))
    }
}

/// The release of Debian that has all of [`KERNELS`], with its backports.
const CODENAME: &str = "bookworm";

/// The entries of a sources.list, from where this machine's own Debian comes from, whichever release that is.
pub(crate) fn sources(targets: &[Target<'_>]) -> Result<String> {
    let mut uris = BTreeSet::new();
    for target in targets.iter().filter(|target| target.is_debian_main()) {
        uris.insert((target.uri, target.suite.ends_with("-security")));
    }
    ensure!(
        uris.iter().any(|(_, security)| !security),
        "apt knows no archive of Debian, whose kernels these are: run `apt-get update` on a Debian machine"
    );
    let mut text = String::new();
    for (uri, security) in uris {
        let suites: &[&str] = if security { &["-security"] } else { &["", "-backports"] };
        for suite in suites {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "deb [target=Packages] {uri} {CODENAME}{suite} main");
        }
    }
    Ok(text)
}

/// The package of the newest kernel of a series, by the versions of the package that depends on it.
pub(crate) fn package<'a>(show: &'a str, series: &str) -> Option<&'a str> {
    show.split("\n\n").find_map(|stanza| {
        let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        field("Version")?.strip_prefix(series)?.strip_prefix('.')?;
        let depends = field("Depends")?.split(',').next()?;
        depends.split_whitespace().next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive;

    #[test]
    fn the_mirror_is_that_of_the_machine_whatever_its_release() {
        let targets = "http://mirror/debian/ trixie main Debian\n\
            http://mirror/debian/ trixie-updates main Debian\n\
            http://mirror/security/ trixie-security main Debian\n\
            https://elsewhere/apt/ trixie main Somebody\n";
        assert_eq!(
            sources(&archive::parse(targets)).unwrap(),
            "deb [target=Packages] http://mirror/debian/ bookworm main\n\
            deb [target=Packages] http://mirror/debian/ bookworm-backports main\n\
            deb [target=Packages] http://mirror/security/ bookworm-security main\n"
        );
        assert!(sources(&archive::parse("http://mirror/ubuntu/ noble main Ubuntu\n")).is_err());
    }

    #[test]
    fn the_newest_kernel_of_a_series_is_the_first() {
        let show = "Package: linux-image-amd64\nVersion: 6.12.95-1~bpo12+1\n\
            Depends: linux-image-6.12.95+deb12-amd64 (= 6.12.95-1~bpo12+1)\n\n\
            Package: linux-image-amd64\nVersion: 6.1.192-2\nDepends: linux-image-6.1.0-56-amd64 (= 6.1.192-2)\n\n\
            Package: linux-image-amd64\nVersion: 6.1.176-1\nDepends: linux-image-6.1.0-50-amd64 (= 6.1.176-1)\n";
        assert_eq!(package(show, "6.1"), Some("linux-image-6.1.0-56-amd64"));
        assert_eq!(package(show, "6.12"), Some("linux-image-6.12.95+deb12-amd64"));
        assert_eq!(package(show, "5.10"), None);
    }
}
