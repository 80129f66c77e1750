//! Creating sessions: the atomic claim of an external tuple.
//!
//! `SESSIONS` first, with `NOEXIST`: whoever inserts owns the tuple. Then `FLOWS`, the index for the other direction;
//! if that cannot be had, the claim is taken back. Removal goes the other way round, and only by the one who swapped
//! `last_seen_ns` to dead, so two CPUs never remove or reuse one session together.

use super::{
    Env, Inserted, SessionCell, Tuple,
    lifetime::{alive, read, refresh},
};
use crate::{
    abi::{DnatKey, DropReason, FlowKey, Origin, Session, SessionKey, SessionStat},
    tcp_state::{Sender, TcpState},
    wire::{Transport, proto},
};

/// Ports tried for one new flow.
pub const PROBES: u32 = 16;

/// How long a removal may take before somebody else does it.
const REMOVAL_NS: u64 = 1_000_000_000;

/// What is asked for: the flow as the internal host sees it, and as the outside shall see it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The session key, with the port to start from.
    pub key: SessionKey,
    /// The record.
    pub session: Session,
}

impl Wanted {
    /// A session between the internal host of `inside` (its source) and what the outside sees, `outside`.
    #[inline(always)]
    pub(super) fn new<E: Env>(
        env: &E,
        inside: Tuple,
        outside: Tuple,
        (proto, transport, sender): (u8, Transport, Sender),
        origin: Origin,
    ) -> Self {
        // As the asker's packet would look, whoever sent this one: the role is the same for both directions.
        let key = match sender {
            Sender::Internal => {
                let flow = outside.flow_key(proto, transport);
                SessionKey {
                    ext_addr: flow.int_addr,
                    peer_addr: flow.peer_addr,
                    ext_port: flow.int_port,
                    peer_port: flow.peer_port,
                    proto,
                    role: flow.role,
                    _pad: [0; 2],
                }
            }
            Sender::Peer => outside.reversed().session_key(proto, transport),
        };
        let now = env.now();
        let state = match transport {
            Transport::Tcp(_) => TcpState::first(sender) as u32,
            Transport::Udp
            | Transport::QueryRequest
            | Transport::QueryReply
            | Transport::IcmpError
            | Transport::Other => 0,
        };
        let session = Session {
            #[cfg(feature = "abi-next")]
            made_by: u64::from(crate::abi::ABI_VERSION),
            last_seen_ns: now,
            created_ns: now,
            state,
            // The port may still change: set when it is claimed.
            tag: 0,
            int_addr: inside.src,
            peer_addr: inside.dst,
            int_port: inside.sport,
            peer_port: inside.dport,
            origin: origin as u32,
        };
        Self { key, session }
    }
}

/// Whether a packet may begin a session. A FIN, RST or ICMP reply of an unknown flow is a leftover of a dead one.
#[inline(always)]
pub(super) const fn may_begin(transport: Transport) -> bool {
    use crate::tcp_state::TcpEvent;
    match transport {
        Transport::Tcp(TcpEvent::Syn | TcpEvent::Data)
        | Transport::Udp
        | Transport::QueryRequest
        | Transport::Other => true,
        Transport::Tcp(TcpEvent::Fin | TcpEvent::Rst) | Transport::QueryReply | Transport::IcmpError => false,
    }
}

/// Whether a live session of another flow has the tuple of `wanted`: a packet that needs no session, but leaves with
/// that tuple, would pass for one of that flow.
#[inline(always)]
pub(super) fn is_anothers<E: Env>(env: &E, wanted: &Wanted) -> bool {
    let Some((cell, _)) = read(env, &wanted.key) else { return false };
    let seen = cell.last_seen_ns();
    alive(env, cell, seen, wanted.key.proto) && !same_flow(cell, &wanted.session)
}

/// The outcome of one claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Claim {
    /// The tuple is ours (now, or already was).
    Ours = 0,
    /// The same internal flow has another session, made meanwhile by another CPU; its key is now the wanted one.
    Other = 1,
    /// The tuple is somebody else's.
    Taken = 2,
    /// As [`Claim::Taken`], but both of its ends have closed.
    TakenClosed = 3,
    /// No room.
    Full = 4,
}

impl Claim {
    /// The claim with this number.
    #[must_use]
    #[inline(always)]
    pub const fn from_u32(value: u32) -> Self {
        match value {
            0 => Self::Ours,
            1 => Self::Other,
            3 => Self::TakenClosed,
            4 => Self::Full,
            _ => Self::Taken,
        }
    }
}

/// Which sessions a claim may take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Steal {
    /// Expired ones.
    Expired = 0,
    /// Also TCP sessions that both ends have closed.
    Closed = 1,
}

/// How free the choice of a port is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Ports {
    /// Exactly the wanted one: the flow came from outside.
    Exact = 0,
    /// The wanted one if possible, else any.
    Any = 1,
}

/// Opens the session `wanted`; its key then has the port that was found.
///
/// # Errors
///
/// Why the flow is refused.
#[inline(always)]
pub fn open<E: Env>(env: &E, wanted: &mut Wanted, ports: Ports) -> Result<(), DropReason> {
    if wanted.session.created_ns < env.config().hold_until_ns {
        return Err(DropReason::Migrating);
    }
    match ports {
        Ports::Exact => open_exact(env, wanted),
        Ports::Any => open_any(env, wanted),
    }
}

#[inline(always)]
fn open_exact<E: Env>(env: &E, wanted: &mut Wanted) -> Result<(), DropReason> {
    // A SYN from outside to a port whose last connection has closed: take it over at once.
    match env.claim(wanted, Steal::Closed) {
        Claim::Ours => Ok(()),
        Claim::Full => Err(refuse(env, DropReason::TableFull)),
        Claim::Other | Claim::Taken | Claim::TakenClosed => Err(DropReason::FlowConflict),
    }
}

/// Ports with a DNAT rule are never used: replies would be taken for new flows of that rule once the session is gone.
/// A pod keeps its port on its own floating IP, which goes before such a rule.
#[inline(always)]
fn open_any<E: Env>(env: &E, wanted: &mut Wanted) -> Result<(), DropReason> {
    // Everything that can be read from `wanted` again is: in the kernel each value that lives across a claim takes stack,
    // of which a chain of functions has 512 bytes.
    let mut closed = None;
    let mut i = 0;
    while i < PROBES {
        if i > 0 {
            wanted.key.ext_port = random_port(env);
        }
        i += 1;
        // In this order: the verifier walks every path, and few ports are reserved.
        if reserved(env, &wanted.key) && !is_own_address(wanted) {
            continue;
        }
        match env.claim(wanted, Steal::Expired) {
            Claim::Ours | Claim::Other => return Ok(()),
            Claim::Full => return Err(refuse(env, DropReason::TableFull)),
            Claim::TakenClosed => closed = Some(wanted.key.ext_port),
            Claim::Taken => {}
        }
        if !has_ports(&wanted.key) {
            // One internal host per peer and protocol; there is no port to tell a second one apart by.
            return Err(refuse(env, DropReason::UnsupportedProtocol));
        }
    }
    // Nothing free among those probed: take over a connection that both of its ends have closed.
    if let Some(closed) = closed {
        wanted.key.ext_port = closed;
        match env.claim(wanted, Steal::Closed) {
            Claim::Ours | Claim::Other => return Ok(()),
            Claim::Full | Claim::Taken | Claim::TakenClosed => {}
        }
    }
    Err(refuse(env, DropReason::NoPort))
}

#[inline(always)]
fn refuse<E: Env>(env: &E, reason: DropReason) -> DropReason {
    env.count(if matches!(reason, DropReason::TableFull) {
        SessionStat::RefusedTableFull
    } else {
        SessionStat::RefusedNoPort
    });
    reason
}

/// Whether there is a port (of ICMP, an identifier) that could be another one.
#[inline(always)]
const fn has_ports(key: &SessionKey) -> bool {
    key.proto == proto::TCP || key.proto == proto::UDP || key.role != 0
}

/// Whether the external address is the internal host's floating IP.
#[inline(always)]
fn is_own_address(wanted: &Wanted) -> bool {
    let Wanted { key, session } = wanted;
    // Behind a hairpin, a client without one looks like the EIP that it dialled.
    session.origin == Origin::Fip as u32
        || (session.origin == Origin::Hairpin as u32 && session.peer_addr != key.ext_addr)
}

/// Whether a DNAT rule has this port.
#[inline(always)]
fn reserved<E: Env>(env: &E, key: &SessionKey) -> bool {
    (key.proto == proto::TCP || key.proto == proto::UDP)
        && env.dnat(&DnatKey::new(key.ext_addr, key.ext_port, key.proto)).is_some()
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "scaled into the 16-bit range just before")]
fn random_port<E: Env>(env: &E) -> [u8; 2] {
    let config = env.config();
    let span = u32::from(config.port_max.saturating_sub(config.port_min)) + 1;
    // Multiply-shift instead of a remainder: no division, and no bias worth a port.
    let offset = (u64::from(env.random()) * u64::from(span)) >> 32;
    (config.port_min.wrapping_add(offset as u16)).to_be_bytes()
}

/// Claims the tuple `wanted.key` for `wanted.session`.
#[inline(always)]
pub fn claim<E: Env>(env: &E, wanted: &mut Wanted, steal: Steal) -> Claim {
    let Wanted { key, session } = wanted;
    session.tag = key.tag();
    let flow = session.flow_key(key);
    let mut inserted = env.insert_session(key, session);
    if inserted == Inserted::Exists {
        if let Some(cell) = env.claimed(key) {
            let seen = cell.last_seen_ns();
            if alive(env, cell, seen, key.proto) {
                if same_flow(cell, session) {
                    refresh(cell, seen, env.now());
                    return link(env, wanted, &flow, (steal, Had::Session));
                }
                if !is_closed(cell, key.proto) {
                    return Claim::Taken;
                }
                if steal == Steal::Expired {
                    return Claim::TakenClosed;
                }
            }
            if !remove(env, key, cell, seen) {
                return Claim::Taken;
            }
            env.count(SessionStat::Reclaimed);
        }
        // Once more, now that it is gone; perhaps somebody else had just removed it.
        inserted = env.insert_session(key, session);
    }
    match inserted {
        Inserted::Yes => link(env, wanted, &flow, (steal, Had::Nothing)),
        Inserted::Exists => Claim::Taken,
        Inserted::Full => Claim::Full,
    }
}

/// What there was before a claim.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Had {
    /// The session is new.
    Nothing,
    /// The tuple was ours already: a retransmission raced us, or the index entry was lost or leads elsewhere.
    Session,
}

/// Makes the index lead to the session of `wanted`. If that fails, a session just claimed is given up.
#[inline(always)]
fn link<E: Env>(env: &E, wanted: &mut Wanted, flow: &FlowKey, (steal, had): (Steal, Had)) -> Claim {
    let mut inserted = env.insert_flow(flow, &wanted.key);
    let mut led_here = false;
    if inserted == Inserted::Exists {
        match displace(env, flow, wanted, steal) {
            // Left behind by the tuple's last session, or another CPU has just repaired it.
            Some(other) if other == wanted.key => led_here = true,
            Some(other) => {
                if had == Had::Nothing {
                    env.remove_session(&wanted.key);
                }
                wanted.key = other;
                return Claim::Other;
            }
            None => inserted = env.insert_flow(flow, &wanted.key),
        }
    }
    let linked = led_here || inserted == Inserted::Yes;
    match had {
        Had::Nothing if linked => env.count(SessionStat::Created),
        Had::Nothing => env.remove_session(&wanted.key),
        Had::Session if inserted == Inserted::Yes => env.count(SessionStat::IndexRepaired),
        Had::Session => {}
    }
    match inserted {
        Inserted::Full => Claim::Full,
        Inserted::Exists if !linked && had == Had::Nothing => Claim::Taken,
        Inserted::Exists | Inserted::Yes => Claim::Ours,
    }
}

/// Clears a stale index entry; `Some` if it leads to the wanted session or to another live one of the same flow.
#[inline(always)]
fn displace<E: Env>(env: &E, flow: &FlowKey, wanted: &Wanted, steal: Steal) -> Option<SessionKey> {
    let other = env.flow(flow)?;
    if other == wanted.key {
        return Some(other);
    }
    if let Some(cell) = env.session(&other)
        && same_flow(cell, &wanted.session)
    {
        let seen = cell.last_seen_ns();
        let gives_way =
            steal == Steal::Closed && (is_closed(cell, other.proto) || yields(cell, other.proto, &wanted.session));
        if !gives_way && alive(env, cell, seen, other.proto) {
            return Some(other);
        }
        if remove_with(env, &other, cell, (seen, flow)) {
            env.count(SessionStat::Reclaimed);
        }
        return None;
    }
    // No map compares and deletes at once. An entry that was replaced meanwhile stays;
    if env.flow(flow) == Some(other) {
        env.remove_flow(flow);
    }
    // and one that was right after all, because another CPU has just made that session anew, is put back.
    let cell = env.session(&other)?;
    let seen = cell.last_seen_ns();
    let anew = same_flow(cell, &wanted.session) && alive(env, cell, seen, other.proto);
    (anew && env.insert_flow(flow, &other) != Inserted::Full).then_some(other)
}

/// Whether both ends have closed the connection.
#[inline(always)]
fn is_closed<C: SessionCell>(cell: C, proto: u8) -> bool {
    proto == proto::TCP && cell.state() == TcpState::Closed as u32
}

/// Whether the pod has begun `cell` without its peer ever accepting it, while now the peer itself comes through a mapping to
/// that pod; the cell is closed then. A pod that speaks first on a connection of before a reboot begins such a flow: the
/// mapping's EIP is not what the peer sees, so it answers with an RST, or not at all.
#[inline(always)]
fn yields<C: SessionCell>(cell: C, protocol: u8, wanted: &Session) -> bool {
    protocol == proto::TCP
        && wanted.origin == Origin::Dnat as u32
        && cell.fixed().origin == Origin::Snat as u32
        // An answer that another CPU translates just now goes first.
        && cell.swap_state(TcpState::OpeningInternal as u32, TcpState::Closed as u32)
}

#[inline(always)]
fn same_flow<C: SessionCell>(cell: C, session: &Session) -> bool {
    let fixed = cell.fixed();
    fixed.int_addr == session.int_addr
        && fixed.int_port == session.int_port
        && fixed.peer_addr == session.peer_addr
        && fixed.peer_port == session.peer_port
}

/// Removes the session `cell`, judged by its last sight `seen`; `false` if it was refreshed since, if its memory holds
/// another session by now, or if somebody else is removing it.
#[inline(always)]
pub(super) fn remove<E: Env>(env: &E, key: &SessionKey, cell: E::Cell, seen: u64) -> bool {
    let fixed = cell.fixed();
    let flow = FlowKey {
        int_addr: fixed.int_addr,
        peer_addr: fixed.peer_addr,
        int_port: fixed.int_port,
        peer_port: fixed.peer_port,
        proto: key.proto,
        role: key.role,
        _pad: [0; 2],
    };
    remove_with(env, key, cell, (seen, &flow))
}

/// [`remove`] with the key of its index entry at hand.
#[inline(always)]
fn remove_with<E: Env>(env: &E, key: &SessionKey, cell: E::Cell, (seen, flow): (u64, &FlowKey)) -> bool {
    let now = env.now();
    // A removal takes microseconds; one that began long ago has failed half-way and is taken over.
    let other_removes = seen & Session::DEAD != 0 && now.saturating_sub(seen & !Session::DEAD) < REMOVAL_NS;
    if other_removes || cell.tag() != key.tag() || !cell.swap_last_seen(seen, now | Session::DEAD) {
        return false;
    }
    // The index may already lead to a younger session of the same flow.
    if env.flow(flow) == Some(*key) {
        env.remove_flow(flow);
    }
    env.remove_session(key);
    true
}
