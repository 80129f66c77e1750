//! The socket of a proxy: closed to refuse, opened again at the same address.

use std::{
    fs::File,
    future,
    net::{Shutdown, SocketAddr, TcpListener as Bound},
    path::PathBuf,
    thread,
};

use nix::sched::{CloneFlags, setns};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use crate::Netns;

/// Where and in which namespace to listen.
#[derive(Debug)]
pub(super) struct Listeners {
    address: SocketAddr,
    netns: Option<PathBuf>,
}

impl Listeners {
    pub(super) fn here(address: SocketAddr) -> Self {
        Self { address, netns: None }
    }

    pub(super) fn inside(netns: &Netns, address: SocketAddr) -> Self {
        Self { address, netns: Some(netns.path()) }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens; inside a runtime.
    ///
    /// # Panics
    /// When the address is taken, or the namespace gone.
    pub(super) fn open(&self) -> TcpListener {
        let bound = thread::scope(|scope| scope.spawn(|| self.bind()).join().expect("the thread does not panic"));
        let bound = bound.unwrap_or_else(|error| panic!("the proxy cannot listen at {}: {error}", self.address));
        bound.set_nonblocking(true).and_then(|()| TcpListener::from_std(bound)).expect("a socket suits the runtime")
    }

    /// On a thread of its own, which may change its namespace; the socket stays in that.
    fn bind(&self) -> std::io::Result<Bound> {
        if let Some(netns) = &self.netns {
            setns(File::open(netns)?, CloneFlags::CLONE_NEWNET)?;
        }
        Bound::bind(self.address)
    }
}

/// Listens no more. Closing would not do: a process that another test starts at this moment has a copy of the descriptor
/// until its exec.
///
/// # Panics
/// When the kernel refuses.
pub(super) fn close(listener: &TcpListener) {
    SockRef::from(listener).shutdown(Shutdown::Both).expect("a socket that listens can be shut down");
}

/// The next connection; never one while nobody listens.
pub(super) async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    match listener {
        Some(listener) => listener.accept().await.expect("a connection can be accepted").0,
        None => future::pending().await,
    }
}
