//! Child cargo processes with a known environment.
//!
//! `cargo xtask` runs inside an outer cargo (and rustup), which export their toolchain, their library path and the
//! manifest of xtask itself. A child that inherited them would build with the wrong compiler or rebuild everything.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

/// What cargo sets for `cargo run` (`CARGO_PKG_NAME`, `CARGO_MANIFEST_DIR`, ...), besides `CARGO` itself.
const OF_CARGO_RUN: [&str; 6] = [
    "CARGO_BIN_",
    "CARGO_CRATE_NAME",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PRIMARY_PACKAGE",
    "RUST_RECURSION_COUNT",
];

/// `CARGO_*` variables that say nothing about how to compile.
const ABOUT_THE_MACHINE: [&str; 8] = [
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTRY_",
    "CARGO_REGISTRIES_",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
    "CARGO_BUILD_JOBS",
];

/// Variables besides `CARGO_*` that choose a compiler or its flags.
const ABOUT_THE_COMPILER: [&str; 8] = [
    "RUSTC",
    "RUSTC_BOOTSTRAP",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
];

/// For whom the environment is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Child {
    /// The same cargo as the outer one: what the user chose (RUSTFLAGS, `+toolchain`) holds for it too.
    Same,
    /// Another toolchain: nothing that was said about the compiler is meant for it.
    Other,
}

impl Child {
    fn drops(self, name: &str) -> bool {
        let any = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        if name == "CARGO" || any(&OF_CARGO_RUN) {
            return true;
        }
        let chosen = ABOUT_THE_COMPILER.contains(&name) || name.starts_with("CARGO_") && !any(&ABOUT_THE_MACHINE);
        self == Self::Other && chosen
    }
}

/// The library path without the directories that cargo and rustup added for their own binaries.
fn library_path(value: &OsStr, target: &Path) -> Option<OsString> {
    let kept: Vec<PathBuf> = env::split_paths(value)
        .filter(|dir| !dir.as_os_str().is_empty() && !dir.starts_with(target))
        .filter(|dir| !dir.components().any(|part| part.as_os_str() == "rustlib" || part.as_os_str() == ".rustup"))
        .collect();
    if kept.is_empty() { None } else { env::join_paths(kept).ok() }
}

/// The environment for a child: that of the user, without what the outer cargo added.
fn clean_env(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
    child: Child,
    target: &Path,
) -> BTreeMap<OsString, OsString> {
    vars.into_iter()
        .filter(|(name, _)| !name.to_str().is_some_and(|name| child.drops(name)))
        .filter_map(|(name, value)| {
            if name == "LD_LIBRARY_PATH" { Some((name, library_path(&value, target)?)) } else { Some((name, value)) }
        })
        .collect()
}

fn with_env(program: impl AsRef<OsStr>, root: &Path, child: Child) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root).env_clear().envs(clean_env(env::vars_os(), child, &root.join("target")));
    command
}

/// A program of the machine or of another toolchain.
pub(crate) fn command(program: impl AsRef<OsStr>, root: &Path) -> Command {
    with_env(program, root, Child::Other)
}

/// The cargo that runs us, for the crates of user space. `--locked` is up to the caller: it goes after the subcommand.
pub(crate) fn same(root: &Path) -> Command {
    with_env("cargo", root, Child::Same)
}

/// Runs a command whose output the user sees.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot run {name}"))?;
    if !status.success() {
        let args: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        bail!("`{name} {}` failed: {status}", args.join(" "));
    }
    Ok(())
}

/// The standard output of a command, or nothing when it cannot be run or fails: for probing what a machine has.
pub(crate) fn probe(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(child: Child, vars: &[(&str, &str)]) -> Vec<String> {
        let vars = vars.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        clean_env(vars, child, Path::new("/repo/target"))
            .into_iter()
            .map(|(name, value)| format!("{}={}", name.display(), value.display()))
            .collect()
    }

    const OF_THE_OUTER_CARGO: [(&str, &str); 4] = [
        ("CARGO", "/r/bin/cargo"),
        ("CARGO_MANIFEST_DIR", "/repo/xtask"),
        ("CARGO_MANIFEST_PATH", "/repo/xtask/Cargo.toml"),
        ("CARGO_PKG_NAME", "xtask"),
    ];

    const OF_THE_USER: [(&str, &str); 6] = [
        ("CARGO_ENCODED_RUSTFLAGS", "-Cfoo"),
        ("CARGO_BUILD_TARGET", "aarch64-unknown-linux-gnu"),
        ("CARGO_PROFILE_RELEASE_LTO", "fat"),
        ("CARGO_TARGET_DIR", "/elsewhere"),
        ("RUSTFLAGS", "-Cbar"),
        ("RUSTUP_TOOLCHAIN", "nightly"),
    ];

    #[test]
    fn the_outer_cargo_leaves_no_trace() {
        assert_eq!(cleaned(Child::Same, &OF_THE_OUTER_CARGO), Vec::<String>::new());
        assert_eq!(cleaned(Child::Other, &OF_THE_OUTER_CARGO), Vec::<String>::new());
    }

    #[test]
    fn choices_about_the_compiler_reach_only_the_same_toolchain() {
        assert_eq!(cleaned(Child::Same, &OF_THE_USER).len(), OF_THE_USER.len());
        assert_eq!(cleaned(Child::Other, &OF_THE_USER), Vec::<String>::new());
    }

    #[test]
    fn choices_about_the_machine_reach_every_toolchain() {
        let chosen = [("CARGO_HOME", "/c"), ("CARGO_NET_OFFLINE", "true"), ("PATH", "/bin")];
        assert_eq!(cleaned(Child::Other, &chosen), ["CARGO_HOME=/c", "CARGO_NET_OFFLINE=true", "PATH=/bin"]);
    }

    #[test]
    fn the_library_path_loses_only_the_directories_of_the_toolchain() {
        let value = "/repo/target/debug/deps:/opt/lib:/opt/.rustup/toolchains/stable/lib";
        assert_eq!(cleaned(Child::Same, &[("LD_LIBRARY_PATH", value)]), ["LD_LIBRARY_PATH=/opt/lib"]);
        let value = "/repo/target/debug:/usr/lib/rustlib/x/lib";
        assert_eq!(cleaned(Child::Other, &[("LD_LIBRARY_PATH", value)]), Vec::<String>::new());
    }
}
