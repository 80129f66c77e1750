//! How long a session lives: idle limits, refreshing, and the TCP state that chooses the limit.

use super::{Env, Fixed, SessionCell};
use crate::{
    abi::{Session, SessionKey, SessionStat, Timeouts},
    tcp_state::{Sender, TcpState},
    wire::{Transport, proto},
};

/// `last_seen_ns` is written at most this often, so that an established flow costs no write per packet.
const REFRESH_NS: u64 = 1_000_000_000;

/// Idle nanoseconds after which a session of `proto` in `state` is expired.
#[must_use]
#[inline(always)]
pub const fn idle_limit(timeouts: &Timeouts, proto: u8, state: u32) -> u64 {
    match proto {
        proto::UDP => timeouts.udp_ns,
        proto::ICMP => timeouts.icmp_ns,
        proto::TCP => match TcpState::from_u32(state) {
            Some(TcpState::Established) => timeouts.tcp_established_ns,
            Some(
                TcpState::OpeningInternal
                | TcpState::OpeningPeer
                | TcpState::AnsweredByPeer
                | TcpState::AnsweredByInternal,
            )
            | None => timeouts.tcp_opening_ns,
            Some(TcpState::FinInternal | TcpState::FinPeer | TcpState::Closed) => timeouts.tcp_closing_ns,
            Some(TcpState::Reset) => timeouts.tcp_transitory_ns,
        },
        _ => timeouts.other_ns,
    }
}

/// Whether a session last seen at `last_seen_ns` is past its `limit`. A dead one is.
#[must_use]
#[inline(always)]
pub const fn expired(last_seen_ns: u64, limit: u64, now: u64) -> bool {
    // A clock that seems to run backwards (another CPU's coarse tick) is no reason to expire anything.
    last_seen_ns & Session::DEAD != 0 || now.saturating_sub(last_seen_ns) > limit
}

/// Looks up a session and reads its unchanging part; `None` also if the entry was reused under our hands.
#[inline(always)]
pub(super) fn read<E: Env>(env: &E, key: &SessionKey) -> Option<(E::Cell, Fixed)> {
    let cell = env.session(key)?;
    let fixed = cell.fixed();
    (cell.tag() == key.tag()).then_some((cell, fixed))
}

/// Whether `cell`, last seen at `seen`, is alive. The caller has read `seen` because that, and nothing read later, is
/// what a removal may rest on.
#[inline(always)]
pub(super) fn alive<E: Env>(env: &E, cell: E::Cell, seen: u64, proto: u8) -> bool {
    let limit = idle_limit(&env.config().timeouts, proto, cell.state());
    !expired(seen, limit, env.now())
}

/// Records a sight of the session `cell`, last seen at `seen`.
#[inline(always)]
pub(super) fn refresh<C: SessionCell>(cell: C, seen: u64, now: u64) {
    // Losing this swap to another packet is as good as winning it; losing it to a removal is noticed by the next one.
    if now.saturating_sub(seen) >= REFRESH_NS {
        cell.swap_last_seen(seen, now);
    }
}

/// Records a packet of a session; `false` if the session is expired or dead, which makes the packet one of a new flow.
#[inline(always)]
pub(super) fn touch<E: Env>(env: &E, cell: E::Cell, proto: u8, transport: Transport, sender: Sender) -> bool {
    let (seen, now) = (cell.last_seen_ns(), env.now());
    let state = cell.state();
    if expired(seen, idle_limit(&env.config().timeouts, proto, state), now) {
        return false;
    }
    // Before the state: the new one may have a shorter limit, by which nobody must judge the old sight.
    refresh(cell, seen, now);
    if let Transport::Tcp(event) = transport
        && let Some(old) = TcpState::from_u32(state)
    {
        let new = old.next(event, sender);
        if new as u32 != state && cell.swap_state(state, new as u32) {
            let closing = matches!(old, TcpState::FinInternal | TcpState::FinPeer | TcpState::Closed | TcpState::Reset);
            if closing && matches!(new, TcpState::OpeningInternal | TcpState::OpeningPeer) {
                env.count(SessionStat::Reopened);
            }
        }
    }
    true
}
