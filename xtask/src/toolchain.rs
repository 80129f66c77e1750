//! Which Rust toolchain builds the eBPF programs.
//!
//! `-Z build-std=core` compiles the source of exactly the compiler's own `core`, so a toolchain is usable only with its
//! `rust-src` beside it; bpf-linker reads the compiler's bitcode, so its LLVM must be at least as new.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::{cargo, workspace::Workspace};

/// The oldest compiler that builds the programs: `rust-version` of the workspace.
pub(crate) const OLDEST: Version = Version { major: 1, minor: 95, patch: 0 };
/// The newest LLVM that the pinned bpf-linker can be built with.
pub(crate) const NEWEST_LLVM: u32 = 23;

/// A release number of rustc; suffixes such as `-nightly` are not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) patch: u32,
}

impl Version {
    /// Reads `1.96.0`, `1.96.0-nightly` or `1.95`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.split(['-', '+', ' ']).next()?;
        let mut parts = digits.split('.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        let patch = parts.next().map_or(Some(0), |patch| patch.parse().ok())?;
        Some(Self { major, minor, patch })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Where a toolchain came from; the order is the order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// The compiler that runs `cargo xtask`.
    Active,
    /// Another toolchain of rustup.
    Rustup,
    /// Packages of the distribution, in /usr.
    System,
}

/// A compiler found on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Toolchain {
    pub(crate) origin: Origin,
    pub(crate) sysroot: PathBuf,
    pub(crate) version: Version,
    pub(crate) llvm: u32,
    pub(crate) has_source: bool,
}

impl Toolchain {
    pub(crate) fn rustc(&self) -> PathBuf {
        self.sysroot.join("bin/rustc")
    }

    pub(crate) fn cargo(&self) -> PathBuf {
        self.sysroot.join("bin/cargo")
    }

    /// Whether it brings clippy.
    pub(crate) fn has_clippy(&self) -> bool {
        ["bin/cargo-clippy", "bin/clippy-driver"].iter().all(|program| self.sysroot.join(program).is_file())
    }

    /// Where the source of the standard library is, by rustc's convention.
    pub(crate) fn source(&self) -> PathBuf {
        source_of(&self.sysroot)
    }

    /// Why this toolchain cannot build the programs, if so.
    pub(crate) fn obstacle(&self) -> Option<String> {
        if !self.has_source {
            return Some("has no rust-src".to_owned());
        }
        if self.version < OLDEST {
            return Some(format!("is {}, older than {OLDEST}", self.version));
        }
        if self.llvm > NEWEST_LLVM {
            return Some(format!("has LLVM {}, newer than the {NEWEST_LLVM} that bpf-linker supports", self.llvm));
        }
        None
    }
}

fn source_of(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust")
}

/// The `release` and `LLVM version` (major) lines of `rustc -vV`.
pub(crate) fn parse_verbose_version(text: &str) -> Option<(Version, u32)> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let version = Version::parse(field("release:")?)?;
    let llvm = field("LLVM version:")?.split('.').next()?.parse().ok()?;
    Some((version, llvm))
}

/// The toolchain to use: the active one if it can, then the newest of rustup, then that of the distribution.
pub(crate) fn select(found: &[Toolchain]) -> Option<&Toolchain> {
    found
        .iter()
        .filter(|toolchain| toolchain.obstacle().is_none())
        .min_by_key(|toolchain| (toolchain.origin, std::cmp::Reverse(toolchain.version)))
}

/// All toolchains on this machine; only those with their source are asked for a version, which takes 30 ms each.
pub(crate) fn detect(workspace: &Workspace) -> Vec<Toolchain> {
    let active = active_sysroot();
    let mut places: Vec<(Origin, PathBuf)> = active.iter().map(|sysroot| (Origin::Active, sysroot.clone())).collect();
    places.extend(rustup_sysroots().into_iter().map(|sysroot| (Origin::Rustup, sysroot)));
    places.push((Origin::System, PathBuf::from("/usr")));
    let mut seen = Vec::new();
    places.retain(|(_, sysroot)| {
        let real = sysroot.canonicalize().unwrap_or_else(|_| sysroot.clone());
        let new = !seen.contains(&real);
        seen.push(real);
        new
    });
    places.into_iter().filter_map(|(origin, sysroot)| inspect(workspace, origin, sysroot)).collect()
}

/// The sysroot of the cargo that runs us: `$CARGO` is `<sysroot>/bin/cargo`, also behind rustup's proxies.
fn active_sysroot() -> Option<PathBuf> {
    let cargo = PathBuf::from(env::var_os("CARGO")?);
    Some(cargo.parent()?.parent()?.to_owned())
}

fn rustup_sysroots() -> Vec<PathBuf> {
    let home = env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".rustup")));
    let Some(entries) = home.and_then(|home| fs::read_dir(home.join("toolchains")).ok()) else { return Vec::new() };
    let mut sysroots: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    sysroots.sort();
    sysroots
}

fn inspect(workspace: &Workspace, origin: Origin, sysroot: PathBuf) -> Option<Toolchain> {
    let has_source = source_of(&sysroot).join("library/core/src/lib.rs").is_file();
    let rustc = sysroot.join("bin/rustc");
    let text = cargo::probe(cargo::command(rustc, workspace.root()).arg("-vV"))?;
    let (version, llvm) = parse_verbose_version(&text)?;
    Some(Toolchain { origin, sysroot, version, llvm, has_source })
}

/// The toolchain to build with, or an error that lists what was found and the command that helps.
pub(crate) fn require(workspace: &Workspace) -> Result<Toolchain> {
    let found = detect(workspace);
    match select(&found) {
        Some(toolchain) => Ok(toolchain.clone()),
        None => bail!("{}; run `cargo xtask setup`", explain(&found)),
    }
}

/// The name by which rustup adds `rust-src` to the active toolchain, when that is all that it lacks.
pub(crate) fn lacks_only_source(found: &[Toolchain]) -> Option<&str> {
    let active = found.iter().find(|toolchain| toolchain.origin == Origin::Active && !toolchain.has_source)?;
    let with_source = Toolchain { has_source: true, ..active.clone() };
    let of_rustup = active.sysroot.parent()?.file_name()? == "toolchains";
    (of_rustup && with_source.obstacle().is_none()).then(|| active.sysroot.file_name()?.to_str()).flatten()
}

/// What is wrong with the toolchains of this machine.
pub(crate) fn explain(found: &[Toolchain]) -> String {
    let obstacles = found.iter().map(|toolchain| {
        let obstacle = toolchain.obstacle().unwrap_or_else(|| "is usable".to_owned());
        format!("{} {obstacle}", toolchain.sysroot.display())
    });
    let obstacles: Vec<_> = obstacles.collect();
    format!("no rustc >= {OLDEST} with rust-src ({})", obstacles.join("; "))
}

#[cfg(test)]
mod tests;
