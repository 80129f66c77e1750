//! The HTTP server: few connections, each short, so that no client can take the answers from the others.
//!
//! The port may still belong to the natgw that this one takes over from, when both run in one pod: then it is tried again
//! until the other has ended.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{AbortHandle, JoinHandle},
    time::{Instant, sleep, timeout},
};

use super::{Health, Listen, Metrics, routes::Routes};

/// Connections at a time; further ones wait in the kernel.
const CONNECTIONS: usize = 32;
/// A request has arrived by then.
const REQUEST: Duration = Duration::from_secs(3);
/// An answer has left by then.
const CONNECTION: Duration = Duration::from_secs(10);
/// Bytes of a request, and of what waits to be sent at a time (hyper takes no less).
const BUFFER: usize = 8192;
/// Headers of a request.
const HEADERS: usize = 64;
/// After the lock was got, the process that had it needs this long to end at most.
const TAKE_OVER: Duration = Duration::from_secs(2);
/// Nobody says when a port becomes free.
const RETRY: Duration = Duration::from_millis(20);

/// The server cannot listen.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {source}; choose another --listen ADDRESS:PORT, or `--listen off`")]
pub struct BindError {
    /// Where.
    address: SocketAddr,
    /// Why not.
    source: io::Error,
}

/// The running server; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    listen: Listen,
    routes: Routes,
    state: State,
}

#[derive(Debug)]
enum State {
    Off,
    /// The port is taken, maybe only until another natgw has ended.
    Waiting(SocketAddr),
    /// The same, being tried again.
    #[expect(dead_code, reason = "owns the task")]
    Late(JoinHandle<Result<State, BindError>>),
    #[expect(dead_code, reason = "owns the task")]
    Running(Running),
}

#[derive(Debug)]
struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Server {
    /// Starts to serve where `listen` says, if that address is free.
    ///
    /// # Errors
    /// The address that was asked for is none of this host's.
    pub fn start(listen: Listen, health: Health, metrics: Metrics) -> Result<Self, BindError> {
        let routes = Routes::new(health, metrics);
        let state = match listen.address().map(|address| (address, bind(address))) {
            None => State::Off,
            Some((_, Ok(listener))) => State::Running(spawn(accept(listener, routes.clone()))),
            Some((address, Err(error))) if is_taken(&error) => State::Waiting(address),
            Some((address, Err(source))) => refused(listen, BindError { address, source })?,
        };
        Ok(Self { listen, routes, state })
    }

    /// The gateway is ours, so a natgw that had it before will not have the port for long.
    ///
    /// # Errors
    /// Somebody else has the address that was asked for.
    pub async fn settle(&mut self) -> Result<(), BindError> {
        let State::Waiting(address) = self.state else { return Ok(()) };
        let (listen, routes) = (self.listen, self.routes.clone());
        let late = async move {
            match bind_late(address).await {
                Ok(listener) => Ok(State::Running(spawn(accept(listener, routes)))),
                Err(source) => refused(listen, BindError { address, source }),
            }
        };
        // The data plane does not wait for an address that nobody has asked for.
        self.state = match listen {
            Listen::At(_) | Listen::Off => late.await?,
            Listen::Default => State::Late(tokio::spawn(late)),
        };
        Ok(())
    }
}

/// Without the default address the gateway works as well: another one may run on the same host.
fn refused(listen: Listen, error: BindError) -> Result<State, BindError> {
    if listen != Listen::Default {
        return Err(error);
    }
    tracing::warn!("health and metrics are not served: {error}");
    Ok(State::Off)
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    // SO_REUSEADDR, which std sets, lets a restart bind while old connections are in TIME_WAIT.
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    tracing::info!(%address, "health and metrics are served");
    if !address.ip().is_loopback() {
        tracing::warn!("everybody who reaches {address} can read health and metrics; there is no authentication");
    }
    Ok(listener)
}

async fn bind_late(address: SocketAddr) -> io::Result<TcpListener> {
    let end = Instant::now() + TAKE_OVER;
    loop {
        match bind(address) {
            Err(error) if is_taken(&error) && Instant::now() < end => sleep(RETRY).await,
            settled => return settled,
        }
    }
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Running {
    Running(tokio::spawn(task).abort_handle())
}

async fn accept(listener: TcpListener, routes: Routes) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // Never closed.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let routes = routes.clone();
                tokio::spawn(async move {
                    // A client that is too slow, too talkative or gone is its own business.
                    let _ = timeout(CONNECTION, serve(stream, routes)).await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of descriptors, or the client is gone already; the next try may be no better.
                tracing::debug!(%error, "cannot accept a connection");
                sleep(RETRY).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, routes: Routes) -> Result<(), hyper::Error> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST)
        .keep_alive(false)
        .max_buf_size(BUFFER)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service_fn(|request| routes.answer(request)))
        .await
}

#[cfg(test)]
mod tests;
