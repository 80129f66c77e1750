//! Where things are in the checkout. Every path that a command reads or writes is named here.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

/// Which map ABI the programs and user space are built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Abi {
    /// That of the product.
    #[default]
    Released,
    /// One that only the tests have: they upgrade to it.
    Next,
}

impl Abi {
    /// Arguments of cargo.
    pub(crate) fn features(self) -> &'static [&'static str] {
        match self {
            Self::Released => &[],
            Self::Next => &["--features", "abi-next"],
        }
    }
}

/// The checkout that `cargo xtask` was started in.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Finds the checkout. Cargo sets `CARGO_MANIFEST_DIR` for `cargo run`; a copied binary uses the working directory.
    pub(crate) fn find() -> Result<Self> {
        let root = match env::var_os("CARGO_MANIFEST_DIR") {
            Some(xtask) => PathBuf::from(xtask).join(".."),
            None => env::current_dir().context("cannot read the working directory")?,
        };
        let root = root.canonicalize().with_context(|| format!("cannot resolve {}", root.display()))?;
        ensure!(
            root.join("natgw-ebpf/Cargo.toml").is_file(),
            "{} is not a natgw checkout: run `cargo xtask` inside one",
            root.display()
        );
        Ok(Self { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// `natgw`, optimised.
    pub(crate) fn release_natgw(&self) -> PathBuf {
        self.cargo_target_dir().join("release/natgw")
    }

    /// What the tests and the demo start.
    pub(crate) fn debug_dir(&self) -> PathBuf {
        self.cargo_target_dir().join("debug")
    }

    fn cargo_target_dir(&self) -> PathBuf {
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.root.join("target"), PathBuf::from)
    }

    /// What `recovery-report --write` writes.
    pub(crate) fn recovery_document(&self) -> PathBuf {
        self.root.join("docs/recovery.md")
    }

    /// Cargo's own target directory is not used for the programs: two toolchains in one would rebuild each other.
    pub(crate) fn ebpf_target_dir(&self) -> PathBuf {
        self.root.join("target/ebpf")
    }

    /// The object that natgw-userspace/build.rs embeds.
    pub(crate) fn object(&self, abi: Abi) -> PathBuf {
        self.root.join("target/bpf").join(match abi {
            Abi::Released => "natgw.o",
            Abi::Next => "natgw-abi-next.o",
        })
    }

    /// `cargo install --root` of tools that belong to this checkout.
    pub(crate) fn tools(&self) -> PathBuf {
        self.root.join("target/tools")
    }

    /// A path as a person in the checkout would type it.
    pub(crate) fn display<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }
}
