//! Many short flows, and for how long one of them was dead.
//!
//! An echo on a busy machine may answer late, which is no loss. Every try has a number and a time, and the answer says to
//! which it belongs: what counts is the time between the first try and the one that was answered.

use std::{
    io,
    net::{SocketAddrV4, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use crate::{Netns, Topology, clock, daemon::PATIENCE, lab::EIP1, topology::SERVER, traffic::at};

/// A flow whose elastic IP is removed under it may lose a packet, not this much.
const DEAD: Duration = Duration::from_secs(1);
/// From one try to the next.
const TRY: Duration = Duration::from_millis(100);
/// From one question to the next, so that nothing piles up on a small machine.
const PAUSE: Duration = Duration::from_millis(5);
/// The ports come round again: some flows are new, some continue.
const PORTS: u64 = 50;

/// Asks from outside and from inside until told to stop; says how often it was answered.
///
/// # Panics
/// When a flow is dead for a second.
#[must_use]
pub fn ask(net: &Topology, stop: &AtomicBool) -> u64 {
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        let port = 40_000 + u16::try_from(answered / 2 % PORTS).expect("below the number of ports");
        for (asker, target) in [(&net.server, at(EIP1, 53)), (&net.client, at(SERVER, 7002))] {
            let dead = dead_for(asker, port, target, answered).unwrap_or_else(|error| {
                panic!("the flow from {} port {port} to {target}: {error}", asker.name());
            });
            assert!(dead < DEAD, "the flow from {} port {port} to {target} was dead for {dead:?}", asker.name());
            answered += 1;
            clock::pass(PAUSE);
        }
    }
    answered
}

/// Asks until answered. Returns the time from the first try to the one that was answered.
fn dead_for(asker: &Netns, port: u16, target: SocketAddrV4, question: u64) -> io::Result<Duration> {
    let socket = asker.run(|| UdpSocket::bind(("0.0.0.0", port)))?;
    socket.set_read_timeout(Some(TRY))?;
    socket.connect(target)?;
    let mut tries = Vec::new();
    let deadline = Instant::now() + clock::patience(PATIENCE);
    while Instant::now() < deadline {
        let message = [question, tries.len() as u64].map(u64::to_be_bytes).concat();
        tries.push(Instant::now());
        // Refused or without a route for a moment: the next try tells.
        let _ = socket.send(&message);
        let mut answer = [0; 64];
        // Answers to an earlier question from the same port come late.
        while let Ok(len) = socket.recv(&mut answer) {
            if let Some(number) = answer[..len].strip_prefix(&question.to_be_bytes()) {
                let number = number.try_into().map(u64::from_be_bytes).map_err(io::Error::other)?;
                let number = usize::try_from(number).map_err(io::Error::other)?;
                return Ok(tries[number] - tries[0]);
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer to {} tries", tries.len())))
}
