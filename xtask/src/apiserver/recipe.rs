//! What the programs are built from. Every constant here is part of the name of the cache directory: change one and the
//! next run builds anew.
//!
//! Debian 12 is the one release that has both a source package with a whole kube-apiserver and a Go that still builds
//! it. 1.20 is old on purpose: what natgw does there it does on every later server.

use anyhow::{Result, ensure};

use crate::{
    bookworm::{CODENAME, Wanted},
    cache,
    system::{OsRelease, Packages},
};

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

/// Where the packages are.
pub(crate) const WANTED: Wanted = Wanted { sources: true, backports: false };

/// Fails where there is no apt to fetch them with.
pub(crate) fn check_distribution(os: &OsRelease) -> Result<()> {
    let pretty = os.value("PRETTY_NAME");
    let this = if pretty.is_empty() { "an unknown system" } else { pretty };
    ensure!(
        Packages::of(os) == Packages::Apt,
        "etcd and kube-apiserver are built from packages of Debian 12, which apt fetches, and this is {this}: use a \
        machine or container with Debian or Ubuntu, {INSTEAD}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_apt_people_are_told_what_to_do() {
        let check = |text: &str| check_distribution(&OsRelease::parse(text));
        assert!(check("ID=debian\nVERSION_CODENAME=bookworm\n").is_ok());
        assert!(check("ID=debian\nVERSION_CODENAME=trixie\n").is_ok());
        assert!(check("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n").is_ok());
        let error = check("PRETTY_NAME=\"Fedora Linux 43\"\nID=fedora\n").expect_err("it has no apt").to_string();
        assert!(error.contains("this is Fedora Linux 43") && error.contains("KUBEBUILDER_ASSETS"), "{error}");
        assert!(check("").expect_err("nothing is known").to_string().contains("an unknown system"));
    }

    #[test]
    fn the_name_of_the_cache_directory_begins_with_the_version() {
        assert!(id().starts_with("1.20.2-"), "{}", id());
        assert_eq!(id().len(), "1.20.2-".len() + 16);
    }
}
