//! Gratuitous ARP, as a host on the external network sees it.

use std::{
    io::Read,
    net::Ipv4Addr,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::{Netns, capture::EVERY_PROTOCOL};

const TICK: Duration = Duration::from_millis(20);

/// Waits in the background for `count` announcements of `address` (ARP packets whose sender and target are that
/// address) and returns, for each, when it came and the MAC address it told. Fewer when `patience` ends.
///
/// # Panics
/// Without root.
#[must_use]
pub fn listen(ns: &Netns, address: Ipv4Addr, count: usize, patience: Duration) -> JoinHandle<Vec<(Instant, [u8; 6])>> {
    let socket = ns.run(|| {
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(EVERY_PROTOCOL)))
            .expect("root may capture packets");
        socket.set_read_timeout(Some(TICK)).expect("a packet socket has a timeout");
        socket
    });
    std::thread::spawn(move || {
        let deadline = Instant::now() + patience;
        let mut heard = Vec::new();
        let mut frame = [0; 2048];
        let mut reader = &socket;
        while heard.len() < count && Instant::now() < deadline {
            let Ok(len) = reader.read(&mut frame) else { continue };
            if let Some(mac) = announced(&frame[..len], address) {
                heard.push((Instant::now(), mac));
            }
        }
        heard
    })
}

/// The MAC address that a frame announces for `address`.
fn announced(frame: &[u8], address: Ipv4Addr) -> Option<[u8; 6]> {
    let is_arp = frame.get(12..14)? == [0x08, 0x06];
    let about = frame.get(28..32)? == address.octets() && frame.get(38..42)? == address.octets();
    let mac = frame.get(22..28)?.try_into().ok()?;
    (is_arp && about).then_some(mac)
}
