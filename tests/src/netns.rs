//! A network namespace that is removed when its guard is dropped.
//!
//! Namespaces are bind mounts under `/run/netns`, as `ip netns` makes them, so every tool can name them; but they are
//! entered with `setns`, because `ip netns exec` mounts a fresh `/sys` that hides the bpffs.

use std::{
    fs::{self, File},
    panic,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::{
    ifaddrs::getifaddrs,
    mount::{MntFlags, MsFlags, mount, umount2},
    net::if_::InterfaceFlags,
    sched::{CloneFlags, setns, unshare},
    sys::socket::LinkAddr,
};

use crate::{clock, command, scratch};

/// Where `ip netns` keeps its namespaces.
pub const DIRECTORY: &str = "/run/netns";

/// Removes the namespace `name`; one that is gone already is fine.
pub(crate) fn remove(name: &str) {
    let path = Path::new(DIRECTORY).join(name);
    let _ = umount2(&path, MntFlags::MNT_DETACH);
    let _ = fs::remove_file(&path);
}

/// A named network namespace with `lo` up and IPv6 off (no neighbour discovery in captures).
#[derive(Debug)]
pub struct Netns {
    name: String,
    file: File,
}

impl Netns {
    /// Makes the namespace `natgwt-<pid>-<n>-<role>`.
    ///
    /// # Panics
    /// When the kernel refuses (no root).
    #[must_use]
    pub fn new(role: &str) -> Self {
        let name = format!("{}-{role}", scratch::unique_name());
        let path = Path::new(DIRECTORY).join(&name);
        fs::create_dir_all(DIRECTORY).expect("/run is writable");
        File::create_new(&path).unwrap_or_else(|error| panic!("cannot create {}: {error}", path.display()));
        // Only this short-lived thread moves into the new namespace; the bind mount keeps the namespace alive.
        let made = thread::scope(|scope| {
            let target = &path;
            scope
                .spawn(move || {
                    unshare(CloneFlags::CLONE_NEWNET)?;
                    mount(Some("/proc/thread-self/ns/net"), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                })
                .join()
                .expect("the thread does not panic")
        });
        if let Err(error) = made {
            remove(&name);
            panic!("cannot make the namespace `{name}`: {error} (the tests need root)");
        }
        let file = File::open(&path).expect("the namespace was just mounted");
        let ns = Self { name, file };
        ns.sysctl("net/ipv6/conf/all/disable_ipv6", "1");
        ns.sysctl("net/ipv6/conf/default/disable_ipv6", "1");
        ns.ip(&["link set lo up".into()]);
        ns
    }

    /// Its name under `/run/netns`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its path, for `--netns` and `nsenter --net=`.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(&self.name)
    }

    /// Runs `work` on a thread inside the namespace and returns its result. Sockets opened there, and processes
    /// started there, stay in the namespace.
    ///
    /// # Panics
    /// When `work` panics.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&self.file, CloneFlags::CLONE_NEWNET).expect("root may enter its namespaces");
                work()
            });
            inside.join().unwrap_or_else(|payload| panic::resume_unwind(payload))
        })
    }

    /// Runs `work` in the background on a thread inside the namespace.
    ///
    /// # Panics
    /// When the namespace cannot be entered.
    pub fn spawn<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R> {
        let file = self.file.try_clone().expect("a file descriptor can be duplicated");
        thread::spawn(move || {
            setns(&file, CloneFlags::CLONE_NEWNET).expect("root may enter its namespaces");
            drop(file);
            work()
        })
    }

    /// Runs a tool inside and returns what it printed.
    ///
    /// # Panics
    /// When it fails.
    #[expect(clippy::must_use_candidate, reason = "often run for its effect")]
    pub fn command(&self, program: &str, args: &[&str]) -> String {
        self.run(|| command::run(program, args))
    }

    /// Runs lines of `ip -batch` inside.
    ///
    /// # Panics
    /// When one fails.
    pub fn ip(&self, lines: &[String]) {
        command::ip_batch(Some(&self.name), lines);
    }

    /// Waits until every interface that is up is also running (`IFF_RUNNING`: carrier and queues are there).
    ///
    /// # Panics
    /// When one does not get there.
    pub fn wait_links(&self) {
        let down = || {
            self.run(|| {
                let mut addresses = getifaddrs().expect("interfaces can be listed");
                addresses.any(|one| {
                    one.flags.contains(InterfaceFlags::IFF_UP) && !one.flags.contains(InterfaceFlags::IFF_RUNNING)
                })
            })
        };
        clock::eventually(&format!("every link of {} is up", self.name), Duration::from_secs(10), || !down());
    }

    /// The link-layer address of an interface: what to bind a packet socket to, and the MAC address itself.
    ///
    /// # Panics
    /// When there is no such interface.
    #[must_use]
    pub fn link_address(&self, interface: &str) -> LinkAddr {
        self.run(|| {
            getifaddrs()
                .expect("interfaces can be listed")
                .filter(|one| one.interface_name == interface)
                .find_map(|one| one.address.as_ref().and_then(|address| address.as_link_addr().copied()))
        })
        .unwrap_or_else(|| panic!("{} has no interface {interface}", self.name))
    }

    /// The MAC address of an interface.
    ///
    /// # Panics
    /// When there is no such interface.
    #[must_use]
    pub fn mac(&self, interface: &str) -> [u8; 6] {
        self.link_address(interface).addr().expect("an Ethernet interface has a MAC address")
    }

    /// Sets `/proc/sys/<key>` inside.
    ///
    /// # Panics
    /// When it cannot be set.
    pub fn sysctl(&self, key: &str, value: &str) {
        let path = format!("/proc/sys/{key}");
        self.run(|| fs::write(&path, value)).unwrap_or_else(|error| panic!("cannot set {path} to {value}: {error}"));
    }

    /// Reads `/proc/sys/<key>` inside.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn read_sysctl(&self, key: &str) -> String {
        self.read(&format!("/proc/sys/{key}")).trim().to_owned()
    }

    /// Reads a file inside: `/proc/thread-self/net/...` is this namespace's.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn read(&self, path: &str) -> String {
        self.run(|| fs::read_to_string(path)).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        remove(&self.name);
    }
}
