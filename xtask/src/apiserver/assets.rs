//! A directory with the programs, by the convention of Kubernetes' envtest.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use crate::system;

/// What has to be there.
pub(crate) const PROGRAMS: [&str; 2] = ["etcd", "kube-apiserver"];

/// The variable by which envtest finds them.
const GIVEN: &str = "KUBEBUILDER_ASSETS";

/// A directory in which every one of [`PROGRAMS`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assets {
    dir: PathBuf,
}

impl Assets {
    /// Checks that nothing is missing in `dir`.
    pub(crate) fn in_dir(dir: &Path) -> Result<Self> {
        let missing: Vec<_> = PROGRAMS.into_iter().filter(|name| !system::is_executable(&dir.join(name))).collect();
        ensure!(missing.is_empty(), "{} has no program {}", dir.display(), missing.join(" and no "));
        Ok(Self { dir: dir.to_owned() })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Those that the user names. An incomplete directory is an error: falling back to others would hide it.
pub(crate) fn given() -> Result<Option<Assets>> {
    let Some(dir) = env::var_os(GIVEN).filter(|dir| !dir.is_empty()) else { return Ok(None) };
    let dir = Path::new(&dir).canonicalize().with_context(|| format!("{GIVEN} is {}", dir.display()))?;
    Assets::in_dir(&dir).context(GIVEN).map(Some)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn what_is_missing_in_a_directory_is_named() {
        let dir = env::temp_dir().join(format!("natgw-xtask-assets-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let complaint = || Assets::in_dir(&dir).expect_err("it is incomplete").to_string();
        assert!(complaint().ends_with("has no program etcd and no kube-apiserver"), "{}", complaint());
        let put = |name, mode| {
            fs::write(dir.join(name), "").unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        put("etcd", 0o755);
        // A file that cannot be run is no program.
        put("kube-apiserver", 0o644);
        assert!(complaint().ends_with("has no program kube-apiserver"), "{}", complaint());
        put("kube-apiserver", 0o755);
        let found = Assets::in_dir(&dir);
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(found.unwrap().dir(), dir);
    }
}
