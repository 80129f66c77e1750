//! Where the programs of the servers are.

use std::{
    env,
    path::{Path, PathBuf},
};

/// What `cargo xtask test` sets, and what a person may.
const VARIABLES: [&str; 2] = ["NATGW_TEST_ASSETS", "KUBEBUILDER_ASSETS"];

/// The path of `etcd` or `kube-apiserver`.
///
/// # Panics
/// When it is not there.
pub(super) fn program(name: &str) -> PathBuf {
    let dir = VARIABLES.into_iter().find_map(env::var_os).unwrap_or_else(|| {
        panic!(
            "the tests need etcd and kube-apiserver: run `cargo xtask test --layer apiserver`, or set {} to what `cargo \
             xtask apiserver` prints",
            VARIABLES[1]
        )
    });
    let program = Path::new(&dir).join(name);
    assert!(program.is_file(), "there is no {}", program.display());
    program
}
