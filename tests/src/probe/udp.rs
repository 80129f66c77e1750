//! UDP: an echo server that remembers who asked, and the probe.

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nix::sys::socket::{setsockopt, sockopt};

use super::{LINGER, ProbeReport, StopOnDrop, Tally, Total};
use crate::{
    Netns,
    clock::{self, Pacer},
};

/// How long a blocked receive waits before it looks whether it should end.
const TICK: Duration = Duration::from_millis(20);
/// Room for what arrives while the machine runs something else: loss must mean loss on the way.
const BUFFER: usize = 8 << 20;

/// A socket in `ns` that never drops what reached it.
pub(super) fn socket(ns: &Netns, bind: SocketAddrV4) -> UdpSocket {
    ns.run(|| {
        let socket = UdpSocket::bind(bind).unwrap_or_else(|error| panic!("cannot bind UDP {bind}: {error}"));
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).expect("root may enlarge a buffer");
        socket.set_read_timeout(Some(TICK)).expect("a UDP socket has a timeout");
        socket
    })
}

/// Answers every datagram with itself.
#[derive(Debug)]
pub struct UdpEcho {
    stop: Arc<AtomicBool>,
    peers: Arc<Mutex<BTreeSet<SocketAddr>>>,
    thread: Option<JoinHandle<()>>,
}

impl UdpEcho {
    /// Serves `port` on every address of `ns`.
    #[must_use]
    pub fn start(ns: &Netns, port: u16) -> Self {
        let socket = socket(ns, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port));
        let stop = Arc::new(AtomicBool::new(false));
        let peers = Arc::new(Mutex::new(BTreeSet::new()));
        let thread = std::thread::spawn({
            let (stop, peers) = (Arc::clone(&stop), Arc::clone(&peers));
            move || {
                let mut buffer = vec![0; 65_536];
                while !stop.load(Ordering::Relaxed) {
                    // An ICMP error for an earlier answer shows up as an error here; the next datagram matters.
                    let Ok((len, peer)) = socket.recv_from(&mut buffer) else { continue };
                    peers.lock().unwrap_or_else(PoisonError::into_inner).insert(peer);
                    let _ = socket.send_to(&buffer[..len], peer);
                }
            }
        });
        Self { stop, peers, thread: Some(thread) }
    }

    /// Who has asked since the last call.
    #[must_use]
    pub fn take_peers(&self) -> BTreeSet<SocketAddr> {
        std::mem::take(&mut *self.peers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for UdpEcho {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Numbered datagrams to an echo server at a fixed rate, until stopped.
#[derive(Debug)]
pub struct UdpProbe {
    stop: StopOnDrop,
    answered: Arc<AtomicU64>,
    sender: JoinHandle<(u64, Vec<String>)>,
    receiver: JoinHandle<Tally>,
}

impl UdpProbe {
    /// Probes `target` from `ns`, one datagram every `interval`.
    ///
    /// # Panics
    /// When no socket can be had.
    #[must_use]
    pub fn start(ns: &Netns, target: SocketAddrV4, interval: Duration) -> Self {
        let socket = socket(ns, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let total = Total::default();
        let receiver = std::thread::spawn({
            let socket = socket.try_clone().expect("a descriptor can be duplicated");
            let (total, answered) = (total.clone(), Arc::clone(&answered));
            move || receive(&socket, target, &total, &answered)
        });
        let sender = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || send(&socket, target, interval, &stop, &total)
        });
        Self { stop: StopOnDrop(stop), answered, sender, receiver }
    }

    /// How many answers have come.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until `more` further answers have come, that is until the path works now.
    ///
    /// # Panics
    /// When they do not come within 20 s.
    pub fn wait_answers(&self, more: u64) {
        let goal = self.answered() + more;
        clock::eventually("answers to the UDP probe", crate::daemon::PATIENCE, || self.answered() >= goal);
    }

    /// Stops sending, waits for what is still under way, and reports.
    ///
    /// # Panics
    /// When a thread of the probe has panicked.
    #[must_use]
    pub fn stop(self) -> ProbeReport {
        drop(self.stop);
        let (count, errors) = self.sender.join().expect("the sender does not panic");
        self.receiver.join().expect("the receiver does not panic").finish(count, errors)
    }
}

fn message(sequence: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&sequence.to_be_bytes());
    bytes[8..].copy_from_slice(&(!sequence).to_be_bytes());
    bytes
}

fn sequence_of(bytes: &[u8]) -> Option<u64> {
    let sequence = u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?);
    (bytes == message(sequence)).then_some(sequence)
}

fn send(
    socket: &UdpSocket,
    target: SocketAddrV4,
    interval: Duration,
    stop: &AtomicBool,
    total: &Total,
) -> (u64, Vec<String>) {
    let (mut pacer, mut sequence, mut errors) = (Pacer::new(interval), 0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        if let Err(error) = socket.send_to(&message(sequence), target) {
            errors.push(error.to_string());
        }
        sequence += 1;
        pacer.wait();
    }
    total.set(sequence);
    (sequence, errors)
}

fn receive(socket: &UdpSocket, target: SocketAddrV4, total: &Total, answered: &AtomicU64) -> Tally {
    let mut tally = Tally::default();
    let mut buffer = [0; 2048];
    let mut ending: Option<Instant> = None;
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((len, from)) => match sequence_of(&buffer[..len]) {
                Some(sequence) if from == SocketAddr::V4(target) => {
                    tally.answer(sequence);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Some(_) | None => tally.report.corrupted += 1,
            },
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => tally.report.send_errors.push(error.to_string()),
        }
        if let Some(total) = total.get() {
            let since = *ending.get_or_insert_with(Instant::now);
            if tally.report.received == total || since.elapsed() > crate::clock::patience(LINGER) {
                return tally;
            }
        }
    }
}
