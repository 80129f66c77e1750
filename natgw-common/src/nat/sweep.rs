//! Second-line removal: user space proposes, this re-checks and removes.

use super::{Env, SessionCell, claim::remove, lifetime::alive};
use crate::abi::{SessionStat, SweepItem, SweepOp};

/// Removes the session of `item` if it still is the one that was proposed and, for [`SweepOp::Expired`], has not been
/// refreshed meanwhile. Says whether it did.
#[inline(always)]
pub fn sweep<E: Env>(env: &E, op: SweepOp, item: &SweepItem) -> bool {
    let Some(cell) = env.session(&item.key) else { return false };
    let seen = cell.last_seen_ns();
    if cell.created_ns() != item.created_ns {
        return false;
    }
    match op {
        SweepOp::Expired => {
            let gone = !alive(env, cell, seen, item.key.proto) && remove(env, &item.key, cell, seen);
            if gone {
                env.count(SessionStat::Swept);
            }
            gone
        }
        SweepOp::Ended => {
            // A packet may refresh it between the read and the swap: the rule is gone all the same.
            let gone = remove(env, &item.key, cell, seen) || remove(env, &item.key, cell, cell.last_seen_ns());
            if gone {
                env.count(SessionStat::Ended);
            }
            gone
        }
    }
}
