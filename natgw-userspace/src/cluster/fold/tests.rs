mod two_sources;

use proptest::prelude::*;
use serde_json::json;

use super::*;

const KIND: Kind = Kind::IptablesEip;

fn eip(name: &str, v4ip: &Value) -> Watched {
    serde_json::from_value(json!({"metadata": {"name": name, "uid": name}, "spec": {"v4ip": v4ip}})).expect("an object")
}

fn names(fold: &Fold) -> Vec<&str> {
    fold.index().iter().map(|object| &*object.key.name).collect()
}

fn list(fold: &mut Fold, objects: &[Watched]) -> Change {
    let mut change = fold.take_event(KIND, Event::Init);
    for object in objects {
        change.add(fold.take_event(KIND, Event::InitApply(object.clone())));
    }
    change.add(fold.take_event(KIND, Event::InitDone));
    change
}

#[test]
fn what_a_new_list_does_not_name_is_gone() {
    let mut fold = Fold::default();
    list(&mut fold, &[eip("a", &json!("203.0.113.1")), eip("b", &json!("203.0.113.2"))]);
    assert_eq!(names(&fold), ["a", "b"]);
    let change = list(&mut fold, &[eip("b", &json!("203.0.113.2"))]);
    assert_eq!(names(&fold), ["b"]);
    assert_eq!(change, Change { desired: true, observed: true });
}

#[test]
fn a_list_that_breaks_off_removes_nothing() {
    let mut fold = Fold::default();
    list(&mut fold, &[eip("a", &json!("203.0.113.1")), eip("b", &json!("203.0.113.2"))]);
    fold.take_event(KIND, Event::Init);
    fold.take_event(KIND, Event::InitApply(eip("b", &json!("203.0.113.2"))));
    assert_eq!(names(&fold), ["a", "b"]);
    list(&mut fold, &[eip("a", &json!("203.0.113.1")), eip("b", &json!("203.0.113.2"))]);
    assert_eq!(names(&fold), ["a", "b"], "the names of the broken list count no more");
}

#[test]
fn the_same_again_is_no_change() {
    let mut fold = Fold::default();
    let object = eip("a", &json!("203.0.113.1"));
    list(&mut fold, std::slice::from_ref(&object));
    assert_eq!(fold.take_event(KIND, Event::Apply(object.clone())), Change::default());
    assert_eq!(list(&mut fold, &[object]), Change::default());
}

#[test]
fn a_change_of_status_alone_asks_for_nothing() {
    let mut fold = Fold::default();
    let mut object = eip("a", &json!("203.0.113.1"));
    list(&mut fold, std::slice::from_ref(&object));
    object.status = json!({"ready": true});
    assert_eq!(fold.take_event(KIND, Event::Apply(object)), Change { desired: false, observed: true });
    assert_eq!(fold.observed(&ObjectKey::new(KIND, "a")).map(|seen| &seen.status), Some(&json!({"ready": true})));
}

#[test]
fn what_asks_for_something_else_is_named_once_whichever_way_it_was_heard_of() {
    let key = |name: &str| ObjectKey::new(KIND, name);
    let mut fold = Fold::default();
    list(&mut fold, &[eip("a", &json!("203.0.113.1")), eip("b", &json!("203.0.113.2"))]);
    assert_eq!(fold.take_asked(), None, "at first it may be any");
    assert_eq!(fold.take_asked(), Some(BTreeSet::new()));
    let mut told = eip("a", &json!("203.0.113.1"));
    told.status = json!({"ready": true});
    fold.take_event(KIND, Event::Apply(told));
    assert_eq!(fold.take_asked(), Some(BTreeSet::new()), "only its status");
    fold.take_event(KIND, Event::Apply(eip("a", &json!("203.0.113.9"))));
    fold.take(KIND, Told::AtHand(vec![eip("c", &json!("203.0.113.3"))]));
    fold.take_event(KIND, Event::Delete(eip("b", &json!("203.0.113.2"))));
    assert_eq!(fold.take_asked(), Some(["a", "b", "c"].map(key).into()));
    // A list in which it is no more.
    list(&mut fold, &[eip("a", &json!("203.0.113.9"))]);
    assert_eq!(fold.take_asked(), Some(BTreeSet::from([key("c")])));
    // What cannot be read stays what it was.
    fold.take_event(KIND, Event::Apply(eip("a", &json!({"a": "map"}))));
    assert_eq!(fold.take_asked(), Some(BTreeSet::new()));
}

#[test]
fn objects_are_fresh_once_when_what_is_said_of_them_changes_or_they_go() {
    let key = |name: &str| ObjectKey::new(KIND, name);
    let mut fold = Fold::default();
    let mut object = eip("a", &json!("203.0.113.1"));
    list(&mut fold, &[object.clone(), eip("b", &json!("203.0.113.2"))]);
    assert_eq!(fold.take_fresh(), BTreeSet::from([key("a"), key("b")]));
    fold.take_event(KIND, Event::Apply(eip("a", &json!("203.0.113.9"))));
    assert_eq!(fold.take_fresh(), BTreeSet::new(), "a new spec is a matter of the next pass");
    object.status = json!({"ready": true});
    fold.take_event(KIND, Event::Apply(object));
    assert_eq!(fold.take_fresh(), BTreeSet::from([key("a")]));
    list(&mut fold, &[]);
    assert_eq!(fold.take_fresh(), BTreeSet::from([key("a"), key("b")]));
}

#[test]
fn a_malformed_object_keeps_its_last_good_version_and_no_other_is_touched() {
    let mut fold = Fold::default();
    list(&mut fold, &[eip("a", &json!("203.0.113.1")), eip("b", &json!("203.0.113.2"))]);
    let before = fold.index().clone();
    let change = fold.take_event(KIND, Event::Apply(eip("a", &json!({"x": 1}))));
    assert!(change.desired, "its condition changes");
    assert_eq!(*fold.index(), before);
    let problem = fold.malformed().next().expect("said");
    assert_eq!(problem.field, "spec.v4ip");
    assert!(problem.fix.contains("stays in force"), "{problem}");
    fold.take_event(KIND, Event::Apply(eip("a", &json!("203.0.113.9"))));
    assert_eq!(fold.malformed().count(), 0);
    fold.take_event(KIND, Event::Apply(eip("new", &json!(["x"]))));
    assert_eq!(names(&fold), ["a", "b"]);
    fold.take_event(KIND, Event::Delete(eip("new", &json!("x"))));
    assert_eq!(fold.malformed().count(), 0);
}

#[test]
fn all_required_kinds_are_listed_once_even_when_empty() {
    let mut fold = Fold::default();
    for kind in Kind::REQUIRED {
        assert!(fold.unlisted().any(|unlisted| unlisted == kind));
        fold.take_event(kind, Event::Init);
        fold.take_event(kind, Event::InitDone);
    }
    assert_eq!(fold.unlisted().count(), 0);
}

#[test]
fn what_is_at_hand_is_in_force_and_the_list_that_follows_removes_what_is_gone_from_it() {
    let mut fold = Fold::default();
    for kind in Kind::REQUIRED.into_iter().filter(|kind| *kind != KIND) {
        assert!(fold.take(kind, Told::AtHand(Vec::new())).desired, "also that there is none");
    }
    assert_eq!(fold.unknown().collect::<Vec<_>>(), [KIND]);
    let at_hand = vec![eip("a", &json!("203.0.113.1")), eip("b", &json!("203.0.113.2"))];
    assert_eq!(fold.take(KIND, Told::AtHand(at_hand)), Change { desired: true, observed: true });
    assert_eq!((fold.unknown().count(), fold.unlisted().count()), (0, Kind::REQUIRED.len()));
    assert_eq!(names(&fold), ["a", "b"]);

    let newest = [eip("b", &json!("203.0.113.9")), eip("c", &json!("203.0.113.3"))];
    assert_eq!(list(&mut fold, &newest), Change { desired: true, observed: true });
    let want: Index = newest.iter().map(|object| object.object(KIND).expect("valid")).collect();
    assert_eq!(*fold.index(), want);

    // An empty list too says something new: that it is complete.
    for kind in Kind::REQUIRED.into_iter().filter(|kind| *kind != KIND) {
        fold.take_event(kind, Event::Init);
        assert!(fold.take_event(kind, Event::InitDone).desired, "{kind}");
    }
    assert_eq!(fold.unlisted().count(), 0);
}

/// What somebody does to objects `0..4`.
#[derive(Debug, Clone)]
enum Act {
    Write(u8, u8),
    Delete(u8),
    Relist,
    /// Events of the last acts are delivered again.
    Repeat,
    /// The watch misses everything until the next list.
    Disconnect,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..4u8, 0..4u8).prop_map(|(name, value)| Act::Write(name, value)),
        2 => (0..4u8).prop_map(Act::Delete),
        1 => Just(Act::Relist),
        1 => Just(Act::Repeat),
        1 => Just(Act::Disconnect),
    ]
}

proptest! {
    /// Whatever happens and whatever the watch misses: after a list the index equals the server's objects, and while
    /// the watch is connected it equals them at every moment.
    #[test]
    fn any_history_gives_the_state_of_the_server(
        at_hand in prop::collection::vec((0..4u8, 0..4u8), 0..4),
        newest in prop::collection::vec((0..4u8, 0..4u8), 0..4),
        acts in prop::collection::vec(act(), 0..60),
    ) {
        let object = |(name, value): (u8, u8)| eip(&name.to_string(), &json!(format!("203.0.113.{value}")));
        let mut server: BTreeMap<String, Watched> =
            newest.into_iter().map(|(name, value)| (name.to_string(), object((name, value)))).collect();
        let mut fold = Fold::default();
        fold.take(KIND, Told::AtHand(at_hand.into_iter().map(object).collect()));
        list(&mut fold, &server.values().cloned().collect::<Vec<_>>());
        let (mut connected, mut last) = (true, None);
        for act in acts {
            let event = match act {
                Act::Write(name, value) => {
                    let object = object((name, value));
                    server.insert(name.to_string(), object.clone());
                    Some(Event::Apply(object))
                }
                Act::Delete(name) => server.remove(&name.to_string()).map(Event::Delete),
                Act::Relist => {
                    list(&mut fold, &server.values().cloned().collect::<Vec<_>>());
                    (connected, last) = (true, None);
                    None
                }
                Act::Repeat => last.clone(),
                Act::Disconnect => {
                    connected = false;
                    None
                }
            };
            if let (Some(event), true) = (event, connected) {
                fold.take_event(KIND, event.clone());
                last = Some(event);
            }
            if connected {
                let want: Index = server.values().map(|object| object.object(KIND).expect("valid")).collect();
                prop_assert_eq!(fold.index(), &want);
            }
        }
    }
}
