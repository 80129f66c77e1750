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

/// `CARGO_*` variables that a user sets on purpose; all others come from the outer cargo.
const KEPT: [&str; 9] = [
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTRY_",
    "CARGO_REGISTRIES_",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
    "CARGO_BUILD_JOBS",
    "CARGO_INCREMENTAL",
];

/// Variables of the outer toolchain, removed by name.
const DROPPED: [&str; 10] = [
    "CARGO",
    "RUSTC",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTDOCFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_BOOTSTRAP",
    "RUSTUP_TOOLCHAIN",
    "RUST_RECURSION_COUNT",
];

/// Whether a variable is left over from the outer cargo or rustup.
fn leaks(name: &str) -> bool {
    DROPPED.contains(&name) || name.starts_with("CARGO_") && !KEPT.iter().any(|kept| name.starts_with(kept))
}

/// The library path without the directories that cargo and rustup added for their own binaries.
fn library_path(value: &OsStr, target: &Path) -> Option<OsString> {
    let kept: Vec<PathBuf> = env::split_paths(value)
        .filter(|dir| !dir.as_os_str().is_empty() && !dir.starts_with(target))
        .filter(|dir| !dir.components().any(|part| part.as_os_str() == "rustlib" || part.as_os_str() == ".rustup"))
        .collect();
    if kept.is_empty() { None } else { env::join_paths(kept).ok() }
}

/// The environment for a child cargo: that of the user, without what the outer cargo added.
pub(crate) fn clean_env(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
    target: &Path,
) -> BTreeMap<OsString, OsString> {
    vars.into_iter()
        .filter(|(name, _)| !name.to_str().is_some_and(leaks))
        .filter_map(|(name, value)| {
            if name == "LD_LIBRARY_PATH" { Some((name, library_path(&value, target)?)) } else { Some((name, value)) }
        })
        .collect()
}

/// A command with the clean environment.
pub(crate) fn command(program: impl AsRef<OsStr>, root: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root).env_clear().envs(clean_env(env::vars_os(), &root.join("target")));
    command
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

    fn cleaned(vars: &[(&str, &str)]) -> Vec<(String, String)> {
        let vars = vars.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        clean_env(vars, Path::new("/repo/target"))
            .into_iter()
            .map(|(name, value)| (name.into_string().unwrap(), value.into_string().unwrap()))
            .collect()
    }

    #[test]
    fn the_outer_cargo_leaves_no_trace() {
        let outer = [
            ("CARGO", "/r/bin/cargo"),
            ("CARGO_MANIFEST_DIR", "/repo/xtask"),
            ("CARGO_PKG_NAME", "xtask"),
            ("CARGO_ENCODED_RUSTFLAGS", "-Cfoo"),
            ("CARGO_BUILD_TARGET", "aarch64-unknown-linux-gnu"),
            ("CARGO_TARGET_DIR", "/elsewhere"),
            ("CARGO_PROFILE_RELEASE_LTO", "fat"),
            ("RUSTC", "/r/bin/rustc"),
            ("RUSTFLAGS", "-Cbar"),
            ("RUSTUP_TOOLCHAIN", "stable"),
        ];
        assert_eq!(cleaned(&outer), []);
    }

    #[test]
    fn what_the_user_chose_is_kept() {
        let chosen =
            [("CARGO_HOME", "/c"), ("CARGO_NET_OFFLINE", "true"), ("CARGO_TERM_COLOR", "never"), ("PATH", "/bin")];
        let chosen: Vec<_> = chosen.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let borrowed: Vec<_> = chosen.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(cleaned(&borrowed), chosen);
    }

    #[test]
    fn the_library_path_loses_only_the_directories_of_the_toolchain() {
        let value = "/repo/target/debug/deps:/opt/lib:/home/u/.rustup/toolchains/stable/lib";
        assert_eq!(cleaned(&[("LD_LIBRARY_PATH", value)]), [("LD_LIBRARY_PATH".to_owned(), "/opt/lib".to_owned())]);
        assert_eq!(cleaned(&[("LD_LIBRARY_PATH", "/repo/target/debug:/usr/lib/rustlib/x/lib")]), []);
    }
}
