//! A send-only `AF_PACKET` socket and the frame of a gratuitous ARP.

use std::{
    io,
    net::Ipv4Addr,
    os::fd::{AsRawFd, OwnedFd},
};

use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, Ethernet2Header};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::{NetNs, netlink::NetlinkError};

/// Length of [`gratuitous_arp`]: Ethernet header and an IPv4 ARP body.
pub const ARP_FRAME_LEN: usize = 14 + 28;

#[expect(clippy::cast_possible_truncation, reason = "the constant is 17")]
const AF_PACKET: u16 = libc::AF_PACKET as u16;
#[expect(clippy::cast_possible_truncation, reason = "the structure has 20 bytes")]
const SOCKADDR_LEN: libc::socklen_t = size_of::<libc::sockaddr_ll>() as libc::socklen_t;

/// A raw packet socket of one namespace. It is bound to no protocol, so the kernel queues nothing to it.
#[derive(Debug)]
pub struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// Opens the socket inside `ns`.
    ///
    /// # Errors
    /// When the namespace cannot be entered or `CAP_NET_RAW` is missing.
    pub fn open(ns: &NetNs) -> Result<Self, NetlinkError> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = ns
            .run(|| socket(AddressFamily::Packet, SockType::Raw, flags, None))?
            .map_err(|errno| NetlinkError::Open(errno.into()))?;
        Ok(Self(fd))
    }

    /// Sends one whole frame out of an interface; never blocks.
    ///
    /// # Errors
    /// What `sendto(2)` said: `ENETDOWN` when the interface is down, `ENOBUFS`/`EAGAIN` when its queue is full.
    pub fn send(&self, ifindex: u32, frame: &[u8]) -> io::Result<()> {
        // SAFETY: sockaddr_ll is plain data for which all-zero is a valid value.
        let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        to.sll_family = AF_PACKET;
        to.sll_ifindex = ifindex.cast_signed();
        // SAFETY: the frame pointer and length describe one live slice, the address pointer and length one live
        // sockaddr_ll; the kernel only reads them during the call.
        let sent = unsafe {
            libc::sendto(
                self.0.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const to).cast(),
                SOCKADDR_LEN,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// A gratuitous ARP request (RFC 5227 section 3: sender and target address both the announced one), to everybody.
#[must_use]
pub fn gratuitous_arp(mac: [u8; 6], addr: Ipv4Addr) -> Vec<u8> {
    let ethernet = Ethernet2Header { source: mac, destination: [0xff; 6], ether_type: EtherType::ARP };
    let mut frame = ethernet.to_bytes().to_vec();
    let arp = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        ArpOperation::REQUEST,
        &mac,
        &addr.octets(),
        &[0; 6],
        &addr.octets(),
    );
    // The lengths are those of Ethernet and IPv4: `new` has nothing to refuse.
    if let Ok(arp) = arp {
        frame.extend_from_slice(&arp.to_bytes());
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gratuitous_arp_is_the_frame_of_rfc_826() {
        let frame = gratuitous_arp([2, 0, 0, 0, 0, 9], Ipv4Addr::new(203, 0, 113, 10));
        #[rustfmt::skip]
        let expected = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 0x08, 0x06,
            0, 1, 0x08, 0, 6, 4, 0, 1,
            2, 0, 0, 0, 0, 9, 203, 0, 113, 10,
            0, 0, 0, 0, 0, 0, 203, 0, 113, 10,
        ];
        assert_eq!(frame, expected);
        assert_eq!(frame.len(), ARP_FRAME_LEN);
    }
}
