//! Which kernels, where Debian has them, and which tests run on each.

use crate::{
    bookworm::{CODENAME, Wanted},
    cache,
};

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

/// Where all of [`KERNELS`] are.
pub(crate) const WANTED: Wanted = Wanted { sources: false, backports: true };

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
