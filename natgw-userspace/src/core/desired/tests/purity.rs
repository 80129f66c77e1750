//! The desired state is a function of the set of objects: the way there does not matter.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

/// Objects that get in each other's way: few names, few addresses, some of them wrong.
pub(super) fn object() -> impl Strategy<Value = Object> {
    let name = || select(vec!["n1", "n2", "n3"]);
    let eip_name = || select(vec!["n1", "n2", "n3", "nope", ""]);
    let pod = || select(vec!["10.0.1.2", "10.0.1.3", "fd00::1"]);
    let plain =
        prop_oneof![
            (name(), select(vec!["203.0.113.10", "203.0.113.11", "bad", ""]), select(vec!["gw1", "gw2", ""]))
                .prop_map(|(n, a, g)| eip_on(n, a, g)),
            (name(), eip_name(), pod()).prop_map(|(n, e, p)| fip(n, e, p)),
            (name(), eip_name(), select(vec!["tcp/80", "TCP/80", "udp/80", "tcp/0"]), pod())
                .prop_map(|(n, e, o, p)| dnat(n, e, o, &format!("{}:80", p.replace(':', "")))),
            (name(), eip_name(), select(vec!["10.0.1.0/24", "10.0.1.9/24", "10.0.0.0/8", "x"]))
                .prop_map(|(n, e, c)| snat(n, e, c)),
            select(vec!["gw1", "gw2"]).prop_map(|n| gateway(n, &[("10.1.0.0/16", "gateway")])),
        ];
    (plain, prop::option::of(0_u32..3)).prop_map(|(object, age)| match age {
        Some(seconds) => aged(object, seconds),
        None => object,
    })
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Apply(Object),
    Delete(ObjectKey),
    Reset(Vec<Object>),
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => object().prop_map(Step::Apply),
        2 => object().prop_map(|object| Step::Delete(object.key)),
        1 => vec(object(), 0..6).prop_map(Step::Reset),
    ]
}

pub(super) fn run(index: &mut Index, step: Step) {
    match step {
        Step::Apply(object) => index.apply(object),
        Step::Delete(key) => index.delete(&key),
        Step::Reset(objects) => index.reset(objects),
    }
}

/// The last version of each object: what is left when the duplicates are gone.
fn set(objects: Vec<Object>) -> BTreeMap<ObjectKey, Object> {
    objects.into_iter().map(|object| (object.key.clone(), object)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_history_that_ends_in_the_same_objects_gives_the_same_state(
        past in vec(step(), 0..20),
        objects in vec(object(), 0..14),
        seed in any::<u64>(),
        twice in any::<bool>(),
    ) {
        let wanted = set(objects);
        let straight: Index = wanted.values().cloned().collect();
        let want = DesiredState::build(&straight, "gw1");

        // Whatever happened before, then every wanted object in some order, and the rest deleted.
        let mut index = Index::new();
        for step in past {
            run(&mut index, step);
        }
        let mut order: Vec<_> = wanted.values().cloned().collect();
        let turn = usize::try_from(seed % 31).unwrap_or(0) % order.len().max(1);
        order.rotate_left(turn);
        if seed % 2 == 0 {
            order.reverse();
        }
        for object in order.iter().chain(order.iter().filter(|_| twice)) {
            index.apply(object.clone());
        }
        let stale: Vec<_> = index.iter().map(|o| o.key.clone()).filter(|key| !wanted.contains_key(key)).collect();
        for key in &stale {
            index.delete(key);
        }
        prop_assert_eq!(DesiredState::build(&index, "gw1"), want.clone());

        index.reset(order.into_iter().rev());
        prop_assert_eq!(DesiredState::build(&index, "gw1"), want);
    }

    #[test]
    fn every_entry_has_an_owner_and_rules_only_name_programmed_eips(objects in vec(object(), 0..20)) {
        let (state, diagnostics) = DesiredState::build(&objects.into_iter().collect(), "gw1");
        for (eip, fip) in &state.fip_in {
            prop_assert!(state.eips.contains_key(eip) && state.owner(&Entry::Fip(*eip)).is_some());
            prop_assert!(state.fip_out.contains_key(&fip.addr));
        }
        for (pod, fip) in &state.fip_out {
            prop_assert_eq!(state.fip_in.get(&fip.addr).map(|f| f.addr), Some(*pod));
        }
        for key in state.dnat.keys() {
            prop_assert!(state.eips.contains_key(&key.eip) && state.owner(&Entry::Dnat(*key)).is_some());
        }
        for (cidr, pool) in &state.snat {
            for eip in &pool.eips[..pool.count as usize] {
                prop_assert!(state.eips.contains_key(eip));
                let entry = Entry::Snat { cidr: *cidr, eip: *eip };
                prop_assert!(state.owner(&entry).is_some());
            }
        }
        // An object with an error is nowhere; one without is somewhere.
        for diagnostic in diagnostics.iter().filter(|d| d.severity == Severity::Error) {
            let key = diagnostic.object.as_ref().expect("core names the object");
            prop_assert!(!state.owners.values().any(|owner| owner == key), "{} is programmed", key);
        }
    }
}
