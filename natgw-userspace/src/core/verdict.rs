//! What became of each object of a gateway, as the content of its `Programmed` condition.
//!
//! Pure: what the data plane refused is handed in. An object of another gateway has no verdict here; one that belongs to
//! no gateway yet (its EIP is missing) has the same verdict in all of them, so it does not matter who says it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashSet},
};

use super::{
    desired::DesiredState,
    diagnostic::{Diagnostic, Reason, Severity},
    index::Index,
    objects::{Kind, Object, ObjectKey, Spec},
};

/// Type of the condition.
pub const PROGRAMMED: &str = "Programmed";

/// Reasons of the condition besides those of [`Reason`].
pub mod reason {
    /// In the data plane; the message may hold a warning.
    pub const PROGRAMMED: &str = "Programmed";
    /// The kernel refused it; the message says what and why.
    pub const DATA_PLANE_ERROR: &str = "DataPlaneError";
    /// The external interface is absent, so the address is nowhere.
    pub const INTERFACE_MISSING: &str = "InterfaceMissing";
}

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is in force.
    pub programmed: bool,
    /// Why, as a stable word.
    pub reason: Cow<'static, str>,
    /// For people: fields, what is wrong, what to do.
    pub message: Cow<'static, str>,
    /// `metadata.generation` of what was judged.
    pub generation: i64,
}

/// What the data plane could not do, by object.
pub type Failures = BTreeMap<ObjectKey, (&'static str, String)>;

/// Objects whose present spec cannot be read, and the `metadata.generation` of that.
pub type Unread = BTreeMap<ObjectKey, i64>;

/// The verdict on every object that is `gateway`'s, and on those that are nobody's because of a mistake.
#[must_use]
pub fn verdicts(
    index: &Index,
    gateway: &str,
    state: &DesiredState,
    diagnostics: &[Diagnostic],
    unread: &Unread,
    failures: &Failures,
) -> BTreeMap<ObjectKey, Verdict> {
    let mut said: BTreeMap<&ObjectKey, Vec<&Diagnostic>> = BTreeMap::new();
    for diagnostic in diagnostics {
        if let Some(key) = &diagnostic.object {
            said.entry(key).or_default().push(diagnostic);
        }
    }
    let own = ObjectKey::new(Kind::VpcNatGateway, gateway);
    let ours = state.owners.values().chain(failures.keys()).chain([&own]).chain(said.keys().copied());
    let ours: HashSet<&ObjectKey> = ours.collect();
    let objects = index.iter().filter(|object| object.key.kind != Kind::Subnet && ours.contains(&object.key));
    let objects = objects.filter(|object| !unread.contains_key(&object.key) || !is_elsewhere(index, gateway, object));
    let judged = objects.map(|object| {
        let key = &object.key;
        let said = said.get(key).map_or(&[][..], Vec::as_slice);
        let verdict = match unread.get(key) {
            Some(generation) => judge_unread(said, *generation),
            None => judge(said, failures.get(key), object.generation),
        };
        (key.clone(), verdict)
    });
    let mut verdicts: BTreeMap<_, _> = judged.collect();
    // Nobody can know whose a rule or an EIP is that was never right, so all gateways say the same of it.
    let never_read = unread.iter().filter(|(key, _)| match key.kind {
        Kind::IptablesEip | Kind::IptablesFipRule | Kind::IptablesDnatRule | Kind::IptablesSnatRule => true,
        Kind::VpcNatGateway => *key.name == *gateway,
        Kind::QosPolicy | Kind::Subnet => false,
    });
    let never_read = never_read.filter(|(key, _)| index.get(key).is_none());
    let never_read =
        never_read.filter_map(|(key, generation)| Some((key.clone(), judge_unread(said.get(key)?, *generation))));
    verdicts.extend(never_read);
    verdicts.extend(policies(index, gateway, unread));
    verdicts
}

/// Whether what could last be read of an object makes it another gateway's.
fn is_elsewhere(index: &Index, gateway: &str, object: &Object) -> bool {
    let of_eip = |name: Option<&String>| {
        let eip = index.get(&ObjectKey::new(Kind::IptablesEip, name?.as_str()))?;
        if let Spec::IptablesEip(spec) = &eip.spec { spec.nat_gw_dp.as_deref() } else { None }
    };
    let owner = match &object.spec {
        Spec::VpcNatGateway(_) => Some(&*object.key.name),
        Spec::IptablesEip(spec) => spec.nat_gw_dp.as_deref(),
        Spec::IptablesFipRule(spec) => of_eip(spec.eip.as_ref()),
        Spec::IptablesDnatRule(spec) => of_eip(spec.eip.as_ref()),
        Spec::IptablesSnatRule(spec) => of_eip(spec.eip.as_ref()),
        // Whoever uses it says what there is to say.
        Spec::QosPolicy(_) => return true,
        Spec::Subnet(_) => None,
    };
    owner.is_some_and(|owner| owner != gateway)
}

/// What is wrong with the spec that cannot be read; what was wrong with the one before is no matter any more.
fn judge_unread(said: &[&Diagnostic], generation: i64) -> Verdict {
    let unread: Vec<_> = said.iter().copied().filter(|one| one.reason == Reason::InvalidObject).collect();
    judge(&unread, None, generation)
}

fn judge(said: &[&Diagnostic], failure: Option<&(&'static str, String)>, generation: i64) -> Verdict {
    let errors: Vec<_> = said.iter().copied().filter(|one| one.severity == Severity::Error).collect();
    if let Some(first) = errors.first() {
        return Verdict {
            programmed: false,
            reason: Cow::Owned(first.reason.to_string()),
            message: Cow::Owned(sentences(&errors)),
            generation,
        };
    }
    if let Some((reason, message)) = failure {
        return Verdict {
            programmed: false,
            reason: Cow::Borrowed(reason),
            message: Cow::Owned(message.clone()),
            generation,
        };
    }
    // Never empty: an API server of 1.20 takes an empty text in a server-side apply for null, and refuses it.
    let message =
        if said.is_empty() { Cow::Borrowed("in force") } else { Cow::Owned(format!("warning: {}", sentences(said))) };
    Verdict { programmed: true, reason: Cow::Borrowed(reason::PROGRAMMED), message, generation }
}

/// `FIELD: MESSAGE (FIX)`, several with a semicolon.
fn sentences(said: &[&Diagnostic]) -> String {
    let one = |diagnostic: &&Diagnostic| {
        let Diagnostic { field, message, fix, .. } = diagnostic;
        if field.is_empty() { format!("{message} ({fix})") } else { format!("{field}: {message} ({fix})") }
    };
    said.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Bandwidth policies that the gateway or one of its EIPs names.
fn policies<'a>(
    index: &'a Index,
    gateway: &'a str,
    unread: &'a Unread,
) -> impl Iterator<Item = (ObjectKey, Verdict)> + 'a {
    let names = index.iter().filter_map(move |object| match &object.spec {
        Spec::VpcNatGateway(spec) if *object.key.name == *gateway => spec.qos_policy.as_deref(),
        Spec::IptablesEip(spec) if spec.nat_gw_dp.as_deref() == Some(gateway) => spec.qos_policy.as_deref(),
        Spec::VpcNatGateway(_)
        | Spec::IptablesEip(_)
        | Spec::IptablesFipRule(_)
        | Spec::IptablesDnatRule(_)
        | Spec::IptablesSnatRule(_)
        | Spec::QosPolicy(_)
        | Spec::Subnet(_) => None,
    });
    names.collect::<BTreeSet<_>>().into_iter().filter_map(|name| {
        let object = index.get(&ObjectKey::new(Kind::QosPolicy, name))?;
        let verdict = Verdict {
            programmed: false,
            reason: Cow::Owned(Reason::Unsupported.to_string()),
            message: Cow::Borrowed("bandwidth limits are not enforced: traffic passes without a limit"),
            generation: unread.get(&object.key).copied().unwrap_or(object.generation),
        };
        Some((object.key.clone(), verdict))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{dnat, eip, eip_on, fip, gateway};

    fn judge_all(objects: Vec<crate::core::objects::Object>, failures: &Failures) -> BTreeMap<String, Verdict> {
        let index: Index = objects.into_iter().collect();
        let (state, diagnostics) = DesiredState::build(&index, "gw1");
        let verdicts = verdicts(&index, "gw1", &state, &diagnostics, &Unread::new(), failures);
        verdicts.into_iter().map(|(key, verdict)| (key.to_string(), verdict)).collect()
    }

    fn world() -> Vec<crate::core::objects::Object> {
        vec![
            gateway("gw1", &[]),
            eip("a", "203.0.113.10"),
            eip_on("far", "203.0.113.99", "gw2"),
            fip("good", "a", "10.0.1.2"),
            fip("second", "a", "10.0.1.3"),
            fip("orphan", "nowhere", "10.0.1.4"),
            dnat("theirs", "far", "tcp/80", "10.0.1.2:80"),
        ]
    }

    #[test]
    fn every_object_of_the_gateway_has_a_verdict_and_others_have_none() {
        let verdicts = judge_all(world(), &Failures::new());
        let said: Vec<_> = verdicts.iter().map(|(key, v)| format!("{key} {} {}", v.programmed, v.reason)).collect();
        assert_eq!(
            said,
            [
                "IptablesEIP/a true Programmed",
                "IptablesFIPRule/good true Programmed",
                "IptablesFIPRule/orphan false EipMissing",
                "IptablesFIPRule/second false DuplicateFip",
                "VpcNatGateway/gw1 true Programmed",
            ]
        );
        let second = &verdicts["IptablesFIPRule/second"];
        assert!(second.message.starts_with("spec.eip: ") && second.message.contains("`good`"), "{second:?}");
    }

    #[test]
    fn what_the_data_plane_refused_is_not_programmed() {
        let key = ObjectKey::new(Kind::IptablesFipRule, "good");
        let failures = Failures::from([(key, (reason::DATA_PLANE_ERROR, "map `FIP_IN` is full".to_owned()))]);
        let verdict = &judge_all(world(), &failures)["IptablesFIPRule/good"];
        assert_eq!((verdict.programmed, &*verdict.reason), (false, reason::DATA_PLANE_ERROR));
        assert_eq!(verdict.message, "map `FIP_IN` is full");
    }

    #[test]
    fn what_cannot_be_read_has_a_verdict_unless_it_was_another_gateways() {
        let world: Index = world().into_iter().collect();
        let (state, mut diagnostics) = DesiredState::build(&world, "gw1");
        let mut unread = Unread::new();
        for (kind, name, generation) in [
            (Kind::IptablesFipRule, "good", 4),
            // What it said before had an error of its own.
            (Kind::IptablesFipRule, "second", 7),
            (Kind::IptablesDnatRule, "theirs", 5),
            (Kind::IptablesDnatRule, "never", 6),
            (Kind::VpcNatGateway, "gw9", 8),
            (Kind::QosPolicy, "unused", 9),
        ] {
            unread.insert(ObjectKey::new(kind, name), generation);
            diagnostics.push(Diagnostic {
                severity: Severity::Error,
                reason: Reason::InvalidObject,
                object: Some(ObjectKey::new(kind, name)),
                field: "spec.eip".to_owned(),
                message: "a map".to_owned(),
                fix: "write a string".to_owned(),
                location: None,
            });
        }
        let verdicts = verdicts(&world, "gw1", &state, &diagnostics, &unread, &Failures::new());
        let said = |kind, name: &str| {
            let verdict = verdicts.get(&ObjectKey::new(kind, name))?;
            Some((verdict.reason.as_ref(), verdict.message.as_ref(), verdict.generation))
        };
        let text = "spec.eip: a map (write a string)";
        assert_eq!(said(Kind::IptablesFipRule, "good"), Some(("InvalidObject", text, 4)));
        assert_eq!(said(Kind::IptablesFipRule, "second"), Some(("InvalidObject", text, 7)));
        assert_eq!(said(Kind::IptablesDnatRule, "theirs"), None);
        assert_eq!((said(Kind::VpcNatGateway, "gw9"), said(Kind::QosPolicy, "unused")), (None, None));
        assert_eq!(said(Kind::IptablesDnatRule, "never"), Some(("InvalidObject", text, 6)));
    }

    #[test]
    fn a_policy_that_is_used_is_said_to_be_not_enforced() {
        let mut objects = world();
        let Spec::IptablesEip(spec) = &mut objects[1].spec else { panic!("the EIP comes second") };
        spec.qos_policy = Some("slow".to_owned());
        for name in ["slow", "unused"] {
            objects.push(crate::core::objects::Object::new(name, crate::core::objects::QosPolicySpec::default()));
        }
        let verdicts = judge_all(objects, &Failures::new());
        assert_eq!(verdicts["QoSPolicy/slow"].reason, "Unsupported");
        assert!(!verdicts.contains_key("QoSPolicy/unused"));
        let eip = &verdicts["IptablesEIP/a"];
        assert!(eip.programmed && eip.message.starts_with("warning: spec.qosPolicy"), "{eip:?}");
    }
}
