//! etcd and kube-apiserver for the layers that need a cluster: those of the user, else built once from packages of
//! Debian into a cache outside the checkout.
//!
//! Nothing is installed: every package is unpacked into the cache and used there. (An installed `etcd-server` would also
//! start a service.)

mod assets;
mod build;
mod openapi;
mod recipe;

use anyhow::{Context as _, Result};

pub(crate) use self::assets::Assets;
use crate::{cache, system, workspace::Workspace};

/// What the test processes find the directory by.
pub(crate) const VARIABLE: &str = "NATGW_TEST_ASSETS";

/// `cargo xtask apiserver`: prints the directory, for `KUBEBUILDER_ASSETS`.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    println!("{}", provide(workspace)?.dir().display());
    Ok(())
}

/// The programs, built if they have to be.
pub(crate) fn provide(workspace: &Workspace) -> Result<Assets> {
    if let Some(assets) = assets::given()? {
        return Ok(assets);
    }
    let slot = cache::slot("apiserver", &recipe::id(), "the API server").context(recipe::INSTEAD)?;
    if let Ok(assets) = Assets::in_dir(slot.dir()) {
        return Ok(assets);
    }
    recipe::check_distribution(&system::os_release())?;
    let lock = slot.lock()?;
    // Another process may have built them while this one waited.
    if let Ok(assets) = Assets::in_dir(slot.dir()) {
        return Ok(assets);
    }
    build::build(workspace, &slot)
        .with_context(|| format!("the API server for the tests cannot be built; {}", recipe::INSTEAD))?;
    drop(lock);
    Assets::in_dir(slot.dir())
}
