//! Compare-and-swap on map values: the one read-modify-write the NAT needs.
//!
//! `core::sync::atomic` has no such methods on the BPF target; the intrinsics compile to `lock` instructions with cpu
//! v3 (Linux 5.12). A plain load does not select there, hence `read_volatile`.

use core::intrinsics::{AtomicOrdering::SeqCst, atomic_cxchg};

/// Reads `*at` once.
///
/// # Safety
///
/// `at` points into a live map value and is aligned.
#[inline(always)]
pub(crate) unsafe fn load<T: Copy>(at: *const T) -> T {
    // SAFETY: the caller's contract; other CPUs may write, which is what volatile is for here.
    unsafe { at.read_volatile() }
}

/// Replaces `*at` if it still is `old`; says whether it did.
///
/// # Safety
///
/// `at` points into a live map value, is aligned, and `T` is `u32` or `u64`.
#[inline(always)]
pub(crate) unsafe fn swap<T: Copy>(at: *mut T, old: T, new: T) -> bool {
    // SAFETY: the caller's contract.
    unsafe { atomic_cxchg::<T, { SeqCst }, { SeqCst }>(at, old, new).1 }
}
