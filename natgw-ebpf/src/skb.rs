//! The packet: the only place that touches packet memory.
//!
//! Headers at their usual offsets are read and written in place after one bounds check; anywhere else, and where they
//! are not in the linear part, the helpers do it.

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::generated::{bpf_l4_csum_replace, bpf_skb_load_bytes, bpf_skb_store_bytes},
};
use natgw_common::wire::PacketRead;

/// Bytes of an Ethernet header without a tag.
pub(crate) const ETH_LEN: u32 = 14;
/// Offset of a transport header behind an IPv4 header without options.
const L4: u32 = ETH_LEN + 20;

/// A socket buffer at a TC hook.
#[derive(Clone, Copy)]
pub(crate) struct Skb(pub(crate) *mut __sk_buff);

/// A helper refused.
pub(crate) struct HelperFailed;

impl Skb {
    /// A field of the context.
    #[inline(always)]
    pub(crate) fn ctx(&self) -> &__sk_buff {
        // SAFETY: the kernel hands a valid context to the program; the verifier rewrites each field access.
        unsafe { &*self.0 }
    }

    /// The `LEN` bytes at `offset`, if they are in the linear part.
    #[inline(always)]
    fn linear(&self, offset: usize, len: usize) -> Option<*mut u32> {
        let start = self.ctx().data as usize;
        let end = self.ctx().data_end as usize;
        (start + offset + len <= end).then_some((start + offset) as *mut u32)
    }

    /// Overwrites bytes anywhere in the packet.
    #[inline(always)]
    pub(crate) fn store<T: Copy, const N: usize>(&self, offset: u32, bytes: [T; N]) -> Result<(), HelperFailed> {
        // SAFETY: the pointer and the length are those of `bytes`; the helper checks the offset.
        let result =
            unsafe { bpf_skb_store_bytes(self.0, offset, bytes.as_ptr().cast(), size_of::<[T; N]>() as u32, 0) };
        if result == 0 { Ok(()) } else { Err(HelperFailed) }
    }

    /// Overwrites the addresses, TTL and checksum of the IPv4 header.
    #[inline(always)]
    pub(crate) fn store_ip(
        &self,
        (ttl, proto): (u8, u8),
        checksum: [u8; 2],
        src: [u8; 4],
        dst: [u8; 4],
    ) -> Result<(), HelperFailed> {
        let first = u32::from_ne_bytes([ttl, proto, checksum[0], checksum[1]]);
        let words = [first, u32::from_ne_bytes(src), u32::from_ne_bytes(dst)];
        if let Some(at) = self.linear(ETH_LEN as usize + 8, 12) {
            // SAFETY: `linear` checked the 12 bytes; x86 and arm64 verifiers allow the 2-byte alignment of IP headers.
            unsafe {
                at.write(words[0]);
                at.add(1).write(words[1]);
                at.add(2).write(words[2]);
            }
            return Ok(());
        }
        self.store(ETH_LEN + 8, words)
    }

    /// Overwrites four bytes of the transport header, at `offset` from the start of the frame.
    #[inline(always)]
    pub(crate) fn store_ports(&self, offset: u32, bytes: [u8; 4]) -> Result<(), HelperFailed> {
        if offset == L4
            && let Some(at) = self.linear(L4 as usize, 4)
        {
            // SAFETY: `linear` checked the 4 bytes.
            unsafe { at.write(u32::from_ne_bytes(bytes)) };
            return Ok(());
        }
        self.store(offset, bytes)
    }

    /// Adds `diff` to the transport checksum at `offset`; the helper knows `CHECKSUM_PARTIAL` and `COMPLETE`.
    #[inline(always)]
    pub(crate) fn update_checksum(&self, offset: u32, diff: u32, flags: u64) -> Result<(), HelperFailed> {
        // SAFETY: plain numbers; the helper checks the offset.
        let result = unsafe { bpf_l4_csum_replace(self.0, offset, 0, u64::from(diff), flags) };
        if result == 0 { Ok(()) } else { Err(HelperFailed) }
    }
}

impl PacketRead for Skb {
    #[inline(always)]
    fn words<const N: usize>(&self, offset: u32) -> Option<[u32; N]> {
        // One comparison per usual place keeps each access at a constant offset, which every verifier follows.
        let near = if offset == ETH_LEN {
            self.linear(ETH_LEN as usize, N * 4)
        } else if offset == L4 {
            self.linear(L4 as usize, N * 4)
        } else if offset == L4 + 12 {
            self.linear(L4 as usize + 12, N * 4)
        } else {
            None
        };
        if let Some(at) = near {
            // SAFETY: `linear` checked N words; alignment as in `store_ip`. Straight into registers: words stored one
            // by one and read back as a pair stall the CPU.
            return Some(core::array::from_fn(|i| unsafe { at.add(i).read() }));
        }
        let mut words = core::mem::MaybeUninit::<[u32; N]>::uninit();
        // SAFETY: the pointer and the length are those of `words`; the helper checks the offset.
        let result = unsafe { bpf_skb_load_bytes(self.0.cast(), offset, words.as_mut_ptr().cast(), (N * 4) as u32) };
        // SAFETY: the helper has written all of it.
        if result == 0 { Some(unsafe { words.assume_init() }) } else { None }
    }

    #[inline(always)]
    fn len(&self) -> u32 {
        self.ctx().len
    }
}
