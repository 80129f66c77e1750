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
mod tests {
    use natgw_common::abi::{DnatKey, DnatTarget, EipEntry, EipFlags, Fip, FipFlags};

    use super::*;
    use crate::core::plan::{MapOp, plan};

    const EIP: [u8; 4] = [203, 0, 113, 10];
    const NEW: [u8; 4] = [203, 0, 113, 11];
    const POD: [u8; 4] = [10, 0, 0, 5];

    fn pinned() -> Actual {
        let mut actual = Actual::default();
        actual.eips.insert(EIP, EipEntry { flags: EipFlags::Fip as u32 | EipFlags::Snat as u32 });
        actual.fip_in.insert(EIP, Fip { addr: POD, flags: FipFlags::Stateful as u32 });
        actual.dnat.insert(DnatKey::new(EIP, [0, 80], 6), DnatTarget::new(POD, [0, 80]));
        actual
    }

    #[test]
    fn nothing_read_means_nothing_changes() {
        let held = hold(&DesiredState::default(), &pinned());
        assert!(plan(&held, &pinned()).is_empty());
    }

    #[test]
    fn readable_objects_are_added_and_nothing_is_removed_or_loses_a_flag() {
        let mut desired = DesiredState::default();
        desired.eips.insert(NEW, EipEntry { flags: 0 });
        desired.eips.insert(EIP, EipEntry { flags: EipFlags::Fip as u32 });
        desired.fip_in.insert(EIP, Fip { addr: POD, flags: 0 });
        let plan = plan(&hold(&desired, &pinned()), &pinned());
        assert_eq!(plan.ops, [MapOp::PutEip(NEW, EipEntry { flags: 0 })]);
        assert!(plan.end.is_empty());
    }

    #[test]
    fn a_changed_target_is_written() {
        let key = DnatKey::new(EIP, [0, 80], 6);
        let mut desired = DesiredState::default();
        desired.dnat.insert(key, DnatTarget::new(POD, [0, 81]));
        let plan = plan(&hold(&desired, &pinned()), &pinned());
        assert_eq!(plan.ops, [MapOp::PutDnat(key, DnatTarget::new(POD, [0, 81]))]);
    }
}
