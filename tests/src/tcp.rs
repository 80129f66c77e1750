//! TCP transfers whose every byte is compared, against a server that remembers who connected.
//!
//! A client's first nine bytes say what it wants: an `Order` and a length.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::{
    Netns,
    clock::{self, Pacer},
    payload,
    probe::StopOnDrop,
};

/// A connection or a transfer that does nothing for this long has failed.
const STALL: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Order {
    /// Take `length` bytes, compare them, answer with how many were right.
    Upload = b'U',
    /// Send `length` bytes.
    Download = b'D',
    /// Send back whatever comes, until the client closes.
    Echo = b'E',
}

/// A server on every address of a namespace.
#[derive(Debug)]
pub struct TcpServer {
    stop: Arc<AtomicBool>,
    peers: Arc<Mutex<Vec<SocketAddrV4>>>,
    locals: Arc<Mutex<Vec<SocketAddrV4>>>,
    port: u16,
    listener: Socket,
    thread: Option<JoinHandle<()>>,
}

impl TcpServer {
    /// Listens on `port`.
    ///
    /// # Panics
    /// When the port is taken.
    #[must_use]
    pub fn start(ns: &Netns, port: u16) -> Self {
        let listener = ns.run(|| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a TCP socket");
            socket.set_reuse_address(true).expect("a TCP socket has SO_REUSEADDR");
            let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
            socket.bind(&SockAddr::from(address)).unwrap_or_else(|error| panic!("cannot bind TCP {port}: {error}"));
            socket.listen(1024).expect("a bound socket can listen");
            socket
        });
        let stop = Arc::new(AtomicBool::new(false));
        let peers = Arc::new(Mutex::new(Vec::new()));
        let locals = Arc::new(Mutex::new(Vec::new()));
        let thread = thread::spawn({
            let listener = listener.try_clone().expect("a descriptor can be duplicated");
            let (stop, peers, locals) = (Arc::clone(&stop), Arc::clone(&peers), Arc::clone(&locals));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    // ECONNABORTED: a client was gone again before it was accepted.
                    let Ok((socket, peer)) = listener.accept() else { continue };
                    let stream = TcpStream::from(socket);
                    if let (Some(peer), Ok(SocketAddr::V4(local))) = (peer.as_socket_ipv4(), stream.local_addr()) {
                        peers.lock().unwrap_or_else(PoisonError::into_inner).push(peer);
                        locals.lock().unwrap_or_else(PoisonError::into_inner).push(local);
                    }
                    thread::spawn(move || serve(stream));
                }
            }
        });
        Self { stop, peers, locals, port, listener, thread: Some(thread) }
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Who has connected since the last call, in order.
    #[must_use]
    pub fn take_peers(&self) -> Vec<SocketAddrV4> {
        std::mem::take(&mut *self.peers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Which of its own addresses were dialled since the last call, in order.
    #[must_use]
    pub fn take_locals(&self) -> Vec<SocketAddrV4> {
        std::mem::take(&mut *self.locals.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for TcpServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes accept(2).
        let _ = self.listener.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(mut stream: TcpStream) {
    let _ = stream.set_read_timeout(Some(clock::patience(STALL)));
    let _ = stream.set_write_timeout(Some(clock::patience(STALL)));
    let mut order = [0; 9];
    if stream.read_exact(&mut order).is_err() {
        return;
    }
    let length = u64::from_be_bytes(order[1..].try_into().expect("eight bytes"));
    // A failed transfer is the client's to report.
    let _ = match order[0] {
        b'U' => receive(&mut stream, 0, length).and_then(|right| stream.write_all(&right.to_be_bytes())),
        b'D' => transmit(&mut stream, length),
        _ => echo(&mut stream),
    };
}

fn echo(stream: &mut TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; payload::CHUNK];
    loop {
        let len = stream.read(&mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..len])?;
    }
}

fn transmit(stream: &mut TcpStream, length: u64) -> io::Result<()> {
    let mut position = 0;
    while position < length {
        let len = usize::try_from(length - position).unwrap_or(usize::MAX).min(payload::CHUNK);
        stream.write_all(payload::at(position, len))?;
        position += len as u64;
    }
    Ok(())
}

/// Reads until `length` bytes have come; returns how many were the stream's.
fn receive(stream: &mut TcpStream, from: u64, length: u64) -> io::Result<u64> {
    let mut buffer = vec![0; payload::CHUNK];
    let (mut position, end, mut right) = (from, from + length, 0);
    while position < end {
        let want = usize::try_from(end - position).unwrap_or(usize::MAX).min(buffer.len());
        let len = stream.read(&mut buffer[..want])?;
        if len == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("closed after {position} of {end} bytes"),
            ));
        }
        if payload::is(position, &buffer[..len]) {
            right += len as u64;
        }
        position += len as u64;
    }
    Ok(right)
}

/// Connects from `ns` to `target`, from any port.
///
/// # Errors
/// Of the connect, a refusal or a timeout (2 s) included.
pub fn connect(ns: &Netns, target: SocketAddrV4) -> io::Result<TcpStream> {
    connect_from(ns, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), target)
}

/// Connects from `ns` and the address `source` to `target`.
///
/// # Errors
/// Of the connect, a refusal or a timeout (2 s) included.
pub fn connect_from(ns: &Netns, source: SocketAddrV4, target: SocketAddrV4) -> io::Result<TcpStream> {
    let socket = ns.run(|| Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)))?;
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(source))?;
    // One SYN is enough: nothing here loses packets, and a test of silence should not take long.
    socket.connect_timeout(&SockAddr::from(target), clock::patience(Duration::from_secs(2)))?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(clock::patience(STALL)))?;
    stream.set_write_timeout(Some(clock::patience(STALL)))?;
    Ok(stream)
}

pub(crate) fn order(stream: &mut TcpStream, order: Order, length: u64) -> io::Result<()> {
    let mut bytes = [0; 9];
    bytes[0] = order as u8;
    bytes[1..].copy_from_slice(&length.to_be_bytes());
    stream.write_all(&bytes)
}

/// Sends `length` bytes over `stream` and asks the server how many arrived as sent.
///
/// # Errors
/// Of the transfer.
pub fn upload(stream: &mut TcpStream, length: u64) -> io::Result<u64> {
    order(stream, Order::Upload, length)?;
    transmit(stream, length)?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer)?;
    Ok(u64::from_be_bytes(answer))
}

/// Receives `length` bytes over `stream`; returns how many arrived as sent.
///
/// # Errors
/// Of the transfer.
pub fn download(stream: &mut TcpStream, length: u64) -> io::Result<u64> {
    order(stream, Order::Download, length)?;
    receive(stream, 0, length)
}

/// Moves `length` bytes in each direction, one connection each, and asserts that every byte is right.
///
/// # Panics
/// When not.
pub fn assert_transfers(ns: &Netns, target: SocketAddrV4, length: u64) {
    let sent = connect(ns, target).and_then(|mut stream| upload(&mut stream, length));
    assert_eq!(sent.map_err(|e| e.to_string()), Ok(length), "upload from {} to {target}", ns.name());
    let received = connect(ns, target).and_then(|mut stream| download(&mut stream, length));
    assert_eq!(received.map_err(|e| e.to_string()), Ok(length), "download from {target} to {}", ns.name());
}

/// What a [`Transfer`] saw.
#[derive(Debug, Clone)]
pub struct TransferReport {
    /// Bytes that came back as sent.
    pub bytes: u64,
    /// The longest time without a byte.
    pub longest_stall: Duration,
    /// What ended it, when it did not end as it should: a reset, a wrong byte, silence.
    pub failure: Option<String>,
}

/// One TCP connection over which data runs in both directions until stopped.
#[derive(Debug)]
pub struct Transfer {
    stop: StopOnDrop,
    progress: Arc<AtomicU64>,
    sender: JoinHandle<io::Result<u64>>,
    receiver: JoinHandle<(u64, Duration, Option<String>)>,
    stream: TcpStream,
    local: SocketAddrV4,
}

impl Transfer {
    /// Connects to a [`TcpServer`] and lets data run: sent here, echoed there, compared here. About 25 MB/s each way,
    /// so that a probe beside it still gets its share of a small machine.
    ///
    /// # Panics
    /// When the connection cannot be made.
    #[must_use]
    pub fn start(ns: &Netns, target: SocketAddrV4) -> Self {
        Self::paced(ns, target, Duration::from_micros(2500))
    }

    /// The same with one piece of 64 KiB each `interval`, for tests that look at every packet.
    ///
    /// # Panics
    /// When the connection cannot be made.
    #[must_use]
    pub fn paced(ns: &Netns, target: SocketAddrV4, interval: Duration) -> Self {
        let mut stream =
            connect(ns, target).unwrap_or_else(|error| panic!("cannot connect {} to {target}: {error}", ns.name()));
        let SocketAddr::V4(local) = stream.local_addr().expect("a connected socket has an address") else {
            panic!("an IPv4 socket has an IPv4 address")
        };
        order(&mut stream, Order::Echo, 0).expect("a new connection takes nine bytes");
        let duplicate = || stream.try_clone().expect("a descriptor can be duplicated");
        let (reader, kept) = (duplicate(), duplicate());
        let stop = Arc::new(AtomicBool::new(false));
        let progress = Arc::new(AtomicU64::new(0));
        let sender = thread::spawn({
            let stop = Arc::clone(&stop);
            move || pour(stream, interval, &stop)
        });
        let receiver = thread::spawn({
            let progress = Arc::clone(&progress);
            move || drain(reader, &progress)
        });
        Self { stop: StopOnDrop(stop), progress, sender, receiver, stream: kept, local }
    }

    /// The client's own address and port.
    #[must_use]
    pub fn local(&self) -> SocketAddrV4 {
        self.local
    }

    /// Bytes that have come back.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    /// Whether the connection has ended by itself: it was reset, or a byte was wrong.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.receiver.is_finished()
    }

    /// Ends the connection, whatever state it is in.
    ///
    /// # Panics
    /// When a thread of the transfer has panicked.
    pub fn abandon(self) {
        drop(self.stop);
        // A connection that was reset is shut already.
        let _ = self.stream.shutdown(Shutdown::Both);
        let _ = self.sender.join().expect("the sender does not panic");
        self.receiver.join().expect("the receiver does not panic");
    }

    /// Waits until `more` further bytes have come back, that is until the connection works now.
    ///
    /// # Panics
    /// When they do not come.
    pub fn wait_bytes(&self, more: u64) {
        let goal = self.bytes() + more;
        let what = format!("{more} more bytes than {} of the TCP transfer from {}", self.bytes(), self.local);
        clock::eventually(&what, STALL, || {
            assert!(!self.has_ended(), "the TCP transfer from {} ended after {} bytes", self.local, self.bytes());
            self.bytes() >= goal
        });
    }

    /// Ends the connection in order and reports; every byte sent must have come back.
    ///
    /// # Panics
    /// When a thread of the transfer has panicked.
    #[must_use]
    pub fn stop(self) -> TransferReport {
        drop(self.stop);
        let sent = self.sender.join().expect("the sender does not panic");
        let (bytes, longest_stall, mut failure) = self.receiver.join().expect("the receiver does not panic");
        match sent {
            Err(error) => failure = Some(format!("sending failed: {error}")),
            Ok(sent) if failure.is_none() && sent != bytes => {
                failure = Some(format!("{sent} bytes were sent and {bytes} came back"));
            }
            Ok(_) => {}
        }
        TransferReport { bytes, longest_stall, failure }
    }
}

fn pour(mut stream: TcpStream, interval: Duration, stop: &AtomicBool) -> io::Result<u64> {
    let (mut position, mut pacer) = (0, Pacer::new(interval));
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(payload::at(position, payload::CHUNK))?;
        position += payload::CHUNK as u64;
        pacer.wait();
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(position)
}

fn drain(mut stream: TcpStream, progress: &AtomicU64) -> (u64, Duration, Option<String>) {
    let mut buffer = vec![0; payload::CHUNK];
    let (mut position, mut last, mut stall) = (0, Instant::now(), Duration::ZERO);
    loop {
        let len = match stream.read(&mut buffer) {
            Ok(0) => return (position, stall, None),
            Ok(len) => len,
            Err(error) => return (position, stall, Some(format!("after {position} bytes: {error}"))),
        };
        if !payload::is(position, &buffer[..len]) {
            return (position, stall, Some(format!("wrong bytes at {position}")));
        }
        position += len as u64;
        progress.store(position, Ordering::Relaxed);
        stall = stall.max(last.elapsed());
        last = Instant::now();
    }
}
