//! Recomputes every checksum of a frame from scratch.

use super::frame::{ETH, Frame};
use crate::{
    checksum::full,
    wire::{Fragment, IcmpClass, Ipv4, icmp_class, proto},
};

/// Checks the IP header and what it carries, and for an ICMP error the quoted packet too.
pub(super) fn checksums(frame: &Frame) -> Result<(), String> {
    packet(&frame.0[ETH..], Whole::Yes)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    Yes,
    /// A router may have cut it.
    Quoted,
}

fn packet(bytes: &[u8], whole: Whole) -> Result<(), String> {
    let mut words = [0; 5];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_ne_bytes(chunk.try_into().unwrap());
    }
    let ip = Ipv4::from_words(words).ok_or("no IPv4 header")?;
    let (header, rest) = bytes.split_at(ip.header_len as usize);
    sum("IP header", header, 0)?;
    let payload_len = ip.total_len as usize - header.len();
    if ip.fragment != Fragment::No || rest.len() < payload_len {
        return if whole == Whole::Quoted || ip.fragment != Fragment::No { Ok(()) } else { Err("cut short".into()) };
    }
    let payload = &rest[..payload_len];
    let pseudo = pseudo_header(&ip, payload_len);
    match ip.proto {
        proto::TCP => sum("TCP", payload, pseudo),
        proto::UDP if payload[6..8] == [0, 0] => Ok(()),
        proto::UDP => sum("UDP", payload, pseudo),
        proto::ICMP => {
            sum("ICMP", payload, 0)?;
            if icmp_class(payload[0]) == IcmpClass::Error { packet(&payload[8..], Whole::Quoted) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

fn pseudo_header(ip: &Ipv4, len: usize) -> u64 {
    let half = |at: &[u8]| u64::from(u16::from_ne_bytes([at[0], at[1]]));
    let len = u16::try_from(len).unwrap().to_be_bytes();
    [&ip.src[..2], &ip.src[2..], &ip.dst[..2], &ip.dst[2..], &[0, ip.proto], &len].into_iter().map(half).sum()
}

/// A sum that includes its own checksum is all ones, so its complement is 0.
fn sum(what: &str, bytes: &[u8], initial: u64) -> Result<(), String> {
    let left = full(bytes, initial);
    if left == [0, 0] { Ok(()) } else { Err(format!("wrong {what} checksum, off by {left:02x?}")) }
}

mod tests {
    use super::{super::frame::*, *};

    #[test]
    fn a_flipped_bit_anywhere_in_a_quoted_packet_is_noticed() {
        let quoted = udp("10.0.0.5:4000 > 8.8.8.8:53");
        let frame = error(3, 3, "8.8.8.8 > 10.0.0.5", quoted.ip());
        assert_eq!(checksums(&frame), Ok(()));
        for at in ETH..frame.0.len() {
            let mut broken = frame.clone();
            // Not the lengths: those change what is summed, and the version, which ends the check before it.
            if [0, 1, 2, 3].contains(&(at - ETH)) {
                continue;
            }
            broken.0[at] ^= 0x10;
            assert!(checksums(&broken).is_err(), "byte {at}");
        }
    }
}
