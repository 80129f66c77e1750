//! `cargo xtask setup`: everything that building and testing needs, found or installed.
//!
//! First it is decided what is missing (fast: no package manager is asked), then either all of it is installed, or all
//! of it is listed with the command for each. Nothing is asked unless standard input is a terminal.

use std::{
    fs,
    io::{self, IsTerminal as _, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    apt::{self, Tool},
    bpf_linker, bpftool, cargo,
    needs::{self, BPFFS, Need},
    progress,
    system::{self, Packages},
    toolchain::{self, OLDEST, Toolchain},
    workspace::Workspace,
};

/// Whether to ask before anything is installed.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct Consent {
    /// Install without asking (it is asked only when standard input is a terminal).
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// `cargo xtask setup`.
pub(crate) fn run(workspace: &Workspace, consent: Consent) -> Result<()> {
    let toolchain = ensure(workspace, consent)?;
    eprintln!(
        "setup: complete (eBPF: rustc {} with LLVM {} of {}, bpf-linker {})",
        toolchain.version,
        toolchain.llvm,
        toolchain.sysroot.display(),
        bpf_linker::VERSION,
    );
    Ok(())
}

/// Makes sure that nothing is missing, and returns the toolchain for the programs.
pub(crate) fn ensure(workspace: &Workspace, consent: Consent) -> Result<Toolchain> {
    // Needs no root, and nothing else.
    bpftool::link(workspace)?;
    let found = toolchain::detect(workspace);
    let chosen = toolchain::select(&found);
    let needs = missing(workspace, &found, chosen);
    if let (Some(toolchain), []) = (chosen, needs.as_slice()) {
        return Ok(toolchain.clone());
    }
    let packages = Packages::here();
    let root = system::is_root();
    if needs.iter().any(|need| !need.is_automatic(packages, root)) {
        bail!("{}", needs::report(&needs, packages, root));
    }
    if io::stdin().is_terminal() && !consent.yes {
        ask(&needs)?;
    }
    install(workspace, &needs)
}

/// Whether nothing is missing.
pub(crate) fn is_complete(workspace: &Workspace) -> bool {
    let found = toolchain::detect(workspace);
    missing(workspace, &found, toolchain::select(&found)).is_empty()
}

/// What is missing on this machine.
fn missing(workspace: &Workspace, found: &[Toolchain], chosen: Option<&Toolchain>) -> Vec<Need> {
    let mut needs = Vec::new();
    match chosen {
        None => {
            let source_for = toolchain::lacks_only_source(found).filter(|_| system::find_program("rustup").is_some());
            needs.push(Need::Toolchain { why: toolchain::explain(found), source_for: source_for.map(str::to_owned) });
            // Which LLVM it needs is known only once there is a compiler.
            needs.push(Need::BpfLinker("is built for the compiler above".to_owned()));
        }
        Some(toolchain) => {
            let obstacle = bpf_linker::obstacle(workspace, &workspace.tools(), toolchain);
            needs.extend(obstacle.map(Need::BpfLinker));
        }
    }
    needs.extend(apt::TOOLS.iter().filter(|tool| !is_there(workspace, tool)).map(Need::Tool));
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    if !system::has_bpffs(&mounts, BPFFS) {
        needs.push(Need::Bpffs);
    }
    needs
}

fn is_there(workspace: &Workspace, tool: &Tool) -> bool {
    if tool.program == bpftool::NAME {
        return bpftool::is_there(workspace);
    }
    system::find_program(tool.program).is_some()
}

fn ask(needs: &[Need]) -> Result<()> {
    eprintln!("missing:");
    for need in needs {
        eprintln!("  {need}");
    }
    eprint!("install all of it now? [Y/n] ");
    io::stderr().flush().context("cannot write to the terminal")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    match answer.trim().to_lowercase().as_str() {
        "" | "y" | "yes" => Ok(()),
        _ => bail!("nothing was installed"),
    }
}

/// Installs what is missing: packages first, because the rest is built with them.
fn install(workspace: &Workspace, needs: &[Need]) -> Result<Toolchain> {
    let tools: Vec<&Tool> =
        needs.iter().filter_map(|need| if let Need::Tool(tool) = need { Some(*tool) } else { None }).collect();
    if !tools.is_empty() {
        apt::ensure_lists(workspace)?;
        apt::install(workspace, &apt::resolve(workspace, &tools))?;
        bpftool::link(workspace)?;
        for tool in tools {
            if !is_there(workspace, tool) {
                bail!("`{}` is still not there after its package was installed", tool.program);
            }
        }
    }
    for need in needs {
        if let Need::Toolchain { source_for, .. } = need {
            install_toolchain(workspace, source_for.as_deref())?;
        }
    }
    let toolchain = toolchain::require(workspace)?;
    if bpf_linker::obstacle(workspace, &workspace.tools(), &toolchain).is_some() {
        bpf_linker::install(workspace, &workspace.tools(), &toolchain)?;
    }
    if needs.iter().any(|need| matches!(need, Need::Bpffs)) {
        mount_bpffs(workspace)?;
    }
    Ok(toolchain)
}

/// The source for the active compiler is 3 MB; Debian's compiler is 200 MB more, but needs no rustup.
fn install_toolchain(workspace: &Workspace, source_for: Option<&str>) -> Result<()> {
    if let Some(name) = source_for {
        let mut command = cargo::command("rustup", workspace.root());
        command.args(["component", "add", "rust-src", "--toolchain", name]);
        let added = progress::run(&format!("adding rust-src to {name}"), &mut command, |_| None);
        match added {
            Ok(()) => return Ok(()),
            // rustup's server may be out of reach where a Debian mirror is not.
            Err(error) if system::is_root() && Packages::here() == Packages::Apt => eprintln!("{error:#}"),
            Err(error) => return Err(error),
        }
    }
    apt::ensure_lists(workspace)?;
    if !apt::offers_rust(workspace, OLDEST) {
        bail!(
            "apt offers no rustc-web >= {OLDEST}: install rustup (https://rustup.rs), then `rustup component add rust-src`"
        );
    }
    apt::install(workspace, &apt::RUST)
}

fn mount_bpffs(workspace: &Workspace) -> Result<()> {
    if !Path::new(BPFFS).is_dir() {
        bail!("{BPFFS} does not exist: is /sys mounted and does the kernel have CONFIG_BPF_SYSCALL?");
    }
    cargo::run(cargo::command("mount", workspace.root()).args(["-t", "bpf", "bpf", BPFFS]))?;
    eprintln!("mounted a bpf file system at {BPFFS}");
    Ok(())
}
