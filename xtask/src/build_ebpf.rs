//! `cargo xtask build-ebpf`: natgw-ebpf for `bpfel-unknown-none`, verified and put where user space embeds it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    bpf_linker, cargo, object, setup,
    toolchain::Toolchain,
    workspace::{Abi, Workspace},
};

const TARGET: &str = "bpfel-unknown-none";

/// Options of `cargo xtask build-ebpf`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Accept an object in which programs are missing.
    #[arg(long)]
    partial: bool,
    /// Fail on warnings of the compiler.
    #[arg(long)]
    deny_warnings: bool,
    #[command(flatten)]
    setup: setup::Consent,
    #[arg(skip)]
    abi: Abi,
}

impl Args {
    /// Whole and without warnings.
    pub(crate) fn strict() -> Self {
        Self { deny_warnings: true, ..Self::default() }
    }

    /// With another map ABI.
    pub(crate) fn with(abi: Abi) -> Self {
        Self { abi, ..Self::default() }
    }
}

/// `cargo xtask build-ebpf`.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let toolchain = setup::ensure(workspace, args.setup)?;
    build(workspace, &toolchain, args)
}

/// Builds the object; cargo decides whether anything has to be compiled.
pub(crate) fn build(workspace: &Workspace, toolchain: &Toolchain, args: &Args) -> Result<()> {
    compile(workspace, toolchain, args)?;
    let built = workspace.ebpf_target_dir().join(TARGET).join("release/natgw");
    let bytes = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    let parsed = object::parse(&bytes).with_context(|| format!("{} is damaged", built.display()))?;
    if !args.partial {
        object::verify(&parsed)?;
    }
    let object = workspace.object(args.abi);
    let changed = publish(&bytes, &object)?;
    eprintln!(
        "{}: {} bytes, {} programs, rustc {} (LLVM {}){}",
        workspace.display(&object),
        bytes.len(),
        parsed.functions.iter().filter(|name| object::PROGRAMS.contains(&name.as_str())).count(),
        toolchain.version,
        toolchain.llvm,
        if changed { "" } else { ", unchanged" },
    );
    Ok(())
}

fn compile(workspace: &Workspace, toolchain: &Toolchain, args: &Args) -> Result<()> {
    let mut command = cargo_command(workspace, toolchain, "build");
    command.args(args.abi.features());
    if args.deny_warnings {
        // Not a flag of rustc: that would compile core anew.
        command.args(["-Z", "warnings", "--config", "build.warnings='deny'"]);
    }
    cargo::run(&mut command).context("cannot build the eBPF programs")
}

/// Clippy over the programs as they are compiled for the kernel; over the host's empty program it sees nothing.
pub(crate) fn clippy(workspace: &Workspace, toolchain: &Toolchain) -> Result<()> {
    let mut command = cargo_command(workspace, toolchain, "clippy");
    cargo::run(command.args(["--quiet", "--", "-D", "warnings"])).context("clippy does not accept the eBPF programs")
}

fn cargo_command(workspace: &Workspace, toolchain: &Toolchain, subcommand: &str) -> Command {
    let linker = bpf_linker::binary(&workspace.tools());
    let flags = rustflags(&linker, &path_prefixes(workspace, toolchain));
    let mut command = cargo::command(toolchain.cargo(), workspace.root());
    // `cargo clippy` is found through PATH, and must be that of the same toolchain.
    let mut path = vec![toolchain.sysroot.join("bin")];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    if let Ok(path) = env::join_paths(path) {
        command.env("PATH", path);
    }
    command
        .env("RUSTC", toolchain.rustc())
        .env("RUSTC_BOOTSTRAP", "1") // allows `-Z` on a stable compiler
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        // The release profile of the workspace is that of natgw. bpf-linker links and optimises the programs as a
        // whole, so rustc's own LTO would only be done twice.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
        .args([subcommand, "--release", "--locked", "--package", "natgw-ebpf", "--target", TARGET])
        .args(["-Z", "build-std=core", "--target-dir"])
        .arg(workspace.ebpf_target_dir());
    command
}

/// Flags of every crate of the programs. rustc passes the cpu on to bpf-linker, which refuses it twice.
fn rustflags(linker: &Path, prefixes: &[(PathBuf, &str)]) -> Vec<String> {
    let mut flags = vec![
        "--cfg".to_owned(),
        format!("bpf_target_arch=\"{}\"", env::consts::ARCH),
        format!("-Clinker={}", linker.display()),
        "-Clink-arg=--btf".to_owned(),
        // Without it LLVM leaves every memset and memmove a call, which the verifier refuses.
        "-Clink-arg=--disable-expand-memcpy-in-order".to_owned(),
        "-Cdebuginfo=2".to_owned(),
        "-Ctarget-cpu=v3".to_owned(),
    ];
    flags.extend(prefixes.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())));
    flags
}

/// Directories of this machine and what stands for them in the object: two checkouts give the same bytes.
/// rustc takes the last prefix that matches, so longer ones follow shorter ones.
fn path_prefixes(workspace: &Workspace, toolchain: &Toolchain) -> Vec<(PathBuf, &'static str)> {
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    let mut prefixes = vec![(workspace.root().to_owned(), "/natgw")];
    prefixes.extend(env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home).map(|dir| (dir, "/cargo")));
    let source = toolchain.source();
    // Debian links the source into the sysroot from /usr/src.
    prefixes.extend(source.canonicalize().ok().map(|real| (real, "/rustc")));
    prefixes.push((source, "/rustc"));
    prefixes
}

/// Writes the object only when its bytes changed, so that user space is not rebuilt for nothing.
fn publish(bytes: &[u8], to: &Path) -> Result<bool> {
    if fs::read(to).is_ok_and(|present| present == bytes) {
        return Ok(false);
    }
    let dir = to.parent().context("the object has no directory")?;
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    // Renamed into place: a build of user space beside this one never embeds half an object.
    let partial = to.with_extension("o.partial");
    fs::write(&partial, bytes).with_context(|| format!("cannot write {}", partial.display()))?;
    fs::rename(&partial, to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_given_to_rustc_only() {
        let flags = rustflags(Path::new("/t/bpf-linker"), &[(PathBuf::from("/home-of/x"), "/natgw")]);
        assert_eq!(flags.iter().filter(|flag| flag.contains("cpu")).count(), 1, "{flags:?}");
        assert!(flags.contains(&"--remap-path-prefix=/home-of/x=/natgw".to_owned()), "{flags:?}");
    }

    #[test]
    fn an_object_with_the_same_bytes_is_left_alone() {
        let dir = env::temp_dir().join(format!("natgw-xtask-{}", std::process::id()));
        let object = dir.join("bpf/natgw.o");
        assert!(publish(b"one", &object).expect("the directory is ours"));
        let written = fs::metadata(&object).and_then(|meta| meta.modified()).expect("it is there");
        assert!(!publish(b"one", &object).expect("the directory is ours"));
        assert_eq!(fs::metadata(&object).and_then(|meta| meta.modified()).expect("it is there"), written);
        assert!(publish(b"two", &object).expect("the directory is ours"));
        assert_eq!(fs::read(&object).expect("it is there"), b"two");
        fs::remove_dir_all(&dir).expect("the directory is ours");
    }
}
