//! A `bpftool` that runs. Ubuntu's is a script that refuses every kernel whose own linux-tools are not installed, though
//! the programs behind it work on any: one of them is linked into target/tools then.

use std::{
    env,
    ffi::OsString,
    fs, iter,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{cargo, system, workspace::Workspace};

/// Its name.
pub(crate) const NAME: &str = "bpftool";
/// Below which Ubuntu has `linux-tools-<version>/bpftool`.
const UBUNTU: &str = "/usr/lib";

/// Whether programs that are started with [`path`] find one.
pub(crate) fn is_there(workspace: &Workspace) -> bool {
    let own = linked(workspace);
    iter::once(own).chain(system::find_program(NAME)).any(|program| runs(workspace, &program))
}

/// Links one of Ubuntu's if the script does not find its own.
pub(crate) fn link(workspace: &Workspace) -> Result<()> {
    if is_there(workspace) {
        return Ok(());
    }
    let Some(program) = of_ubuntu(Path::new(UBUNTU)).into_iter().find(|program| runs(workspace, program)) else {
        return Ok(());
    };
    let link = linked(workspace);
    let dir = link.parent().context("a file has a directory")?;
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    // A broken one of an earlier version.
    if link.is_symlink() {
        fs::remove_file(&link).with_context(|| format!("cannot remove {}", link.display()))?;
    }
    symlink(&program, &link).with_context(|| format!("cannot link {}", link.display()))?;
    eprintln!("  linked {} for this kernel", program.display());
    Ok(())
}

/// PATH for what runs bpftool.
pub(crate) fn path(workspace: &Workspace) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(iter::once(dir(workspace)).chain(env::split_paths(&path)))?)
}

/// Where the linked one is.
pub(crate) fn dir(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("bin")
}

fn linked(workspace: &Workspace) -> PathBuf {
    dir(workspace).join(NAME)
}

fn runs(workspace: &Workspace, program: &Path) -> bool {
    system::is_executable(program) && cargo::probe(cargo::command(program, workspace.root()).arg("version")).is_some()
}

/// Those of all kernels; later ones are tried first.
fn of_ubuntu(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let names = entries.filter_map(Result::ok).filter(|entry| entry.file_name().as_encoded_bytes().starts_with(PREFIX));
    let mut programs: Vec<_> = names.map(|entry| entry.path().join(NAME)).filter(|program| program.is_file()).collect();
    programs.sort();
    programs.reverse();
    programs
}

const PREFIX: &[u8] = b"linux-tools-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_behind_ubuntus_script_are_found() {
        let dir = env::temp_dir().join(format!("natgw-xtask-bpftool-{}", std::process::id()));
        for name in ["linux-tools-6.8.0-31", "linux-tools-6.8.0-90", "linux-tools-empty", "linux-tools"] {
            fs::create_dir_all(dir.join(name)).unwrap();
            if name != "linux-tools-empty" {
                fs::write(dir.join(name).join(NAME), "").unwrap();
            }
        }
        let found = of_ubuntu(&dir);
        fs::remove_dir_all(&dir).unwrap();
        let names = ["linux-tools-6.8.0-90/bpftool", "linux-tools-6.8.0-31/bpftool"];
        assert_eq!(found, names.map(|name| dir.join(name)));
    }
}
