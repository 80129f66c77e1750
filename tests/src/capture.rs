//! Everything that passes the interfaces of a namespace, through `AF_PACKET`, each packet fully verified.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use nix::{
    errno::Errno,
    net::if_::if_nameindex,
    sys::socket::{LinkAddr, recvfrom, setsockopt, sockopt},
};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::{Netns, packet::Packet};

const TICK: Duration = Duration::from_millis(20);
const BUFFER: usize = 64 << 20;
/// `ETH_P_ALL` in network order, as socket(2) wants it for `AF_PACKET`.
pub(crate) const EVERY_PROTOCOL: i32 = (libc::ETH_P_ALL & 0xff) << 8;

/// A filter that passes no packet.
const NOTHING: SockFilter = SockFilter::new(BPF_RET, 0, 0, 0);
/// `BPF_RET | BPF_K` of classic BPF: so many bytes of the packet are passed.
const BPF_RET: u16 = 0x06;

/// Which way a packet went through its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Into the namespace.
    In,
    /// Out of the namespace.
    Out,
}

/// One captured IPv4 packet.
#[derive(Debug, Clone)]
pub struct Captured {
    /// The interface.
    pub interface: String,
    /// Which way it went.
    pub way: Way,
    /// The 802.1Q tag in the frame. One that the NIC would insert or has taken off is not in it (`ethtool -K .. txvlan`).
    pub vlan: Option<u16>,
    /// Length of the frame without the Ethernet header.
    pub len: usize,
    /// Its first 128 bytes, from the IPv4 header on.
    pub bytes: Vec<u8>,
    /// The packet, or what is wrong with it.
    pub packet: Result<Packet, String>,
}

/// A running capture.
#[derive(Debug)]
pub struct Capture {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Captured>>>,
}

impl Capture {
    /// Starts to capture on every interface of `ns`; what is sent after this call is seen.
    ///
    /// # Panics
    /// Without root.
    #[must_use]
    pub fn start(ns: &Netns) -> Self {
        let (socket, names) = ns.run(|| {
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(EVERY_PROTOCOL)))
                .expect("root may capture packets");
            setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).expect("root may enlarge a buffer");
            socket.set_read_timeout(Some(TICK)).expect("a packet socket has a timeout");
            let names: HashMap<usize, String> = if_nameindex()
                .expect("interfaces can be listed")
                .iter()
                .map(|interface| (interface.index() as usize, interface.name().to_string_lossy().into_owned()))
                .collect();
            (socket, names)
        });
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || collect(&socket, &names, &stop)
        });
        Self { stop, thread: Some(thread) }
    }

    /// Ends the capture and returns what was seen until now.
    ///
    /// # Panics
    /// When the capturing thread has panicked.
    #[must_use]
    pub fn stop(mut self) -> Vec<Captured> {
        self.finish().expect("a capture is stopped once")
    }

    fn finish(&mut self) -> Option<Vec<Captured>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(|thread| thread.join().expect("the capture does not panic"))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn collect(socket: &Socket, names: &HashMap<usize, String>, stop: &AtomicBool) -> Vec<Captured> {
    let mut buffer = vec![0; 70_000];
    let mut seen = Vec::new();
    let mut ending = false;
    loop {
        if stop.load(Ordering::Relaxed) && !ending {
            ending = true;
            // What is queued by now is still read. Silence may never come: traffic runs on, faster than it is looked at.
            socket.attach_filter(&[NOTHING]).expect("a packet socket takes a filter");
            socket.set_nonblocking(true).expect("a packet socket can be non-blocking");
        }
        match recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer) {
            Ok((len, Some(from))) => {
                let way = if from.pkttype() == libc::PACKET_OUTGOING { Way::Out } else { Way::In };
                let frame = &buffer[..len];
                if let Some(ip) = ipv4(frame)
                    && let Some(interface) = names.get(&from.ifindex())
                    && interface != "lo"
                {
                    let bytes = ip[..ip.len().min(128)].to_vec();
                    let packet = Packet::parse(ip);
                    let vlan = vlan(frame);
                    seen.push(Captured { interface: interface.clone(), way, vlan, len: ip.len(), bytes, packet });
                }
            }
            Ok((_, None)) | Err(Errno::EINTR) => {}
            Err(_) if ending => return seen,
            Err(_) => {}
        }
    }
}

/// The IPv4 packet inside an Ethernet frame, behind at most one VLAN tag.
fn ipv4(frame: &[u8]) -> Option<&[u8]> {
    match frame.get(12..14)? {
        [0x08, 0x00] => frame.get(14..),
        [0x81, 0x00] if frame.get(16..18)? == [0x08, 0x00] => frame.get(18..),
        _ => None,
    }
}

/// The VLAN of a frame's tag.
fn vlan(frame: &[u8]) -> Option<u16> {
    match frame.get(12..16)? {
        [0x81, 0x00, high, low] => Some(u16::from_be_bytes([high & 0x0f, *low])),
        _ => None,
    }
}

/// The packets that passed `interface` in direction `way`.
///
/// # Panics
/// When one of the captured packets, on whatever interface, is broken.
#[must_use]
pub fn passed(captured: &[Captured], interface: &str, way: Way) -> Vec<Packet> {
    let broken: Vec<_> = captured.iter().filter_map(|one| Some((&one.interface, one.packet.as_ref().err()?))).collect();
    assert!(broken.is_empty(), "{} broken packets were seen, the first: {:?}", broken.len(), broken[0]);
    captured
        .iter()
        .filter(|one| one.interface == interface && one.way == way)
        .filter_map(|one| one.packet.clone().ok())
        .collect()
}

/// Asserts that nothing with a VPC address leaves the gateway's `net1`, be it as the source or inside an ICMP error,
/// and that every packet on every interface is intact.
///
/// # Panics
/// When one does.
pub fn assert_no_private_address_leaves(captured: &[Captured]) {
    let leaving = passed(captured, "net1", Way::Out);
    assert!(!leaving.is_empty(), "nothing at all has left net1: the capture proves nothing");
    let private = |address: Ipv4Addr| address.octets()[0] == 10;
    for packet in &leaving {
        assert!(!private(packet.source), "a packet leaves net1 with a private source: {packet:?}");
        if let crate::packet::Transport::IcmpError { inner, .. } = &packet.transport {
            assert!(
                !private(inner.source) && !private(inner.destination),
                "an ICMP error leaves net1 with a private address inside: {packet:?}"
            );
        }
    }
}
