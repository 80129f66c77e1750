//! The bpf(2) commands that aya 0.14 does not offer: what a TCX link is attached to, which links an interface has,
//! detaching a link whoever else holds it, reading a map in batches, and maps whose layout is known only at run time
//! ([`ByteMap`]). And getrandom(2) and membarrier(2), which nix does not offer.
//!
//! The only module of this crate with `unsafe` system calls.

mod bytes;

use std::{
    ffi::CString,
    io, mem,
    os::{
        fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use aya::Pod;
use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_link_info, bpf_link_type};

pub(super) use bytes::{Batch, ByteMap, bytes_of, from_bytes};

/// A TCX link as the kernel describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TcxLink {
    /// Kernel id of the link.
    pub(super) id: u32,
    /// Kernel id of its program.
    pub(super) program_id: u32,
    /// Interface index in the interface's own namespace; 0 when the interface is gone.
    pub(super) ifindex: u32,
    /// `BPF_TCX_INGRESS` or `BPF_TCX_EGRESS`.
    pub(super) attach_type: u32,
}

/// One entry of an interface's TCX chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChainEntry {
    /// Kernel id of the program.
    pub(super) program_id: u32,
    /// Kernel id of the link; 0 for a program attached without one.
    pub(super) link_id: u32,
}

/// Programs the kernel allows in one chain (`BPF_MPROG_MAX`).
const CHAIN_MAX: usize = 64;

fn zeroed_attr() -> bpf_attr {
    // SAFETY: `bpf_attr` is a union of plain C structures of integers; all zero is a value of each.
    unsafe { mem::zeroed() }
}

/// Runs one command. `attr` must hold what `command` reads, and its pointers must be valid for what it writes: that is
/// for each caller to say.
fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i32> {
    // SAFETY: the kernel reads and writes at most `size_of::<bpf_attr>()` bytes of `attr`, which is exclusively ours.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command as libc::c_long, std::ptr::from_mut(attr), mem::size_of::<bpf_attr>())
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.addr() as u64
}

fn number(fd: &impl AsFd) -> u32 {
    fd.as_fd().as_raw_fd().cast_unsigned()
}

/// `BPF_OBJ_GET`: a descriptor for whatever is pinned at `path`.
fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = zeroed_attr();
    attr.__bindgen_anon_4.pathname = address(name.as_ptr());
    let fd = bpf(bpf_cmd::BPF_OBJ_GET, &mut attr)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The TCX link pinned at `path`; `Ok(None)` when something else is pinned there.
pub(super) fn pinned_tcx_link(path: &Path) -> io::Result<Option<TcxLink>> {
    let fd = open_pin(path)?;
    // SAFETY: `bpf_link_info` is a plain C structure of integers and unions of integers; all zero is a value.
    let mut info: bpf_link_info = unsafe { mem::zeroed() };
    let mut attr = zeroed_attr();
    attr.info.bpf_fd = number(&fd);
    attr.info.info_len = u32::try_from(mem::size_of::<bpf_link_info>()).map_err(io::Error::other)?;
    attr.info.info = address(std::ptr::from_mut(&mut info));
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    if info.type_ != bpf_link_type::BPF_LINK_TYPE_TCX as u32 {
        return Ok(None);
    }
    // SAFETY: the kernel has said that this is a TCX link, so `tcx` is the variant it filled; integers in any case.
    let tcx = unsafe { info.__bindgen_anon_1.tcx };
    Ok(Some(TcxLink { id: info.id, program_id: info.prog_id, ifindex: tcx.ifindex, attach_type: tcx.attach_type }))
}

/// `BPF_LINK_DETACH`: takes the link pinned at `path` off its interface before this call returns. Removing the pin alone
/// does so too, but later, from a work queue. Detaching a link whose interface is gone is no error.
pub(super) fn detach_pinned_link(path: &Path) -> io::Result<()> {
    let fd = open_pin(path)?;
    let mut attr = zeroed_attr();
    attr.link_detach.link_fd = number(&fd);
    bpf(bpf_cmd::BPF_LINK_DETACH, &mut attr).map(drop)
}

/// `BPF_PROG_QUERY`: the TCX chain of `ifindex` in the calling thread's network namespace, first to run first.
pub(super) fn tcx_chain(ifindex: u32, attach_type: bpf_attach_type) -> io::Result<Vec<ChainEntry>> {
    let mut programs = [0u32; CHAIN_MAX];
    let mut links = [0u32; CHAIN_MAX];
    let mut attr = zeroed_attr();
    attr.query.__bindgen_anon_1.target_ifindex = ifindex;
    attr.query.attach_type = attach_type as u32;
    attr.query.prog_ids = address(programs.as_mut_ptr());
    attr.query.link_ids = address(links.as_mut_ptr());
    attr.query.__bindgen_anon_2.count = u32::try_from(CHAIN_MAX).map_err(io::Error::other)?;
    bpf(bpf_cmd::BPF_PROG_QUERY, &mut attr)?;
    // SAFETY: `query` is the variant of this command, and every one of its fields is an integer.
    let count = unsafe { attr.query.__bindgen_anon_2.count } as usize;
    let both = programs.iter().zip(&links).take(count);
    Ok(both.map(|(program_id, link_id)| ChainEntry { program_id: *program_id, link_id: *link_id }).collect())
}

/// Where the next batch of a hash map begins: a bucket number, so entries that come and go in other buckets neither
/// repeat nor hide others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor(u32);

/// `BPF_MAP_LOOKUP_BATCH` on a hash map: appends about `budget` entries that follow `from` to `out`. Returns where to go
/// on, `None` at the end.
pub(super) fn lookup_batch<K: Pod, V: Pod>(
    map: &impl AsFd,
    from: Option<Cursor>,
    budget: usize,
    out: &mut Vec<(K, V)>,
) -> io::Result<Option<Cursor>> {
    let mut room = budget.max(16);
    loop {
        let mut keys: Vec<K> = Vec::with_capacity(room);
        let mut values: Vec<V> = Vec::with_capacity(room);
        // SAFETY: both buffers have room for `room` elements of the map's key and value size: the callers have checked
        // that those are the sizes of K and V when they opened the map.
        let found = unsafe { batch(map, from, room, address(keys.as_mut_ptr()), address(values.as_mut_ptr()))? };
        let Some((count, next)) = found else {
            room *= 2;
            continue;
        };
        // SAFETY: the kernel has written `count` elements to each buffer, and `count` is at most the capacity. Any bytes
        // are a value of a `Pod`.
        unsafe {
            keys.set_len(count);
            values.set_len(count);
        }
        out.extend(keys.into_iter().zip(values));
        return Ok(next);
    }
}

/// `BPF_MAP_LOOKUP_BATCH` into two buffers: how many elements were written to each, and where to go on. `None`: one
/// bucket holds more than `room`, nothing was copied.
///
/// # Safety
///
/// `keys` and `values` point to room for `room` keys and values of `map`.
unsafe fn batch(
    map: &impl AsFd,
    from: Option<Cursor>,
    room: usize,
    keys: u64,
    values: u64,
) -> io::Result<Option<(usize, Option<Cursor>)>> {
    let start = from.map(|Cursor(bucket)| bucket);
    let mut next = 0u32;
    let mut attr = zeroed_attr();
    attr.batch.map_fd = number(map);
    attr.batch.in_batch = start.as_ref().map_or(0, |bucket| address(std::ptr::from_ref(bucket)));
    attr.batch.out_batch = address(std::ptr::from_mut(&mut next));
    attr.batch.keys = keys;
    attr.batch.values = values;
    attr.batch.count = u32::try_from(room).map_err(io::Error::other)?;
    let end = match bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attr) {
        Ok(_) => false,
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOENT) => true,
            Some(libc::ENOSPC) if room < 1 << 20 => return Ok(None),
            _ => return Err(error),
        },
    };
    // SAFETY: `batch` is the variant of this command; the field is an integer.
    let count = unsafe { attr.batch.count } as usize;
    Ok(Some((count.min(room), (!end).then_some(Cursor(next)))))
}

/// Waits until every program run that has begun before has ended: `MEMBARRIER_CMD_GLOBAL` is `synchronize_rcu`, 8 ms
/// where measured. Kernels with `nohz_full` CPUs refuse it; a run takes microseconds, so there a moment is as good.
pub(super) fn wait_for_programs() -> io::Result<()> {
    const MEMBARRIER_CMD_GLOBAL: libc::c_long = 1;
    const A_MOMENT: std::time::Duration = std::time::Duration::from_millis(50);
    // SAFETY: no pointers.
    if unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if !matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EPERM)) {
        return Err(error);
    }
    #[expect(clippy::disallowed_methods, reason = "this kernel offers no event for it")]
    std::thread::sleep(A_MOMENT);
    Ok(())
}

/// getrandom(2): 64 random bits. Blocks only before the kernel's pool is seeded, early at boot.
pub(super) fn random_u64() -> io::Result<u64> {
    let mut bytes = [0u8; 8];
    // SAFETY: the kernel writes at most `bytes.len()` bytes to a buffer of that size.
    let written = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    match usize::try_from(written) {
        // Requests of up to 256 bytes are not cut short once the pool is seeded.
        Ok(written) if written == bytes.len() => Ok(u64::from_ne_bytes(bytes)),
        Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// `CLOCK_MONOTONIC_COARSE` in nanoseconds: the clock that the programs stamp sessions with.
pub(super) fn coarse_now_ns() -> io::Result<u64> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC_COARSE)?;
    let part = |value: i64| u64::try_from(value).map_err(io::Error::other);
    Ok(part(now.tv_sec())? * 1_000_000_000 + part(now.tv_nsec())?)
}
