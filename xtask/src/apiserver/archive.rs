//! Debian's archive through apt, with a configuration of its own: the machine's lists, packages and sources stay as they
//! are, and no root is needed (but for the very first `apt-get update` of a machine).
//!
//! Where the archive is, is asked of the machine's own apt; its proxy, keys and passwords hold here too.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::recipe::CODENAME;
use crate::{apt, cargo, progress, system, workspace::Workspace};

/// One line of `apt-get indextargets` per package list.
const FORMAT: &str = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)";

/// A private apt below a directory.
#[derive(Debug)]
pub(crate) struct Archive<'a> {
    workspace: &'a Workspace,
    dir: PathBuf,
}

impl<'a> Archive<'a> {
    /// Sets it up and fetches the lists.
    pub(crate) fn open(workspace: &'a Workspace, dir: PathBuf) -> Result<Self> {
        if system::is_root() {
            // Without lists apt does not tell what it knows.
            apt::ensure_lists(workspace)?;
        }
        let mut targets = cargo::command("apt-get", workspace.root());
        targets.args(["indextargets", "--format", FORMAT, "Created-By: Packages"]);
        let targets = cargo::probe(&mut targets).context("apt-get does not say which archives it knows")?;
        let sources = sources(&targets);
        ensure!(
            !sources.is_empty(),
            "apt knows no `{CODENAME} main` of Debian: run `apt-get update`, and add an entry if that does not help"
        );
        for sub in ["lists/partial", "cache/archives/partial"] {
            let sub = dir.join(sub);
            fs::create_dir_all(&sub).with_context(|| format!("cannot create {}", sub.display()))?;
        }
        fs::write(dir.join("sources.list"), sources).context("cannot write sources.list")?;
        let archive = Self { workspace, dir };
        progress::run("fetching the lists of Debian's packages and sources", archive.apt_get().arg("update"), |_| {
            None
        })?;
        Ok(archive)
    }

    /// The newest source package into `dir`, as it is.
    pub(crate) fn source(&self, package: &str, dir: &Path) -> Result<()> {
        let mut command = self.apt_get();
        command.args(["source", "--download-only", package]).current_dir(dir);
        progress::run(&format!("fetching the source of {package}"), &mut command, |_| None)
    }

    /// The newest binary packages into `dir`, as they are.
    pub(crate) fn binaries(&self, packages: &[&str], dir: &Path) -> Result<()> {
        let mut command = self.apt_get();
        command.arg("download").args(packages).current_dir(dir);
        progress::run(&format!("fetching {}", packages.join(" ")), &mut command, |_| None)
    }

    fn apt_get(&self) -> Command {
        let mut command = cargo::command("apt-get", self.workspace.root());
        command.arg("--quiet");
        // On the command line: /etc/apt/apt.conf.d would win over a file named by APT_CONFIG.
        let own = [("Dir::State::lists", "lists"), ("Dir::Cache", "cache"), ("Dir::Etc::SourceList", "sources.list")];
        for (option, path) in own {
            command.arg("--option").arg(format!("{option}={}", self.dir.join(path).display()));
        }
        command.args(["--option", "Dir::Etc::SourceParts=-"]);
        command
    }
}

/// The lines for a sources.list with the release's own suites, packages and sources. Machines have `deb` entries and
/// seldom `deb-src`.
fn sources(targets: &str) -> String {
    let suites = [CODENAME.to_owned(), format!("{CODENAME}-updates"), format!("{CODENAME}-security")];
    let mut lines = BTreeSet::new();
    for target in targets.lines() {
        let Ok([uri, suite, component, origin]) = <[&str; 4]>::try_from(target.split(' ').collect::<Vec<_>>()) else {
            continue;
        };
        if origin == "Debian" && component == "main" && suites.iter().any(|known| known == suite) {
            lines.insert(format!("deb [target=Packages] {uri} {suite} main\n"));
            lines.insert(format!("deb-src [target=Sources] {uri} {suite} main\n"));
        }
    }
    lines.into_iter().collect()
}

/// The one file in `dir` whose name begins and ends like this.
pub(crate) fn only_file(dir: &Path, prefix: &str, suffix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let names = entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok());
    let names: Vec<_> = names.filter(|name| name.starts_with(prefix) && name.ends_with(suffix)).collect();
    match names.as_slice() {
        [name] => Ok(dir.join(name)),
        [] => bail!("Debian's archive gave no {prefix}*{suffix}: has its version changed?"),
        _ => bail!("Debian's archive gave more than one {prefix}*{suffix}: {}", names.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_of_the_machine_become_packages_and_sources() {
        let targets = "http://mirror/debian/ bookworm main Debian\n\
            http://mirror/debian/ bookworm main Debian\n\
            http://mirror/debian/ bookworm contrib Debian\n\
            http://mirror/security/ bookworm-security main Debian\n\
            https://elsewhere/apt/ bookworm-pgdg main apt.postgresql.org\n\
            https://elsewhere/apt/ bookworm main Somebody\n";
        assert_eq!(
            sources(targets),
            "deb [target=Packages] http://mirror/debian/ bookworm main\n\
            deb [target=Packages] http://mirror/security/ bookworm-security main\n\
            deb-src [target=Sources] http://mirror/debian/ bookworm main\n\
            deb-src [target=Sources] http://mirror/security/ bookworm-security main\n"
        );
    }

    #[test]
    fn other_releases_give_nothing() {
        assert_eq!(sources("http://mirror/debian/ trixie main Debian\n"), "");
        assert_eq!(sources(""), "");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = only_file(Path::new("/proc/self"), "kubernetes_", ".dsc").expect_err("it is not there");
        assert!(error.to_string().contains("kubernetes_*.dsc"), "{error}");
        assert!(only_file(Path::new("/proc/self"), "cmdl", "ine").is_ok());
    }
}
