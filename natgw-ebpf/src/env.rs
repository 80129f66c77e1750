//! The kernel as the NAT's environment: maps, clock, randomness, routes.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_NOEXIST, bpf_fib_lookup},
    helpers::{
        bpf_get_prandom_u32,
        generated::{bpf_fib_lookup as fib_lookup, bpf_ktime_get_coarse_ns},
    },
    maps::lpm_trie::Key,
};
use natgw_common::{
    abi::{
        Config, Counter, DnatKey, DnatTarget, DropReason, EipEntry, Fip, FlowKey, Session, SessionKey, SessionStat,
        SnatPool,
    },
    nat::{self, Claim, Env, ErrorRewrite, Exit, Inserted, Ports, Steal, Tuple, Wanted},
    wire::Packet,
};

use crate::{
    cell::Cell,
    decision::{Decision, Kind, addresses, decide, decide_inner, ports, what},
    maps::{CONFIG, COUNTERS, DNAT, DROPS, EIPS, FIP_IN, FIP_OUT, FLOWS, SESSION_STATS, SESSIONS, SNAT},
    skb::Skb,
};

const AF_INET: u8 = 2;
/// `BPF_FIB_LKUP_RET_SUCCESS`, `_NO_NEIGH` and `_FRAG_NEEDED` (the packet is too big for it): there is a route.
const FIB_FOUND: [i64; 3] = [0, 7, 8];
/// [`natgw_open`]: done. Everything else is a drop reason.
const OPENED: u32 = u32::MAX;
const EEXIST: i32 = -17;

/// The environment of one run of a program.
pub(crate) struct Kernel {
    skb: Skb,
    /// Where to note what was decided; null where nothing is to be.
    decision: *mut Decision,
    config: &'static Config,
}

impl Kernel {
    /// `None` until user space has written `CONFIG`.
    #[inline(always)]
    pub(crate) fn new(skb: Skb, decision: *mut Decision) -> Option<Self> {
        let config = CONFIG.get(0)?;
        (config.ext_ifindex != 0).then_some(Self { skb, decision, config })
    }

    /// An environment for code that looks at no packet.
    #[inline(always)]
    pub(crate) fn without_packet() -> Option<Self> {
        Self::new(Skb(core::ptr::null_mut()), core::ptr::null_mut())
    }

    /// The interface of `exit`; 0 for the kernel's own forwarding.
    #[inline(always)]
    fn ifindex(&self, exit: Exit) -> u32 {
        match exit {
            Exit::External => self.config.ext_ifindex,
            Exit::Internal => self.config.int_ifindex,
            Exit::Kernel => 0,
        }
    }

    /// Counts a packet that was passed or translated.
    #[inline(always)]
    pub(crate) fn traffic(counter: u32, bytes: u32) {
        if let Some(traffic) = COUNTERS.get_ptr_mut(counter) {
            // SAFETY: this CPU's slot of a per-CPU map; a program is not preempted by another on the same CPU's slot
            // except in a nested interrupt, where a lost count is the only harm.
            unsafe {
                (*traffic).packets += 1;
                (*traffic).bytes += u64::from(bytes);
            }
        }
    }

    /// Counts a packet that was dropped.
    #[inline(always)]
    pub(crate) fn dropped(reason: u32, bytes: u32) {
        if let Some(traffic) = DROPS.get_ptr_mut(reason) {
            // SAFETY: as in `traffic`.
            unsafe {
                (*traffic).packets += 1;
                (*traffic).bytes += u64::from(bytes);
            }
        }
    }
}

#[inline(always)]
fn inserted(result: Result<(), i32>) -> Inserted {
    match result {
        Ok(()) => Inserted::Yes,
        Err(EEXIST) => Inserted::Exists,
        // E2BIG: full; ENOMEM and EBUSY leave the new flow just as unserved.
        Err(_) => Inserted::Full,
    }
}

/// A copy of a key or value for the helper of a map. Until Linux 6.1 the verifier takes none that lies in the argument of
/// a global function (`R2 type=mem expected=fp`), where [`natgw_claim`] has them. Of what is on the stack already the
/// compiler keeps one copy.
#[inline(always)]
const fn on_stack<T: Copy>(of: T) -> T {
    of
}

/// The interface that the kernel would forward a packet from `int_ifindex` by; 0 if it would not forward it.
///
/// Its own function, for the sake of the 64 bytes of stack. `kind` is the protocol and, above it, the TOS.
#[inline(never)]
extern "C" fn route(skb: *mut __sk_buff, int_ifindex: u32, kind: u32, src: u32, dst: u32) -> u32 {
    let mut params = FibParams::new();
    let params = params.as_mut();
    params.family = AF_INET;
    params.l4_protocol = kind as u8;
    params.__bindgen_anon_2.tos = (kind >> 8) as u8;
    params.__bindgen_anon_3.ipv4_src = src;
    params.__bindgen_anon_4.ipv4_dst = dst;
    params.ifindex = int_ifindex;
    // The MTU is checked later, for the real way out; with a length given the helper skips its own check.
    params.__bindgen_anon_1.tot_len = 20;
    // SAFETY: the pointer and the length are those of `params`.
    let found = unsafe { fib_lookup(skb.cast(), &raw mut *params, size_of::<bpf_fib_lookup>() as i32, 0) };
    if FIB_FOUND.contains(&found) { params.ifindex } else { 0 }
}

/// `struct bpf_fib_lookup`, zeroed word by word: one `memset` would be a call that the verifier refuses.
struct FibParams(core::mem::MaybeUninit<bpf_fib_lookup>);

impl FibParams {
    #[inline(always)]
    fn new() -> Self {
        let mut params = core::mem::MaybeUninit::<bpf_fib_lookup>::uninit();
        let words = params.as_mut_ptr().cast::<u32>();
        let mut i = 0;
        while i < size_of::<bpf_fib_lookup>() / 4 {
            // SAFETY: inside the structure, which is 4-aligned and a multiple of 4 long; volatile keeps it stores.
            unsafe { words.add(i).write_volatile(0) };
            i += 1;
        }
        Self(params)
    }

    #[inline(always)]
    fn as_mut(&mut self) -> &mut bpf_fib_lookup {
        // SAFETY: all of it was written, and zero is a value of every field.
        unsafe { self.0.assume_init_mut() }
    }
}

impl Env for Kernel {
    type Cell = Cell;
    type Verdict = ();

    #[inline(always)]
    fn pass(&self, count: Counter) {
        decide(self.decision, what(Kind::Pass, count as u32), 0, 0, 0);
    }

    #[inline(always)]
    fn drop(&self, reason: DropReason) {
        decide(self.decision, what(Kind::Drop, reason as u32), 0, 0, 0);
    }

    #[inline(always)]
    fn translate(&self, to: Tuple, count: Counter, exit: Exit) {
        let what = what(Kind::Translate, count as u32);
        decide(self.decision, what, self.ifindex(exit), addresses(to.src, to.dst), ports(to));
    }

    #[inline(always)]
    fn translate_error(&self, to: ErrorRewrite, count: Counter, exit: Exit) {
        let what = what(Kind::TranslateError, count as u32);
        decide(self.decision, what, self.ifindex(exit), addresses(to.src, to.dst), ports(to.inner));
        decide_inner(self.decision, addresses(to.inner.src, to.inner.dst));
    }

    #[inline(always)]
    fn config(&self) -> &Config {
        self.config
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        // SAFETY: no arguments.
        unsafe { bpf_ktime_get_coarse_ns() }
    }

    #[inline(always)]
    fn random(&self) -> u32 {
        // SAFETY: no arguments.
        unsafe { bpf_get_prandom_u32() }
    }

    #[inline(always)]
    fn route(&self, packet: &Packet) -> Exit {
        let [src, dst] = [packet.ip.src, packet.ip.dst].map(u32::from_ne_bytes);
        let kind = u32::from(packet.ip.proto) | u32::from(packet.ip.tos) << 8;
        let ifindex = route(self.skb.0, self.config.int_ifindex, kind, src, dst);
        if ifindex == self.config.ext_ifindex {
            Exit::External
        } else if ifindex == self.config.int_ifindex {
            Exit::Internal
        } else {
            Exit::Kernel
        }
    }

    #[inline(always)]
    fn eip(&self, addr: [u8; 4]) -> Option<EipEntry> {
        // SAFETY: entries are replaced, never mutated in place, by user space only; copied at once.
        unsafe { EIPS.get(addr).copied() }
    }

    #[inline(always)]
    fn fip_in(&self, eip: [u8; 4]) -> Option<Fip> {
        // SAFETY: as in `eip`.
        unsafe { FIP_IN.get(eip).copied() }
    }

    #[inline(always)]
    fn fip_out(&self, pod: [u8; 4]) -> Option<Fip> {
        // SAFETY: as in `eip`.
        unsafe { FIP_OUT.get(pod).copied() }
    }

    #[inline(always)]
    fn dnat(&self, key: &DnatKey) -> Option<DnatTarget> {
        // SAFETY: as in `eip`.
        unsafe { DNAT.get(key).copied() }
    }

    #[inline(always)]
    fn snat(&self, src: [u8; 4]) -> Option<&SnatPool> {
        SNAT.get(&Key::new(32, src))
    }

    #[inline(always)]
    fn session(&self, key: &SessionKey) -> Option<Cell> {
        SESSIONS.get_ptr_mut(key).map(Cell)
    }

    #[inline(always)]
    fn claimed(&self, key: &SessionKey) -> Option<Cell> {
        SESSIONS.get_ptr_mut(on_stack(*key)).map(Cell)
    }

    #[inline(always)]
    fn flow(&self, key: &FlowKey) -> Option<SessionKey> {
        // SAFETY: written once, by `insert_flow`; copied at once.
        unsafe { FLOWS.get(key).copied() }
    }

    #[inline(always)]
    fn insert_session(&self, key: &SessionKey, value: &Session) -> Inserted {
        inserted(SESSIONS.insert(on_stack(*key), on_stack(*value), u64::from(BPF_NOEXIST)))
    }

    #[inline(always)]
    fn insert_flow(&self, key: &FlowKey, value: &SessionKey) -> Inserted {
        inserted(FLOWS.insert(key, on_stack(*value), u64::from(BPF_NOEXIST)))
    }

    #[inline(always)]
    fn remove_session(&self, key: &SessionKey) {
        // Gone already is as good.
        let _ = SESSIONS.remove(on_stack(*key));
    }

    #[inline(always)]
    fn remove_flow(&self, key: &FlowKey) {
        let _ = FLOWS.remove(key);
    }

    #[inline(always)]
    fn claim(&self, wanted: &mut Wanted, steal: Steal) -> Claim {
        Claim::from_u32(natgw_claim(&raw mut *wanted, steal as u32))
    }

    #[inline(always)]
    fn open(&self, wanted: &mut Wanted, ports: Ports) -> Result<(), DropReason> {
        match natgw_open(&raw mut *wanted, ports as u32) {
            OPENED => Ok(()),
            reason if reason == DropReason::NoPort as u32 => Err(DropReason::NoPort),
            reason if reason == DropReason::TableFull as u32 => Err(DropReason::TableFull),
            reason if reason == DropReason::UnsupportedProtocol as u32 => Err(DropReason::UnsupportedProtocol),
            reason if reason == DropReason::Migrating as u32 => Err(DropReason::Migrating),
            _ => Err(DropReason::FlowConflict),
        }
    }

    #[inline(always)]
    fn count(&self, stat: SessionStat) {
        if let Some(count) = SESSION_STATS.get_ptr_mut(stat as u32) {
            // SAFETY: as in `traffic`.
            unsafe { *count += 1 };
        }
    }
}

/// [`nat::claim`] as a global function: the verifier checks it once, for any `wanted`.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn natgw_claim(wanted: *mut Wanted, steal: u32) -> u32 {
    // SAFETY: the verifier holds callers to a pointer to a whole `Wanted`, or null.
    let Some(wanted) = (unsafe { wanted.as_mut() }) else { return Claim::Taken as u32 };
    let Some(env) = Kernel::without_packet() else { return Claim::Taken as u32 };
    let steal = if steal == Steal::Closed as u32 { Steal::Closed } else { Steal::Expired };
    nat::claim(&env, wanted, steal) as u32
}

/// [`nat::open`] as a global function.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn natgw_open(wanted: *mut Wanted, ports: u32) -> u32 {
    // SAFETY: as in `natgw_claim`.
    let Some(wanted) = (unsafe { wanted.as_mut() }) else { return DropReason::FlowConflict as u32 };
    let Some(env) = Kernel::without_packet() else { return DropReason::FlowConflict as u32 };
    let ports = if ports == Ports::Exact as u32 { Ports::Exact } else { Ports::Any };
    match nat::open(&env, wanted, ports) {
        Ok(()) => OPENED,
        Err(reason) => reason as u32,
    }
}
