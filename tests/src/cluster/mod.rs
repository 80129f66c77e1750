//! A real etcd and a real kube-apiserver on loopback, for the tests of everything that talks to a cluster.
//!
//! There is no controller manager, scheduler or kubelet: nothing collects garbage, and no pod runs. Every server has its
//! own CA, so a client of one cluster cannot mistake another for it.
//!
//! The API is that of the rest of the harness: functions that block and panic. What is asynchronous runs on the cluster's
//! own runtime ([`Cluster::block_on`]); a test that uses them is a plain function.

mod account;
mod apiserver;
mod apply;
mod assets;
mod audit;
mod etcd;
mod keeper;
mod kubeconfig;
mod pki;
mod place;
mod proxy;
mod server;
mod shared;
mod store;

use std::{
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use kube::Client;
use tokio::runtime::{Builder, Runtime};

pub use self::{account::Account, audit::Request, proxy::Proxy, shared::shared};
use self::{apiserver::ApiServer, etcd::Etcd, kubeconfig::Identity, place::Place};

/// A running cluster. Dropping it kills the servers and removes everything they wrote.
pub struct Cluster {
    // In the order of their end.
    apiserver: Mutex<Option<ApiServer>>,
    etcd: Mutex<Etcd>,
    admin: Client,
    place: Place,
    runtime: Runtime,
}

impl Cluster {
    /// Starts a cluster of the test's own, to be killed and mistreated; others take [`shared`].
    ///
    /// # Panics
    /// When it does not start; the message shows what the servers said.
    #[must_use]
    pub fn start() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("cluster")
            .enable_all()
            .build()
            .expect("threads can be started");
        let place = Place::new();
        pki::write(&place);
        kubeconfig::write(&place.admin_kubeconfig(), &place, place.apiserver(), &Identity::Admin);
        // Both at once: the API server waits for etcd by itself.
        let mut etcd = Etcd::start(&place, &runtime);
        let mut apiserver = ApiServer::start(&place);
        let admin = runtime.block_on(kubeconfig::client(&place.admin_kubeconfig()));
        etcd.wait_ready(&runtime);
        apiserver.wait_ready(&runtime, &admin);
        Self { apiserver: Mutex::new(Some(apiserver)), etcd: Mutex::new(etcd), admin, place, runtime }
    }

    /// A client that may do everything. It lives on the cluster's runtime: use it in [`Cluster::block_on`].
    #[must_use]
    pub fn admin(&self) -> Client {
        self.admin.clone()
    }

    /// A client by a kubeconfig of this cluster, on its runtime too.
    ///
    /// # Panics
    /// When the kubeconfig cannot be used.
    #[must_use]
    pub fn client(&self, kubeconfig: &Path) -> Client {
        self.runtime.block_on(kubeconfig::client(kubeconfig))
    }

    /// Runs `future` to its end on the cluster's runtime.
    ///
    /// # Panics
    /// Inside another runtime.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// A kubeconfig that may do everything.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.place.admin_kubeconfig()
    }

    /// The URL of the API server.
    #[must_use]
    pub fn apiserver_url(&self) -> String {
        self.place.apiserver_url()
    }

    /// Where the API server listens.
    #[must_use]
    pub fn apiserver_address(&self) -> SocketAddr {
        self.place.apiserver()
    }

    /// A directory of the cluster's own, with the logs of its servers.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.place.dir()
    }

    /// SIGKILL for the API server. Its connections are reset, new ones refused.
    pub fn kill_apiserver(&self) {
        self.lock_apiserver().take();
    }

    /// Starts the API server again, at the same address, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn start_apiserver(&self) {
        let mut slot = self.lock_apiserver();
        // The old one first, if it runs: the address is the same.
        drop(slot.take());
        slot.insert(ApiServer::start(&self.place)).wait_ready(&self.runtime, &self.admin);
    }

    /// SIGKILL for etcd, then a new one with the same data, ready when this returns.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn restart_etcd(&self) {
        self.without_etcd(|| ());
    }

    /// The same, and what `meanwhile` does is done while there is no etcd.
    ///
    /// # Panics
    /// When the new one does not get ready.
    pub fn without_etcd<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        self.lock_etcd().kill();
        let done = meanwhile();
        let mut etcd = self.lock_etcd();
        *etcd = Etcd::start(&self.place, &self.runtime);
        etcd.wait_ready(&self.runtime);
        // Its connections to etcd are new too.
        if let Some(apiserver) = self.lock_apiserver().as_mut() {
            apiserver.wait_ready(&self.runtime, &self.admin);
        }
        done
    }

    /// Makes etcd forget every revision but the last: lists with an old continue token get 410, and so do watches once
    /// the API server was restarted.
    ///
    /// # Panics
    /// When etcd refuses.
    pub fn compact(&self) {
        self.runtime.block_on(self.lock_etcd().compact());
    }

    /// Every request of `user` that was answered with 403, as `verb uri`.
    ///
    /// # Panics
    /// When there is no audit log.
    #[must_use]
    pub fn forbidden(&self, user: &str) -> Vec<String> {
        self.requests(user).iter().filter(|request| request.code == 403).map(ToString::to_string).collect()
    }

    /// Every request of `user` that was answered.
    ///
    /// # Panics
    /// When there is no audit log.
    #[must_use]
    pub fn requests(&self, user: &str) -> Vec<Request> {
        audit::requests(&self.place.audit_log(), user)
    }

    /// Creates and changes objects as `kubectl apply --server-side --force-conflicts` does, in the order of the
    /// documents. A CRD can be followed by objects of its kind.
    ///
    /// # Panics
    /// When a document is no object or the API server refuses it.
    pub fn apply_yaml(&self, yaml: &str) {
        self.runtime.block_on(apply::yaml(&self.admin, yaml));
    }

    fn lock_apiserver(&self) -> MutexGuard<'_, Option<ApiServer>> {
        self.apiserver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_etcd(&self) -> MutexGuard<'_, Etcd> {
        self.etcd.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends everything but the runtime. Nothing here may panic: it also runs when the process ends.
    fn end(&self) {
        self.lock_apiserver().take();
        self.lock_etcd().kill();
        self.place.remove();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end();
    }
}
