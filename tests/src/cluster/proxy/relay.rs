//! One connection through a proxy.

use std::{io, net::SocketAddr, time::Duration};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::{mpsc, watch},
    time::{self, Instant},
};

/// How much is read at once.
const CHUNK: usize = 16 << 10;
/// Chunks that wait for their time in one direction; beyond that the sender waits.
const QUEUE: usize = 256;

/// What holds for all connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    pub(super) flow: Flow,
    /// Counts up: connections that have seen a smaller number are reset.
    pub(super) cuts: u64,
}

/// When a byte goes on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Flow {
    Delayed(Duration),
    Held,
}

impl Default for State {
    fn default() -> Self {
        Self { flow: Flow::Delayed(Duration::ZERO), cuts: 0 }
    }
}

/// Carries bytes between `client` and the server at `upstream` until both have finished, or there were more than `cuts` cuts.
pub(super) async fn run(mut client: TcpStream, upstream: SocketAddr, mut state: watch::Receiver<State>, cuts: u64) {
    let flow = state.clone();
    let orderly = tokio::select! {
        ended = relay(&mut client, upstream, flow) => ended.is_ok(),
        _ = state.wait_for(|state| state.cuts != cuts) => false,
    };
    if !orderly {
        // Closed with this it is reset: the client shall not take it for an orderly end.
        let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO));
    }
}

async fn relay(client: &mut TcpStream, upstream: SocketAddr, mut state: watch::Receiver<State>) -> io::Result<()> {
    released(&mut state, Instant::now()).await;
    let mut server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    tokio::try_join!(pump(from_client, to_server, state.clone()), pump(from_server, to_client, state))?;
    Ok(())
}

/// One direction. Reading goes on while written bytes wait: a delay is no limit of the rate.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let (queue, mut waiting) = mpsc::channel(QUEUE);
    let read = async move {
        loop {
            let mut bytes = Vec::with_capacity(CHUNK);
            let last = from.read_buf(&mut bytes).await? == 0;
            // The writer has failed; its error is the one that counts.
            if queue.send((Instant::now(), bytes)).await.is_err() || last {
                return Ok(());
            }
        }
    };
    let write = async move {
        while let Some((arrived, bytes)) = waiting.recv().await {
            released(&mut state, arrived).await;
            to.write_all(&bytes).await?;
        }
        // The reader has seen the end.
        to.shutdown().await
    };
    tokio::try_join!(read, write)?;
    Ok(())
}

/// Waits until what came at `arrived` may go on by the state of now.
async fn released(state: &mut watch::Receiver<State>, arrived: Instant) {
    loop {
        let flow = state.borrow_and_update().flow;
        let changed = match flow {
            Flow::Held => state.changed().await,
            Flow::Delayed(delay) => tokio::select! {
                () = time::sleep_until(arrived + delay) => return,
                changed = state.changed() => changed,
            },
        };
        if changed.is_err() {
            // The proxy is gone.
            return;
        }
    }
}
