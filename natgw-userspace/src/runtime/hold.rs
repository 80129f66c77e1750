//! Fail static: what to program while the source has not been read completely yet.
//!
//! A daemon that starts and finds a broken manifest, or no API server, does not know which pinned rules it does not see.
//! Until one complete read, everything pinned stays and readable objects are only added. What is complete, the source
//! says.

use crate::core::{desired::DesiredState, plan::Actual};

/// `desired` with everything that is pinned and that it would remove. Flags are joined: they say which rules of other
/// kinds an address carries, and those may be in the part that could not be read.
#[must_use]
pub(super) fn hold(desired: &DesiredState, pinned: &Actual) -> DesiredState {
    let mut held = desired.clone();
    for (eip, old) in &pinned.eips {
        held.eips.entry(*eip).and_modify(|new| new.flags |= old.flags).or_insert(*old);
    }
    for (maps, old) in [(&mut held.fip_in, &pinned.fip_in), (&mut held.fip_out, &pinned.fip_out)] {
        for (key, old) in old {
            maps.entry(*key).and_modify(|new| new.flags |= old.flags).or_insert(*old);
        }
    }
    for (key, old) in &pinned.dnat {
        held.dnat.entry(*key).or_insert(*old);
    }
    for (key, old) in &pinned.snat {
        held.snat.entry(*key).or_insert(*old);
    }
    held
}

#[cfg(test)]
mod tests;
