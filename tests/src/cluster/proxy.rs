//! A TCP proxy in front of the API server, for tests in which that is slow or lost. What it does is switched while it
//! runs; every switch is in force when the function returns.
//!
//! It can listen inside a network namespace, and so gives a gateway that runs there a way to the API server that uses
//! none of its interfaces.

mod listener;
mod relay;

use std::{
    fmt::Debug,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::TcpListener,
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

use self::{
    listener::Listeners,
    relay::{Flow, State},
};
use super::{
    Account, Cluster,
    kubeconfig::{self, Identity},
};
use crate::Netns;

/// A proxy of one cluster, which it may not outlive. Dropping it closes its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    switches: mpsc::Sender<(Switch, oneshot::Sender<()>)>,
    runtime: Handle,
}

#[derive(Debug, Clone, Copy)]
enum Switch {
    Forward,
    Delay(Duration),
    BlackHole,
    Refuse,
    Cut,
}

impl Proxy {
    fn start(cluster: &Cluster, listeners: Listeners) -> Self {
        let runtime = cluster.runtime.handle().clone();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (switches, inbox) = mpsc::channel(1);
        let entered = runtime.enter();
        let address = listeners.address();
        let server = Server { listeners, upstream: cluster.apiserver_address(), accepted: Arc::clone(&accepted) };
        let first = server.listeners.open();
        runtime.spawn(server.run(first, inbox));
        drop(entered);
        Self { address, accepted, switches, runtime }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections there have been.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Everything passes at once, as in the beginning. What a black hole held back is delivered, and who was refused can
    /// come again.
    pub fn forward(&self) {
        self.tell(Switch::Forward);
    }

    /// Every byte takes this much longer, in both directions; connections that are open included.
    pub fn delay(&self, delay: Duration) {
        self.tell(Switch::Delay(delay));
    }

    /// Nothing passes any more, on old connections and new, and nobody is told: a cable was pulled. (New connections are
    /// still established, by the kernel; what is sent on them is never answered.)
    pub fn black_hole(&self) {
        self.tell(Switch::BlackHole);
    }

    /// New connections are refused. Those that are open stay.
    pub fn refuse(&self) {
        self.tell(Switch::Refuse);
    }

    /// Resets every connection that is open.
    pub fn cut(&self) {
        self.tell(Switch::Cut);
    }

    fn tell(&self, switch: Switch) {
        self.runtime.block_on(async {
            let (done, is_done) = oneshot::channel();
            self.switches.send((switch, done)).await.expect("the proxy runs");
            is_done.await.expect("the proxy runs");
        });
    }
}

/// What accepts.
struct Server {
    listeners: Listeners,
    upstream: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Server {
    async fn run(self, first: TcpListener, mut switches: mpsc::Receiver<(Switch, oneshot::Sender<()>)>) {
        let mut listener = Some(first);
        let (state, _) = watch::channel(State::default());
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                switch = switches.recv() => {
                    // Without its `Proxy` it ends, and with it every connection.
                    let Some((switch, done)) = switch else { return };
                    match switch {
                        Switch::Forward => state.send_modify(|state| state.flow = Flow::Delayed(Duration::ZERO)),
                        Switch::Delay(delay) => state.send_modify(|state| state.flow = Flow::Delayed(delay)),
                        Switch::BlackHole => state.send_modify(|state| state.flow = Flow::Held),
                        Switch::Refuse => {
                            if let Some(listener) = listener.take() {
                                listener::close(&listener);
                            }
                        }
                        Switch::Cut => {
                            state.send_modify(|state| state.cuts += 1);
                            while connections.join_next().await.is_some() {}
                        }
                    }
                    if !matches!(switch, Switch::Refuse | Switch::Cut) && listener.is_none() {
                        listener = Some(self.listeners.open());
                    }
                    // The test may have given up.
                    let _ = done.send(());
                }
                accepted = listener::accept(listener.as_ref()) => {
                    self.accepted.fetch_add(1, Ordering::Relaxed);
                    // As of now: the task may begin after the next cut, which waits for its end.
                    let cuts = state.borrow().cuts;
                    connections.spawn(relay::run(accepted, self.upstream, state.subscribe(), cuts));
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

impl Cluster {
    /// A proxy in front of the API server.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn proxy(&self) -> Proxy {
        Proxy::start(self, Listeners::here(self.place.proxy()))
    }

    /// A proxy that listens on the loopback of `netns`.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn proxy_inside(&self, netns: &Netns) -> Proxy {
        Proxy::start(self, Listeners::inside(netns, self.place.proxy()))
    }

    /// A kubeconfig that may do everything, through `proxy`.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn admin_kubeconfig_through(&self, proxy: &Proxy) -> PathBuf {
        let path = self.place.file(&format!("admin.{}.kubeconfig", proxy.address.port()));
        kubeconfig::write(&path, &self.place, proxy.address, &Identity::Admin);
        path
    }

    /// The kubeconfig of `account`, through `proxy`.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn kubeconfig_through(&self, proxy: &Proxy, account: &Account) -> PathBuf {
        let path = account.kubeconfig().with_extension(format!("{}.kubeconfig", proxy.address.port()));
        self.write_kubeconfig(account, proxy.address, &path);
        path
    }
}
