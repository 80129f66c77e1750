//! Debian's archive through apt, with a configuration of its own: the machine's lists, packages and sources stay as they
//! are, and no root is needed (but for the very first `apt-get update` of a machine).
//!
//! Where the archive is, is asked of the machine's own apt; its proxy, keys and passwords hold here too.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    apt,
    bookworm::{self, Wanted},
    cargo, progress, system,
    workspace::Workspace,
};

/// One line of `apt-get indextargets` per package list.
const FORMAT: &str = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)";

/// A private apt below a directory.
#[derive(Debug)]
pub(crate) struct Archive<'a> {
    workspace: &'a Workspace,
    dir: PathBuf,
}

impl<'a> Archive<'a> {
    /// Sets it up for what is `wanted` of Debian 12 and fetches the lists.
    pub(crate) fn open(workspace: &'a Workspace, dir: PathBuf, wanted: Wanted) -> Result<Self> {
        if system::is_root() {
            // Without lists apt does not tell what it knows.
            apt::ensure_lists(workspace)?;
        }
        let mut targets = cargo::command("apt-get", workspace.root());
        targets.args(["indextargets", "--format", FORMAT, "Created-By: Packages"]);
        let targets = cargo::probe(&mut targets).context("apt-get does not say which archives it knows")?;
        let entries = bookworm::entries(&parse(&targets), wanted);
        if entries.need_keyring {
            bookworm::ensure_keyring(workspace)?;
        }
        for sub in ["lists/partial", "cache/archives/partial"] {
            let sub = dir.join(sub);
            fs::create_dir_all(&sub).with_context(|| format!("cannot create {}", sub.display()))?;
        }
        fs::write(dir.join("sources.list"), entries.text).context("cannot write sources.list")?;
        let archive = Self { workspace, dir };
        progress::run("fetching the lists of Debian's archive", archive.apt("apt-get").arg("update"), |_| None)?;
        Ok(archive)
    }

    /// What `apt-cache show` says about all versions of a package, the newest first.
    pub(crate) fn show(&self, package: &str) -> Result<String> {
        let mut command = self.apt("apt-cache");
        cargo::probe(command.args(["show", package])).with_context(|| format!("Debian's archive has no {package}"))
    }

    /// The newest source package into `dir`, as it is.
    pub(crate) fn source(&self, package: &str, dir: &Path) -> Result<()> {
        let mut command = self.apt("apt-get");
        command.args(["source", "--download-only", package]).current_dir(dir);
        progress::run(&format!("fetching the source of {package}"), &mut command, |_| None)
    }

    /// The newest binary packages into `dir`, as they are.
    pub(crate) fn binaries(&self, packages: &[&str], dir: &Path) -> Result<()> {
        let mut command = self.apt("apt-get");
        command.arg("download").args(packages).current_dir(dir);
        progress::run(&format!("fetching {}", packages.join(" ")), &mut command, |_| None)
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = cargo::command(program, self.workspace.root());
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

/// A package list that the machine's apt knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub(crate) uri: &'a str,
    pub(crate) suite: &'a str,
    component: &'a str,
    origin: &'a str,
}

impl Target<'_> {
    /// Whether it is the main part of Debian's own archive.
    pub(crate) fn is_debian_main(&self) -> bool {
        self.origin == "Debian" && self.component == "main"
    }
}

/// Reads what `apt-get indextargets` prints with [`FORMAT`].
pub(crate) fn parse(targets: &str) -> Vec<Target<'_>> {
    let fields = targets.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields
        .filter_map(|fields| <[&str; 4]>::try_from(fields).ok())
        .map(|[uri, suite, component, origin]| Target { uri, suite, component, origin })
        .collect()
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
    fn a_file_that_is_not_there_is_named() {
        let error = only_file(Path::new("/proc/self"), "kubernetes_", ".dsc").expect_err("it is not there");
        assert!(error.to_string().contains("kubernetes_*.dsc"), "{error}");
        assert!(only_file(Path::new("/proc/self"), "cmdl", "ine").is_ok());
    }
}
