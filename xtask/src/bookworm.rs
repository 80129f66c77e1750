//! Debian 12 as this machine reaches it, whichever release of Debian or Ubuntu it runs: what the tests boot and what
//! their API server is built from.

use std::{collections::BTreeSet, fmt::Write as _, path::Path};

use anyhow::{Result, ensure};

use crate::{apt, archive::Target, system, workspace::Workspace};

/// The release.
pub(crate) const CODENAME: &str = "bookworm";
/// Where everybody has it from; machines that know no archive of Debian ask there.
const PUBLIC: [(&str, bool); 2] =
    [("http://deb.debian.org/debian/", false), ("http://deb.debian.org/debian-security/", true)];
/// What it is signed with, where apt does not trust it anyway, and the package that brings that.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const KEYRING_PACKAGE: &str = "debian-archive-keyring";

/// What is wanted of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Source packages as well.
    pub(crate) sources: bool,
    /// Backports next to the release itself and its security updates.
    pub(crate) backports: bool,
}

/// Its entries for a sources.list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entries {
    pub(crate) text: String,
    /// Whether they name [`KEYRING`].
    pub(crate) need_keyring: bool,
}

/// From the mirrors that a machine's apt knows for its own Debian, else from the public archive. apt trusts what it has
/// lists of; the rest is held to Debian's own keys.
pub(crate) fn entries(targets: &[Target<'_>], wanted: Wanted) -> Entries {
    let debian = || targets.iter().filter(|target| target.is_debian_main());
    let mut mirrors: BTreeSet<_> = debian().map(|target| (target.uri, target.suite.ends_with("-security"))).collect();
    if !mirrors.iter().any(|(_, security)| !security) {
        mirrors = PUBLIC.into_iter().collect();
    }
    let need_keyring = !debian().any(|target| target.suite == CODENAME);
    let option = if need_keyring { format!(" signed-by={KEYRING}") } else { String::new() };
    let types: &[_] =
        if wanted.sources { &[("deb", "Packages"), ("deb-src", "Sources")] } else { &[("deb", "Packages")] };
    let mut text = String::new();
    for (kind, target) in types {
        for (uri, security) in &mirrors {
            let suites: &[&str] = match (security, wanted.backports) {
                (true, _) => &["-security"],
                (false, true) => &["", "-backports"],
                (false, false) => &[""],
            };
            for suite in suites {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{kind} [target={target}{option}] {uri} {CODENAME}{suite} main");
            }
        }
    }
    Entries { text, need_keyring }
}

/// Installs Debian's keys if they are not there.
pub(crate) fn ensure_keyring(workspace: &Workspace) -> Result<()> {
    if Path::new(KEYRING).exists() {
        return Ok(());
    }
    ensure!(system::is_root(), "packages of Debian 12 are checked with {KEYRING}: apt-get install {KEYRING_PACKAGE}");
    apt::install(workspace, &[KEYRING_PACKAGE])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive;

    const KERNELS: Wanted = Wanted { sources: false, backports: true };

    fn of(targets: &str, wanted: Wanted) -> Entries {
        entries(&archive::parse(targets), wanted)
    }

    #[test]
    fn a_machine_of_that_release_asks_where_it_asks_anyway() {
        let targets = "http://mirror/debian/ bookworm main Debian\n\
            http://mirror/debian/ bookworm-updates main Debian\n\
            http://mirror/debian/ bookworm contrib Debian\n\
            http://mirror/security/ bookworm-security main Debian\n\
            https://elsewhere/apt/ bookworm-pgdg main apt.postgresql.org\n\
            https://elsewhere/apt/ bookworm main Somebody\n";
        let text = "deb [target=Packages] http://mirror/debian/ bookworm main\n\
            deb [target=Packages] http://mirror/security/ bookworm-security main\n\
            deb-src [target=Sources] http://mirror/debian/ bookworm main\n\
            deb-src [target=Sources] http://mirror/security/ bookworm-security main\n";
        let expected = Entries { text: text.to_owned(), need_keyring: false };
        assert_eq!(of(targets, Wanted { sources: true, backports: false }), expected);
    }

    #[test]
    fn another_release_of_debian_has_it_from_its_own_mirror() {
        let targets = "http://mirror/debian/ trixie main Debian\n\
            http://mirror/debian/ trixie-updates main Debian\n\
            http://mirror/security/ trixie-security main Debian\n\
            https://elsewhere/apt/ trixie main Somebody\n";
        let text = "deb [target=Packages signed-by=KEYS] http://mirror/debian/ bookworm main\n\
            deb [target=Packages signed-by=KEYS] http://mirror/debian/ bookworm-backports main\n\
            deb [target=Packages signed-by=KEYS] http://mirror/security/ bookworm-security main\n";
        let expected = Entries { text: text.replace("KEYS", KEYRING), need_keyring: true };
        assert_eq!(of(targets, KERNELS), expected);
    }

    #[test]
    fn ubuntu_and_a_machine_without_lists_ask_the_public_archive() {
        let text = "deb [target=Packages signed-by=KEYS] http://deb.debian.org/debian-security/ bookworm-security main\n\
            deb [target=Packages signed-by=KEYS] http://deb.debian.org/debian/ bookworm main\n\
            deb [target=Packages signed-by=KEYS] http://deb.debian.org/debian/ bookworm-backports main\n";
        let expected = Entries { text: text.replace("KEYS", KEYRING), need_keyring: true };
        assert_eq!(of("http://mirror/ubuntu/ noble main Ubuntu\n", KERNELS), expected);
        assert_eq!(of("", KERNELS), expected);
    }
}
