//! A gateway's places: its bpffs, its manifests, its namespace. Outlives the daemons that run in it.

use std::{
    env,
    path::{Path, PathBuf},
    process::Output,
};

use crate::{Daemon, Netns, Rules, Scratch, command, rules::GATEWAY};

/// Path of the `natgw` binary: `NATGW_BIN`, else the one cargo has built beside this test.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn natgw_binary() -> PathBuf {
    binary("natgw", "NATGW_BIN", "cargo xtask build")
}

/// Path of `natgw` with the map ABI that only the tests have: `NATGW_ABI_NEXT_BIN`, else beside this test.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn abi_next_binary() -> PathBuf {
    binary("natgw-abi-next", "NATGW_ABI_NEXT_BIN", "cargo xtask test --layer restart")
}

fn binary(name: &str, variable: &str, command: &str) -> PathBuf {
    if let Some(path) = env::var_os(variable) {
        return path.into();
    }
    let exe = env::current_exe().expect("a process knows its own path");
    // target/<profile>/deps/<test> or target/<profile>/natgw-demo
    let found = exe.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("no `{name}` beside {}: run `{command}`, or set {variable} to the binary", exe.display())
    })
}

/// Where one gateway's daemons run and what they share. Dropping it detaches the data plane.
#[derive(Debug)]
pub struct Gateway {
    scratch: Scratch,
    netns: PathBuf,
    netns_name: String,
    name: String,
    source: Vec<String>,
    args: Vec<String>,
}

impl Gateway {
    /// A gateway inside `netns`, without any rule yet.
    #[must_use]
    pub fn new(netns: &Netns) -> Self {
        let scratch = Scratch::new();
        let source = vec!["--manifests".to_owned(), scratch.manifests().display().to_string()];
        let name = GATEWAY.to_owned();
        Self { scratch, netns: netns.path(), netns_name: netns.name().to_owned(), name, source, args: Vec::new() }
    }

    /// The same gateway under another name, with the cluster of `kubeconfig` as its source.
    #[must_use]
    pub fn on_cluster(mut self, name: &str, kubeconfig: &Path) -> Self {
        name.clone_into(&mut self.name);
        self.source = vec!["--kubeconfig".to_owned(), kubeconfig.display().to_string()];
        self
    }

    /// The same gateway under another name, with the cluster that its pod is in as its source.
    #[must_use]
    pub fn in_cluster(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self.source = Vec::new();
        self
    }

    /// The same gateway in another network namespace: its pod's sandbox was rebuilt.
    pub fn move_to(&mut self, netns: &Netns) {
        self.netns = netns.path();
        netns.name().clone_into(&mut self.netns_name);
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds arguments of `natgw run` for every daemon started from now on.
    #[must_use]
    pub fn with_args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(ToString::to_string));
        self
    }

    /// Writes `rules` as the gateway's manifests (a running daemon follows).
    pub fn write(&self, rules: &Rules) {
        rules.write(&self.manifests());
    }

    /// Starts a daemon and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get ready.
    #[must_use]
    pub fn start(&self) -> Daemon {
        let mut daemon = self.spawn();
        daemon.wait_ready();
        daemon
    }

    /// Starts a daemon and does not wait.
    ///
    /// # Panics
    /// When the binary cannot be started.
    #[must_use]
    pub fn spawn(&self) -> Daemon {
        self.spawn_binary(&natgw_binary(), &[])
    }

    /// Starts a daemon from `binary` with further arguments and does not wait.
    ///
    /// # Panics
    /// When the binary cannot be started.
    #[must_use]
    pub fn spawn_binary(&self, binary: &Path, more: &[&str]) -> Daemon {
        let netns = self.netns.display().to_string();
        let more = [&["--netns", &netns], more].concat();
        Daemon::spawn(binary, &self.run_args(&more), self.scratch.dir())
    }

    /// As [`Self::spawn`], with variables of the environment (`NAME=value`).
    ///
    /// # Panics
    /// When the binary cannot be started.
    #[must_use]
    pub fn spawn_with(&self, environment: &[String]) -> Daemon {
        let netns = self.netns.display().to_string();
        // env becomes natgw: the pid stays.
        let mut args = environment.to_vec();
        args.push(natgw_binary().display().to_string());
        args.extend(self.run_args(&["--netns", &netns]));
        Daemon::spawn(Path::new("env"), &args, self.scratch.dir())
    }

    /// Starts a daemon inside the gateway's namespace, as a container runtime does, and does not wait.
    ///
    /// # Panics
    /// When the binary cannot be started.
    #[must_use]
    pub fn spawn_inside(&self) -> Daemon {
        self.spawn_through(&[])
    }

    /// As [`Self::spawn_inside`]; the command line goes to `launcher`, which becomes natgw in the end.
    ///
    /// # Panics
    /// When the launcher cannot be started.
    #[must_use]
    pub fn spawn_through(&self, launcher: &[String]) -> Daemon {
        // nsenter becomes the launcher or natgw: the pid stays.
        let mut args = vec![format!("--net={}", self.netns.display())];
        args.extend_from_slice(launcher);
        args.push(natgw_binary().display().to_string());
        args.extend(self.run_args(&[]));
        Daemon::spawn(Path::new("nsenter"), &args, self.scratch.dir())
    }

    fn run_args(&self, more: &[&str]) -> Vec<String> {
        let bpffs = self.bpffs().display().to_string();
        let own = ["run", "--gateway", &self.name, "--bpffs", &bpffs, "--log-format", "json"];
        let args = own
            .iter()
            .copied()
            .chain(self.source.iter().map(String::as_str))
            .chain(self.args.iter().map(String::as_str))
            .chain(more.iter().copied());
        args.map(str::to_owned).collect()
    }

    /// Runs `natgw <args> --gateway .. --bpffs ..` and returns what came of it.
    ///
    /// # Panics
    /// When the binary cannot be started.
    #[must_use]
    pub fn natgw(&self, args: &[&str]) -> Output {
        let bpffs = self.bpffs().display().to_string();
        let args = [args, &["--gateway", &self.name, "--bpffs", &bpffs]].concat();
        command::output(&natgw_binary().display().to_string(), &args)
    }

    /// The directory of the pins: `<bpffs>/natgw/<gateway>`.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        self.bpffs().join("natgw").join(&self.name)
    }

    /// The mount point of its bpffs.
    #[must_use]
    pub fn bpffs(&self) -> PathBuf {
        self.scratch.bpffs()
    }

    /// The directory of its manifests.
    #[must_use]
    pub fn manifests(&self) -> PathBuf {
        self.scratch.manifests()
    }

    /// A directory of its own for anything else.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.scratch.dir()
    }

    /// The name of its namespace.
    #[must_use]
    pub fn netns_name(&self) -> &str {
        &self.netns_name
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if self.pins().exists() {
            // What it does not remove goes with the bpffs' unmount and the namespace.
            let _ = self.natgw(&["detach", "--netns", &self.netns.display().to_string()]);
        }
    }
}
