//! A cluster's directory and addresses.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU16, Ordering},
};

use crate::scratch;

/// Ports of the first cluster; below those from which the kernel takes source ports. A server that is down could else
/// find its port taken, even by a client's connection to itself.
const FIRST: u16 = 16440;
/// Ports for each cluster: etcd's two, the API server's, those of proxies.
const EACH: u16 = 32;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// Where one cluster keeps its files and listens.
#[derive(Debug)]
pub(super) struct Place {
    dir: PathBuf,
    ip: Ipv4Addr,
    first: u16,
    proxies: AtomicU16,
}

impl Place {
    pub(super) fn new() -> Self {
        let dir = std::env::temp_dir().join(scratch::unique_name());
        fs::create_dir_all(&dir).expect("the temporary directory is writable");
        let first = FIRST + EACH * NEXT.fetch_add(1, Ordering::Relaxed);
        Self { dir, ip: own_ip(process::id()), first, proxies: AtomicU16::new(3) }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn etcd_client(&self) -> SocketAddr {
        (self.ip, self.first).into()
    }

    pub(super) fn etcd_peer(&self) -> SocketAddr {
        (self.ip, self.first + 1).into()
    }

    pub(super) fn apiserver(&self) -> SocketAddr {
        (self.ip, self.first + 2).into()
    }

    /// The address of one more proxy.
    pub(super) fn proxy(&self) -> SocketAddr {
        let offset = self.proxies.fetch_add(1, Ordering::Relaxed);
        assert!(offset < EACH, "a cluster has room for {} proxies", EACH - 3);
        (self.ip, self.first + offset).into()
    }

    pub(super) fn apiserver_url(&self) -> String {
        format!("https://{}", self.apiserver())
    }

    pub(super) fn admin_kubeconfig(&self) -> PathBuf {
        self.file("admin.kubeconfig")
    }

    pub(super) fn audit_log(&self) -> PathBuf {
        self.file("audit.log")
    }

    pub(super) fn remove(&self) {
        scratch::remove_dir(&self.dir);
    }
}

/// An address in 127/8 that no other test process uses: no port has to be found free, and it stays ours while a server
/// is down.
fn own_ip(pid: u32) -> Ipv4Addr {
    let [_, high, middle, low] = pid.to_be_bytes();
    // A pid has 22 bits at most.
    Ipv4Addr::new(127, 64 | high & 0x3f, middle, low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_have_different_loopback_addresses() {
        assert_eq!(own_ip(1), Ipv4Addr::new(127, 64, 0, 1));
        assert_eq!(own_ip(0x3f_ffff), Ipv4Addr::new(127, 127, 255, 255));
        assert_eq!(own_ip(0x01_0203), Ipv4Addr::new(127, 65, 2, 3));
    }
}
