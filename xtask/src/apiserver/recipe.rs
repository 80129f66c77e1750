//! What the programs are built from. Every constant here is part of the name of the cache directory: change one and the
//! next run builds anew.
//!
//! Debian 12 is the one release that has both a source package with a whole kube-apiserver and a Go that still builds
//! it. 1.20 is old on purpose: what natgw does there it does on every later server.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use crate::{archive::Target, cache, system::OsRelease};

/// The release of Debian whose packages these are.
pub(crate) const CODENAME: &str = "bookworm";
/// The source package, and how its name and upstream version begin.
pub(crate) const SOURCE: &str = "kubernetes";
pub(crate) const SOURCE_PREFIX: &str = "kubernetes_1.20.5+really1.20.2";
/// What the server calls itself.
pub(crate) const MAJOR: &str = "1";
pub(crate) const MINOR: &str = "20";
pub(crate) const VERSION: &str = "1.20.2";
/// Go packages that keep the version, for the server itself and for the aggregator, which answers `/version`. Without it
/// that is 0.0, and clients guess.
pub(crate) const STAMPED: [&str; 2] =
    ["k8s.io/kubernetes/vendor/k8s.io/component-base/version", "k8s.io/kubernetes/vendor/k8s.io/client-go/pkg/version"];
/// Binary packages: the compiler, a library, and etcd as it is.
pub(crate) const PACKAGES: [&str; 4] =
    ["golang-1.19-go", "golang-1.19-src", "golang-github-modern-go-reflect2-dev", "etcd-server"];
/// Where those put what is used, below the directory that they are unpacked into.
pub(crate) const GOROOT: &str = "usr/lib/go-1.19";
pub(crate) const REFLECT2: &str = "usr/share/gocode/src/github.com/modern-go/reflect2";
pub(crate) const ETCD: &str = "usr/bin/etcd";
/// No cgo: no C compiler is needed and the result runs anywhere.
pub(crate) const GO_ENV: [(&str, &str); 4] =
    [("GO111MODULE", "off"), ("CGO_ENABLED", "0"), ("GOENV", "off"), ("GOTOOLCHAIN", "local")];
/// Reproducible, and not curious about a repository that the cache may lie in.
pub(crate) const GO_BUILD: [&str; 4] = ["build", "-v", "-trimpath", "-buildvcs=false"];
/// The steps between (which directories the generator reads, what is replaced) have no constant of their own: count
/// this up when one changes.
const REVISION: &str = "1";

/// What a person can do instead.
pub(crate) const INSTEAD: &str = "or set KUBEBUILDER_ASSETS to a directory with `etcd` and `kube-apiserver` (1.20 or \
    later), such as the one that `go run sigs.k8s.io/controller-runtime/tools/setup-envtest@latest use -p path` prints";

/// The name of the cache directory.
pub(crate) fn id() -> String {
    let single = [CODENAME, SOURCE_PREFIX, MAJOR, MINOR, VERSION, GOROOT, REFLECT2, ETCD, REVISION];
    let env = GO_ENV.iter().flat_map(|(name, value)| [*name, *value]);
    let parts = single.into_iter().chain(STAMPED).chain(PACKAGES).chain(env).chain(GO_BUILD);
    format!("{VERSION}-{:016x}", cache::fnv1a(parts))
}

/// Fails where the packages do not exist.
pub(crate) fn check_distribution(os: &OsRelease) -> Result<()> {
    let codename = os.value("VERSION_CODENAME");
    let pretty = os.value("PRETTY_NAME");
    let this = if pretty.is_empty() { "an unknown system" } else { pretty };
    ensure!(
        os.is("debian") && codename == CODENAME,
        "etcd and kube-apiserver are built from packages of Debian 12 and this is {this}: use a Debian 12 machine or \
        container, {INSTEAD}"
    );
    Ok(())
}

/// The entries of a sources.list with the release's own suites, packages and sources. Machines have `deb` entries and
/// seldom `deb-src`.
pub(crate) fn sources(targets: &[Target<'_>]) -> Result<String> {
    let suites = [CODENAME.to_owned(), format!("{CODENAME}-updates"), format!("{CODENAME}-security")];
    let mut lines = BTreeSet::new();
    for Target { uri, suite, .. } in targets.iter().filter(|target| target.is_debian_main()) {
        if suites.iter().any(|known| known == suite) {
            lines.insert(format!("deb [target=Packages] {uri} {suite} main\n"));
            lines.insert(format!("deb-src [target=Sources] {uri} {suite} main\n"));
        }
    }
    ensure!(
        !lines.is_empty(),
        "apt knows no `{CODENAME} main` of Debian: run `apt-get update`, and add an entry if that does not help"
    );
    Ok(lines.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive;

    #[test]
    fn only_debian_12_builds_and_others_are_told_what_to_do() {
        let check = |text: &str| check_distribution(&OsRelease::parse(text));
        assert!(check("ID=debian\nVERSION_CODENAME=bookworm\n").is_ok());
        let ubuntu = "PRETTY_NAME=\"Ubuntu 24.04.1 LTS\"\nID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n";
        let error = check(ubuntu).expect_err("Ubuntu has no such package").to_string();
        assert!(error.contains("this is Ubuntu 24.04.1 LTS") && error.contains("KUBEBUILDER_ASSETS"), "{error}");
        let error = check("PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nID=debian\nVERSION_CODENAME=trixie\n");
        assert!(error.expect_err("neither has 13").to_string().contains("13 (trixie)"));
        assert!(check("").is_err());
    }

    #[test]
    fn the_name_of_the_cache_directory_begins_with_the_version() {
        assert!(id().starts_with("1.20.2-"), "{}", id());
        assert_eq!(id().len(), "1.20.2-".len() + 16);
    }

    #[test]
    fn the_lists_of_the_machine_become_packages_and_sources() {
        let targets = "http://mirror/debian/ bookworm main Debian\n\
            http://mirror/debian/ bookworm main Debian\n\
            http://mirror/debian/ bookworm contrib Debian\n\
            http://mirror/security/ bookworm-security main Debian\n\
            https://elsewhere/apt/ bookworm-pgdg main apt.postgresql.org\n\
            https://elsewhere/apt/ bookworm main Somebody\n";
        assert_eq!(
            sources(&archive::parse(targets)).unwrap(),
            "deb [target=Packages] http://mirror/debian/ bookworm main\n\
            deb [target=Packages] http://mirror/security/ bookworm-security main\n\
            deb-src [target=Sources] http://mirror/debian/ bookworm main\n\
            deb-src [target=Sources] http://mirror/security/ bookworm-security main\n"
        );
    }

    #[test]
    fn other_releases_are_refused() {
        assert!(sources(&archive::parse("http://mirror/debian/ trixie main Debian\n")).is_err());
        assert!(sources(&[]).is_err());
    }
}
