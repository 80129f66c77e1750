//! This test binary as another process: a daemon to kill.

use std::{
    env,
    fs::File,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{self, Command, Stdio},
};

use natgw_userspace::datapath::{AttachMode, GatewayPaths, Lock, Side, detach};
use nix::sched::{CloneFlags, setns};

use crate::rig::{self, Rig};

const ROLE: &str = "NATGW_TEST_ROLE";
const BPFFS: &str = "NATGW_TEST_BPFFS";
const NETNS: &str = "NATGW_TEST_NETNS";
const READY: &str = "child is ready";

/// What the child does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    /// Takes the lock, reports, and waits to be killed.
    Hold,
    /// Reports, then starts the data path with TCX.
    Tcx,
    /// Reports, then starts it with clsact.
    Clsact,
    /// Reports, then removes it.
    Detach,
}

impl Role {
    const fn word(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
            Self::Detach => "detach",
        }
    }
}

/// Killed and reaped on drop.
pub(crate) struct Child {
    process: process::Child,
}

impl Child {
    pub(crate) fn start(rig: &Rig, role: Role) -> Self {
        let process = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child::runs_what_it_is_told", "--ignored", "--nocapture", "--test-threads=1"])
            .envs(
                [(ROLE, role.word().into()), (BPFFS, rig.scratch.bpffs()), (NETNS, rig.ns.path())] as [(_, PathBuf); 3]
            )
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self { process }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns when the child is about to do what its role is.
    pub(crate) fn wait_ready(&self) {
        let stdout = self.process.stdout.as_ref().unwrap();
        // A duplicate: the child's pipe stays open in `self`, so a late write of it does not fail.
        let lines = BufReader::new(File::from(std::os::fd::AsFd::as_fd(stdout).try_clone_to_owned().unwrap())).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains(READY)), "the child ended early");
    }

    /// Waits for its end. Says whether it ended well.
    pub(crate) fn wait(mut self) -> bool {
        self.process.wait().unwrap().success()
    }

    /// Whether it has ended by itself.
    pub(crate) fn ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _reaped_already = self.process.wait();
    }
}

#[test]
#[ignore = "the other side of tests that need a second process"]
fn runs_what_it_is_told() {
    let Ok(role) = env::var(ROLE) else { return };
    let paths = GatewayPaths::new(env::var(BPFFS).unwrap(), "gw.test").unwrap();
    setns(File::open(env::var(NETNS).unwrap()).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
    if role != "hold" {
        println!("{READY}");
    }
    let lock = Lock::acquire_blocking(&paths).unwrap();
    let mode = match role.as_str() {
        "hold" => {
            println!("{READY}");
            loop {
                std::thread::park();
            }
        }
        "detach" => return drop(detach(&paths, lock).unwrap()),
        "tcx" => AttachMode::Tcx,
        _ => AttachMode::Clsact,
    };
    let (mut datapath, _) = rig::load(&paths, &lock).unwrap();
    let index = |name| nix::net::if_::if_nametoindex(name).unwrap();
    datapath
        .maps()
        .update_config(|config| {
            config.int_ifindex = index("eth0");
            config.ext_ifindex = index("net1");
        })
        .unwrap();
    for side in [Side::Internal, Side::External] {
        let name = rig::interface(side);
        datapath.attach(side, index(name), name, mode).unwrap();
    }
}
