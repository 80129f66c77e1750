//! `BPF_PROG_TEST_RUN` for classifiers, with the flags that aya 0.14 keeps to itself.
//!
//! aya's `TestRunOptions` cannot ask for a `CHECKSUM_COMPLETE` packet; everything else here is what it does too.

use std::{
    io,
    mem::{offset_of, size_of},
    os::fd::{AsRawFd as _, BorrowedFd},
};

use natgw_common::abi::{SessionKey, SweepItem};
use thiserror::Error;

/// `BPF_PROG_TEST_RUN` of `enum bpf_cmd`.
const PROG_TEST_RUN: libc::c_long = 10;
/// `BPF_F_TEST_SKB_CHECKSUM_COMPLETE` (Linux 6.15, a3cfe84cca28): the kernel also checks the sum afterwards.
const CHECKSUM_COMPLETE: u32 = 1 << 2;
/// Words of `struct __sk_buff`, and where the ones are that a caller may set.
const CONTEXT_WORDS: usize = 48;
const INGRESS_IFINDEX: usize = 9;
const IFINDEX: usize = 10;
const DATA_END: usize = 20;

/// The `test` member of `union bpf_attr`.
#[repr(C)]
#[derive(Default)]
struct Attr {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    _pad: u32,
}

/// What a program is run with.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The frame, from the Ethernet header on.
    pub frame: &'a [u8],
    /// The interface the packet is on; 0 for the namespace's loopback.
    pub ifindex: u32,
    /// The interface it came in by; 0 for a packet of this machine.
    pub ingress_ifindex: u32,
    /// How often; the verdict and the frame are those of the last run.
    pub repeat: u32,
    /// Let the packet be `CHECKSUM_COMPLETE`.
    pub checksum_complete: bool,
    /// How many bytes are in the linear part; `None` for all.
    pub linear: Option<u32>,
}

impl<'a> Input<'a> {
    /// One run of a plain frame that came in by `ifindex`.
    #[must_use]
    pub fn new(frame: &'a [u8], ifindex: u32) -> Self {
        Self { frame, ifindex, ingress_ifindex: ifindex, repeat: 1, checksum_complete: false, linear: None }
    }
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// What the program returned.
    pub verdict: i32,
    /// The frame after it.
    pub frame: Vec<u8>,
    /// Mean duration of one run.
    pub nanoseconds: u32,
}

/// The kernel did not run the program, or did not like the packet afterwards.
#[derive(Debug, Error)]
pub enum TestRunError {
    /// `EINVAL` for an option that this kernel does not know.
    #[error("this kernel has no such option of BPF_PROG_TEST_RUN")]
    Unsupported,
    /// `EBADMSG`: the sum of a `CHECKSUM_COMPLETE` packet is no longer that of its bytes.
    #[error("the program left a wrong sum in a CHECKSUM_COMPLETE packet")]
    WrongSum,
    /// Anything else.
    #[error("BPF_PROG_TEST_RUN: {0}")]
    Failed(#[source] io::Error),
}

/// Runs a program.
///
/// # Errors
/// See [`TestRunError`].
pub(crate) fn test_run(program: BorrowedFd<'_>, input: &Input<'_>) -> Result<Output, TestRunError> {
    let mut context = [0_u32; CONTEXT_WORDS];
    context[INGRESS_IFINDEX] = input.ingress_ifindex;
    context[IFINDEX] = input.ifindex;
    context[DATA_END] = input.linear.unwrap_or(0);
    let mut frame = vec![0_u8; input.frame.len() + 64];
    let size = |bytes: usize| u32::try_from(bytes).expect("frames and contexts are small");
    loop {
        let mut attr = Attr {
            prog_fd: u32::try_from(program.as_raw_fd()).expect("an open descriptor is not negative"),
            data_size_in: size(input.frame.len()),
            data_in: input.frame.as_ptr() as u64,
            data_size_out: size(frame.len()),
            data_out: frame.as_mut_ptr() as u64,
            repeat: input.repeat,
            ctx_size_in: size(size_of_val(&context)),
            ctx_in: context.as_ptr() as u64,
            flags: if input.checksum_complete { CHECKSUM_COMPLETE } else { 0 },
            ..Attr::default()
        };
        // SAFETY: the descriptor is open, every pointer is that of a buffer above with its own length, and the kernel
        // writes only into `frame` and `attr`.
        let result = unsafe { libc::syscall(libc::SYS_bpf, PROG_TEST_RUN, &raw mut attr, size_of::<Attr>()) };
        if result == 0 {
            frame.truncate(attr.data_size_out as usize);
            return Ok(Output { verdict: attr.retval.cast_signed(), frame, nanoseconds: attr.duration });
        }
        let error = io::Error::last_os_error();
        let optional = input.checksum_complete || input.linear.is_some();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EINVAL) if optional => return Err(TestRunError::Unsupported),
            Some(libc::EBADMSG) if optional => return Err(TestRunError::WrongSum),
            _ => return Err(TestRunError::Failed(error)),
        }
    }
}

/// The input of `natgw_sweep`, as `SweepItem` documents it: sessions by key and creation time.
pub(crate) fn sweep_input(op: u32, items: &[(SessionKey, u64)], announced: u32) -> Vec<u8> {
    let mut input = vec![0; 16];
    input.extend(op.to_ne_bytes());
    input.extend(announced.to_ne_bytes());
    for (key, created_ns) in items {
        let start = input.len();
        for part in [&key.ext_addr[..], &key.peer_addr, &key.ext_port, &key.peer_port, &[key.proto, key.role], &[0; 2]]
        {
            input.extend(part);
        }
        assert_eq!(input.len() - start, offset_of!(SweepItem, created_ns));
        input.extend(created_ns.to_ne_bytes());
    }
    input
}
