//! ICMP echo: a `ping` that counts.

use std::{
    io::{ErrorKind, Read},
    net::{Ipv4Addr, SocketAddrV4},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{LINGER, ProbeReport, StopOnDrop, Tally, Total};
use crate::{
    Netns,
    clock::{self, Pacer},
    packet,
};

const TICK: Duration = Duration::from_millis(20);
const BUFFER: usize = 8 << 20;

/// A raw ICMP socket in `ns`: reads whole IPv4 packets, writes ICMP messages.
///
/// # Panics
/// Without root.
#[must_use]
pub fn raw_icmp(ns: &Netns) -> Socket {
    ns.run(|| {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).expect("root may open raw sockets");
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).expect("root may enlarge a buffer");
        socket.set_read_timeout(Some(TICK)).expect("a raw socket has a timeout");
        socket
    })
}

/// An echo request with a correct checksum.
#[must_use]
pub fn echo_request(id: u16, sequence: u16, data: &[u8]) -> Vec<u8> {
    let mut message = vec![8, 0, 0, 0];
    message.extend_from_slice(&id.to_be_bytes());
    message.extend_from_slice(&sequence.to_be_bytes());
    message.extend_from_slice(data);
    let checksum = packet::checksum(&[&message]);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

/// Numbered echo requests at a fixed rate, until stopped.
#[derive(Debug)]
pub struct IcmpProbe {
    stop: StopOnDrop,
    answered: Arc<AtomicU64>,
    sender: JoinHandle<(u64, Vec<String>)>,
    receiver: JoinHandle<Tally>,
}

impl IcmpProbe {
    /// Pings `target` from `ns` with identifier `id`, one request every `interval`.
    ///
    /// # Panics
    /// When no socket can be had.
    #[must_use]
    pub fn start(ns: &Netns, target: Ipv4Addr, id: u16, interval: Duration) -> Self {
        let socket = raw_icmp(ns);
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let total = Total::default();
        let receiver = std::thread::spawn({
            let socket = socket.try_clone().expect("a descriptor can be duplicated");
            let (total, answered) = (total.clone(), Arc::clone(&answered));
            move || receive(&socket, target, id, &total, &answered)
        });
        let sender = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || send(&socket, target, (id, interval), &stop, &total)
        });
        Self { stop: StopOnDrop(stop), answered, sender, receiver }
    }

    /// Waits until `more` requests have been answered from now on.
    ///
    /// # Panics
    /// When they are not in time.
    pub fn wait_answers(&self, more: u64) {
        let answered = || self.answered.load(Ordering::Relaxed);
        let goal = answered() + more;
        clock::eventually("answers to the ping", crate::daemon::PATIENCE, || answered() >= goal);
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

fn send(
    socket: &Socket,
    target: Ipv4Addr,
    (id, interval): (u16, Duration),
    stop: &AtomicBool,
    total: &Total,
) -> (u64, Vec<String>) {
    let address = SockAddr::from(SocketAddrV4::new(target, 0));
    let (mut pacer, mut sequence, mut errors) = (Pacer::new(interval), 0_u64, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let short = u16::try_from(sequence & 0xffff).expect("masked to 16 bits");
        if let Err(error) = socket.send_to(&echo_request(id, short, &sequence.to_be_bytes()), &address) {
            errors.push(error.to_string());
        }
        sequence += 1;
        pacer.wait();
    }
    total.set(sequence);
    (sequence, errors)
}

fn receive(socket: &Socket, target: Ipv4Addr, id: u16, total: &Total, answered: &AtomicU64) -> Tally {
    let mut tally = Tally::default();
    let mut buffer = [0; 2048];
    let mut ending: Option<Instant> = None;
    let mut reader = socket;
    loop {
        match reader.read(&mut buffer) {
            Ok(len) => match answer(&buffer[..len], id) {
                Some((from, Some(sequence))) if from == target => {
                    answered.fetch_add(1, Ordering::Relaxed);
                    tally.answer(sequence);
                }
                Some(_) => tally.report.corrupted += 1,
                // Somebody else's, or an ICMP error.
                None => {}
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

/// An echo reply for `id`: who sent it, and its sequence number if the message is intact.
fn answer(ip: &[u8], id: u16) -> Option<(Ipv4Addr, Option<u64>)> {
    let header = usize::from(ip.first()? & 0xf) * 4;
    let message = ip.get(header..)?;
    if *message.first()? != 0 || message.get(4..6)? != id.to_be_bytes() {
        return None;
    }
    let from = Ipv4Addr::from(<[u8; 4]>::try_from(ip.get(12..16)?).ok()?);
    let sequence = message.get(8..16).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
    Some((from, sequence.filter(|_| packet::checksum(&[message]) == 0)))
}
