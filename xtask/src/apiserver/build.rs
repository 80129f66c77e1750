//! The build itself: fetch, unpack, mend, generate, compile. About 2 GB while it runs, 120 MB when it is done.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::{openapi, recipe};
use crate::{
    archive::{self, Archive},
    cache::Slot,
    cargo, progress,
    workspace::Workspace,
};

/// Builds the programs into the slot, whose lock the caller holds.
pub(crate) fn build(workspace: &Workspace, slot: &Slot) -> Result<()> {
    eprintln!("building etcd and kube-apiserver {} in {} (once)", recipe::VERSION, slot.dir().display());
    let scratch = slot.scratch()?;
    let build = Build { workspace, dir: scratch.dir() };
    build.fetch()?;
    build.unpack()?;
    build.replace_reflect2()?;
    build.generate()?;
    let out = build.make_dir("out")?;
    let etcd = build.root().join(recipe::ETCD);
    fs::copy(&etcd, out.join("etcd")).with_context(|| format!("cannot copy {}", etcd.display()))?;
    build.compile(&out)?;
    build.check(&out)?;
    slot.fill(&out)
}

/// A build and the directory that it happens in.
struct Build<'a> {
    workspace: &'a Workspace,
    dir: &'a Path,
}

impl Build<'_> {
    fn make_dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(dir)
    }

    /// What the packages would install.
    fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// The source where Go without modules looks for it.
    fn tree(&self) -> PathBuf {
        self.dir.join("gopath/src/k8s.io/kubernetes")
    }

    fn fetch(&self) -> Result<()> {
        let fetched = self.make_dir("fetched")?;
        let archive = Archive::open(self.workspace, self.dir.join("apt"), recipe::WANTED)?;
        archive.source(recipe::SOURCE, &fetched)?;
        archive.binaries(&recipe::PACKAGES, &fetched)
    }

    fn unpack(&self) -> Result<()> {
        let fetched = self.dir.join("fetched");
        let root = self.make_dir("root")?;
        for package in recipe::PACKAGES {
            let file = archive::only_file(&fetched, &format!("{package}_"), ".deb")?;
            cargo::run(cargo::command("dpkg-deb", self.workspace.root()).arg("--extract").arg(file).arg(&root))?;
        }
        // Debian's patches are about kubectl: the upstream tree is enough.
        let upstream = archive::only_file(&fetched, recipe::SOURCE_PREFIX, ".orig.tar.gz")?;
        let tree = self.make_dir("gopath/src/k8s.io/kubernetes")?;
        let mut tar = cargo::command("tar", self.workspace.root());
        tar.args(["--extract", "--gzip", "--strip-components=1", "--no-same-owner", "--file"]).arg(upstream);
        cargo::run(tar.arg("--directory").arg(tree))
    }

    /// The vendored reflect2 1.0.1 reads maps by a layout that Go 1.18 changed: creating a CRD panics.
    fn replace_reflect2(&self) -> Result<()> {
        let vendored = self.tree().join("vendor/github.com/modern-go/reflect2");
        fs::remove_dir_all(&vendored).with_context(|| format!("cannot remove {}", vendored.display()))?;
        let newer = self.root().join(recipe::REFLECT2);
        fs::rename(&newer, &vendored).with_context(|| format!("cannot move {}", newer.display()))
    }

    fn generate(&self) -> Result<()> {
        let generator = self.dir.join("openapi-gen");
        let mut compile = self.go();
        compile.args(recipe::GO_BUILD).arg("-o").arg(&generator).arg(openapi::GENERATOR);
        progress::run("compiling openapi-gen", &mut compile, |_| None)?;
        let mut generate = self.with_go_env(generator);
        generate.args(openapi::arguments(&self.tree(), &self.dir.join("report"))?);
        progress::run("generating the OpenAPI definitions", &mut generate, |_| None)
    }

    fn compile(&self, out: &Path) -> Result<()> {
        let version = format!("v{}", recipe::VERSION);
        let values = [("gitMajor", recipe::MAJOR), ("gitMinor", recipe::MINOR), ("gitVersion", &version)];
        let stamps = recipe::STAMPED.map(|package| values.map(|(name, value)| format!("-X {package}.{name}={value}")));
        let mut command = self.go();
        command.args(recipe::GO_BUILD).args(["-ldflags", &format!("-s -w {}", stamps.concat().join(" ")), "-o"]);
        command.arg(out.join("kube-apiserver")).arg("./cmd/kube-apiserver");
        progress::run("compiling kube-apiserver (some minutes)", &mut command, |_| None)
    }

    /// A program that does not start is better found here than by the first test.
    fn check(&self, out: &Path) -> Result<()> {
        let version = |name| cargo::probe(cargo::command(out.join(name), self.workspace.root()).arg("--version"));
        let server = version("kube-apiserver").unwrap_or_default();
        let expected = format!("Kubernetes v{}", recipe::VERSION);
        ensure!(server.trim() == expected, "the new kube-apiserver calls itself `{}`", server.trim());
        ensure!(version("etcd").is_some(), "the unpacked etcd does not start");
        Ok(())
    }

    fn go(&self) -> Command {
        self.with_go_env(self.root().join(recipe::GOROOT).join("bin/go"))
    }

    /// A program in the source tree, with this build's Go and nothing of the user's.
    fn with_go_env(&self, program: PathBuf) -> Command {
        let mut command = cargo::command(program, self.workspace.root());
        for (name, _) in env::vars_os().filter(|(name, _)| is_about_go(name)) {
            command.env_remove(name);
        }
        let goroot = self.root().join(recipe::GOROOT);
        // The generator looks for `go` in PATH.
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([goroot.join("bin")].into_iter().chain(env::split_paths(&path)));
        command
            .current_dir(self.tree())
            .envs(path.map(|path| ("PATH", path)))
            .envs(recipe::GO_ENV)
            .env("GOROOT", goroot)
            .env("GOPATH", self.dir.join("gopath"))
            .env("GOCACHE", self.dir.join("gocache"))
            .env("GOTMPDIR", self.dir);
        command
    }
}

/// `GOFLAGS`, `GOOS`, `CGO_CFLAGS`, ...
fn is_about_go(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("GO") || name.starts_with("CGO_")
}
