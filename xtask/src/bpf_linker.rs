//! bpf-linker, installed into target/tools and linked with the compiler's own LLVM.
//!
//! It reads the bitcode that rustc writes, so its LLVM must be at least rustc's. rustc (of rustup and of Debian) carries
//! its LLVM as a shared library: linking with that one makes the versions equal without any LLVM package.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{
    cargo, progress,
    toolchain::{NEWEST_LLVM, Toolchain},
    workspace::Workspace,
};

/// The release that is known to work; see docs/development.md.
pub(crate) const VERSION: &str = "0.13.0";

/// A bpf-linker in a tools directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Installed {
    pub(crate) version: String,
    pub(crate) llvm: u32,
}

impl Installed {
    /// Why it cannot link what a compiler with `llvm` writes, if so.
    pub(crate) fn obstacle(&self, llvm: u32) -> Option<String> {
        if self.version != VERSION {
            return Some(format!("is {}, not {VERSION}", self.version));
        }
        (self.llvm < llvm).then(|| format!("has LLVM {}, older than rustc's {llvm}", self.llvm))
    }
}

/// Reads cargo's record of `cargo install --root` (`.crates2.json`).
pub(crate) fn parse_record(json: &str) -> Option<Installed> {
    let record: Value = serde_json::from_str(json).ok()?;
    let (name, entry) =
        record.get("installs")?.as_object()?.iter().find(|(name, _)| name.starts_with("bpf-linker "))?;
    let version = name.split(' ').nth(1)?.to_owned();
    let mut features = entry.get("features")?.as_array()?.iter().filter_map(Value::as_str);
    let llvm = features.find_map(|feature| feature.strip_prefix("llvm-")?.parse().ok())?;
    Some(Installed { version, llvm })
}

/// Why there is no usable bpf-linker for `toolchain` in `tools`, if so.
pub(crate) fn obstacle(workspace: &Workspace, tools: &Path, toolchain: &Toolchain) -> Option<String> {
    let record = fs::read_to_string(tools.join(".crates2.json")).unwrap_or_default();
    let Some(installed) = parse_record(&record) else { return Some("is not installed".to_owned()) };
    if let Some(obstacle) = installed.obstacle(toolchain.llvm) {
        return Some(obstacle);
    }
    // A toolchain that was updated in place takes the library away that was linked with.
    let starts = cargo::probe(cargo::command(binary(tools), workspace.root()).arg("--version")).is_some();
    (!starts).then(|| "does not start (its libLLVM is gone?)".to_owned())
}

/// The program itself.
pub(crate) fn binary(tools: &Path) -> PathBuf {
    tools.join("bin/bpf-linker")
}

/// Builds it from crates.io.
pub(crate) fn install(workspace: &Workspace, tools: &Path, toolchain: &Toolchain) -> Result<()> {
    let (library, llvm) = find_llvm(toolchain)?;
    let prefix = tools.join("llvm");
    link_prefix(&prefix, &library)?;
    let mut command = cargo::command(toolchain.cargo(), workspace.root());
    command
        .env("RUSTC", toolchain.rustc())
        .env("LLVM_PREFIX", &prefix)
        // Its release profile asks for debug info: twice the time, fifteen times the size.
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .args(["install", "bpf-linker", "--version", VERSION, "--locked", "--force"])
        .args(["--no-default-features", "--features", &format!("llvm-{llvm}"), "--root"])
        .arg(tools);
    let label = format!("installing bpf-linker {VERSION} with LLVM {llvm} (about a minute)");
    progress::run(&label, &mut command, |_| None)?;
    match obstacle(workspace, tools, toolchain) {
        None => Ok(()),
        Some(obstacle) => bail!("bpf-linker was installed but {obstacle}"),
    }
}

/// A directory that looks like an LLVM installation and holds only its library. bpf-linker's build adds it as rpath, so
/// the library must also be there under its own name.
fn link_prefix(prefix: &Path, library: &Path) -> Result<()> {
    let lib = prefix.join("lib");
    if lib.exists() {
        fs::remove_dir_all(&lib).with_context(|| format!("cannot remove {}", lib.display()))?;
    }
    fs::create_dir_all(&lib).with_context(|| format!("cannot create {}", lib.display()))?;
    let name = library.file_name().context("the library has no name")?;
    for link in [lib.join("libLLVM.so"), lib.join(name)] {
        symlink(library, &link).with_context(|| format!("cannot link {}", link.display()))?;
    }
    Ok(())
}

/// The library and its major version: the compiler's own, else that of a package at least as new.
fn find_llvm(toolchain: &Toolchain) -> Result<(PathBuf, u32)> {
    let multiarch = format!("/usr/lib/{}-linux-gnu", env::consts::ARCH);
    for major in toolchain.llvm..=NEWEST_LLVM {
        let places = [
            toolchain.sysroot.join("lib"),
            toolchain.sysroot.join("lib64"),
            PathBuf::from(&multiarch),
            PathBuf::from(format!("/usr/lib/llvm-{major}/lib")),
        ];
        for dir in places {
            let Ok(entries) = fs::read_dir(&dir) else { continue };
            let names = entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok());
            if let Some(name) = pick_library(names, major) {
                return Ok((dir.join(name), major));
            }
        }
    }
    let llvm = toolchain.llvm;
    bail!(
        "no libLLVM.so of LLVM {llvm} for {}: install one (Debian: apt-get install libllvm{llvm})",
        toolchain.rustc().display()
    )
}

/// `libLLVM.so.22.1` or `libLLVM.so.22.1-rust-1.95.0-stable`, not the linker script `libLLVM-22-rust-1.95.0-stable.so`.
fn pick_library(names: impl IntoIterator<Item = String>, major: u32) -> Option<String> {
    names.into_iter().find(|name| {
        let version = name.strip_prefix("libLLVM.so.").unwrap_or_default();
        version.split(['.', '-']).next().and_then(|digits| digits.parse().ok()) == Some(major)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"installs":{
        "cargo-deny 0.18.0 (registry+https://github.com/rust-lang/crates.io-index)":{"features":[]},
        "bpf-linker 0.13.0 (registry+https://github.com/rust-lang/crates.io-index)":
            {"version_req":"=0.13.0","bins":["bpf-linker"],"features":["llvm-22"],"no_default_features":true}}}"#;

    #[test]
    fn the_record_of_cargo_tells_version_and_llvm() {
        assert_eq!(parse_record(RECORD), Some(Installed { version: "0.13.0".to_owned(), llvm: 22 }));
        assert_eq!(parse_record(r#"{"installs":{}}"#), None);
        assert_eq!(parse_record(""), None);
    }

    #[test]
    fn an_llvm_older_than_that_of_rustc_is_refused() {
        let installed = Installed { version: VERSION.to_owned(), llvm: 22 };
        assert_eq!(installed.obstacle(21), None);
        assert_eq!(installed.obstacle(22), None);
        assert_eq!(installed.obstacle(23), Some("has LLVM 22, older than rustc's 23".to_owned()));
    }

    #[test]
    fn another_release_is_replaced() {
        let installed = Installed { version: "0.9.15".to_owned(), llvm: 22 };
        assert_eq!(installed.obstacle(22), Some(format!("is 0.9.15, not {VERSION}")));
    }

    #[test]
    fn the_library_is_recognised_by_its_major_version() {
        let rustup =
            ["libLLVM-22-rust-1.95.0-stable.so", "libLLVM.so.22.1-rust-1.95.0-stable", "librustc_driver-61.so"];
        let rustup = || rustup.map(str::to_owned);
        assert_eq!(pick_library(rustup(), 22), Some("libLLVM.so.22.1-rust-1.95.0-stable".to_owned()));
        assert_eq!(pick_library(rustup(), 23), None);
        assert_eq!(pick_library(["libLLVM.so.22.1".to_owned()], 22), Some("libLLVM.so.22.1".to_owned()));
        assert_eq!(pick_library(["libLLVM.so".to_owned()], 22), None);
    }
}
