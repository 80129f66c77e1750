//! Fail static: what to program while the source has not been read completely yet.
//!
//! A daemon that starts and finds a broken manifest, or no API server, does not know which pinned rules it does not see.
//! Until one complete read, everything pinned stays and readable objects are only added. What is complete, the source
//! says.

use natgw_common::abi::{Fip, SnatPool};

use crate::core::{desired::DesiredState, plan::Actual};

/// `desired` with everything that is pinned and that it would remove. Flags are joined: they say which rules of other
/// kinds an address carries, and those may be in the part that could not be read.
#[must_use]
pub(super) fn hold(desired: &DesiredState, pinned: &Actual) -> DesiredState {
    let mut held = desired.clone();
    for (eip, old) in &pinned.eips {
        held.eips.entry(*eip).and_modify(|new| new.flags |= old.flags).or_insert(*old);
    }
    for (key, old) in &pinned.dnat {
        held.dnat.entry(*key).or_insert(*old);
    }
    for (key, old) in &pinned.snat {
        held.snat.entry(*key).and_modify(|new| join(new, old)).or_insert(*old);
    }
    hold_fips(desired, pinned, &mut held);
    held
}

/// A pool's EIPs are rules of their own.
fn join(new: &mut SnatPool, old: &SnatPool) {
    for eip in old.eips.iter().take(old.count as usize) {
        let used = new.count as usize;
        let known = new.eips.iter().take(used).any(|known| known == eip);
        if let Some(slot) = new.eips.get_mut(used).filter(|_| !known) {
            *slot = *eip;
            new.count += 1;
        }
    }
}

/// Floating IPs are held by their EIP. Which one its pod's packets leave with depends on the age of rules that may not
/// have been read.
fn hold_fips(desired: &DesiredState, pinned: &Actual, held: &mut DesiredState) {
    for (eip, old) in &pinned.fip_in {
        held.fip_in.entry(*eip).and_modify(|new| new.flags |= old.flags).or_insert(*old);
    }
    for (pod, old) in &pinned.fip_out {
        let eip = old.addr;
        if held.fip_in.get(&eip).is_some_and(|fip| fip.addr != *pod) {
            // What was read gives the EIP to another pod. This one may have a second.
            let other = held.fip_in.iter().find(|(_, fip)| fip.addr == *pod).map(|(eip, _)| *eip);
            if let Some(addr) = other {
                held.fip_out.entry(*pod).or_insert(Fip { addr, flags: 0 });
            }
        } else if desired.fip_in.contains_key(&eip) {
            // Both rules were read, or only this one.
            held.fip_out.entry(*pod).and_modify(|new| new.flags |= old.flags).or_insert(*old);
        } else {
            // Its flows go on as they are.
            held.fip_out.insert(*pod, *old);
        }
    }
    held.mark_stateful();
}

#[cfg(test)]
mod tests;
