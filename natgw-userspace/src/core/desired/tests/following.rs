//! What is kept and mended is what would be built.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    purity::{Step, run, step},
    *,
};

/// Port mappings that want the same few ports, so that each change decides anew who has one.
fn mapping() -> impl Strategy<Value = Step> {
    let name = || select(vec!["n1", "n2", "n3", "n4", "n5", "n6"]);
    let eip = select(vec!["n1", "n2", "n3", "nope"]);
    let port = select(vec!["tcp/80", "udp/80", "tcp/81", "tcp/0"]);
    // The first two may be elastic IPs themselves.
    let pod = select(vec!["203.0.113.10", "203.0.113.11", "10.0.1.2"]);
    let rule = (name(), eip, port, pod, prop::option::of(0_u32..3), 0..8);
    let rule = rule.prop_map(|(name, eip, port, pod, age, deleting)| {
        let rule = dnat(name, eip, port, &format!("{pod}:80"));
        let rule = Object { deleting: deleting == 0, ..rule };
        age.map_or(rule.clone(), |seconds| aged(rule, seconds))
    });
    let gone = name().prop_map(|name| Step::Delete(ObjectKey::new(Kind::IptablesDnatRule, name)));
    prop_oneof![4 => rule.prop_map(Step::Apply), 1 => gone]
}

/// An elastic IP that waits for its finalizer, or no longer.
fn leaving() -> impl Strategy<Value = Step> {
    let known = select(vec![("n1", "203.0.113.10"), ("n2", "203.0.113.11"), ("n3", "203.0.113.12")]);
    (known, any::<bool>())
        .prop_map(|((name, address), deleting)| Step::Apply(Object { deleting, ..eip(name, address) }))
}

/// Mostly mappings; now and then anything.
fn change() -> impl Strategy<Value = Step> {
    prop_oneof![16 => mapping(), 2 => leaving(), 1 => step()]
}

/// What a source tells of a step; nothing when everything may be another.
fn told(step: &Step) -> Option<ObjectKey> {
    match step {
        Step::Apply(object) => Some(object.key.clone()),
        Step::Delete(key) => Some(key.clone()),
        Step::Reset(_) => None,
    }
}

/// Enough mappings that a few changed ones are few.
fn crowd() -> impl Iterator<Item = Object> {
    (1..200).map(|n| dnat(&format!("crowd-{n}"), "n1", &format!("udp/{}", 1000 + n), "10.0.1.2:80"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn following_changes_comes_to_what_building_anew_comes_to(rounds in vec(vec(change(), 1..4), 1..40)) {
        let eips = [eip("n1", "203.0.113.10"), eip("n2", "203.0.113.11")];
        let mut index: Index = crowd().chain(eips).chain([gateway("gw1", &[])]).collect();
        let mut following = Following::default();
        following.build(&index, "gw1");
        for steps in rounds {
            let changed: Option<BTreeSet<_>> = steps.iter().map(told).collect();
            let before = following.state().clone();
            for step in steps {
                run(&mut index, step);
            }
            if let Some(changed) = changed {
                following.follow(&index, "gw1", &changed);
            } else {
                crowd().for_each(|mapping| index.apply(mapping));
                following.build(&index, "gw1");
            }
            let (state, said) = DesiredState::build(&index, "gw1");
            prop_assert_eq!(&**following.state(), &state);
            prop_assert_eq!(following.diagnostics(), said);
            // Whoever compares the pointers sees every change, and none that is none.
            prop_assert_eq!(std::sync::Arc::ptr_eq(&before, following.state()), *before == state);
        }
    }
}

#[test]
fn a_change_among_many_mappings_is_mended_and_not_built_anew() {
    let mut index: Index = crowd().chain([eip("n1", "203.0.113.10"), gateway("gw1", &[])]).collect();
    let mut following = Following::default();
    following.build(&index, "gw1");
    let rule = dnat("new", "n1", "tcp/443", "10.0.1.3:8443");
    let changed = BTreeSet::from([rule.key.clone()]);
    index.apply(rule);
    assert!(!following.mended());
    following.follow(&index, "gw1", &changed);
    assert!(following.mended());
    assert_eq!(following.state().dnat.len(), 200);
    // Another kind builds everything.
    let more = eip("n2", "203.0.113.11");
    let changed = BTreeSet::from([more.key.clone()]);
    index.apply(more);
    following.follow(&index, "gw1", &changed);
    assert!(!following.mended());
    assert_eq!(following.state().eips.len(), 2);
}
