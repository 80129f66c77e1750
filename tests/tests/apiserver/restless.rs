//! Objects that never come to rest: conditions are told all the same, and each is about what it says it is about.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use natgw_tests::{
    ClusterLab, Proto,
    cluster::shared,
    topology::POD2,
    traffic::{Traffic, rules},
};
use natgw_userspace::core::objects::Kind;
use serde_json::{Value, json};

/// How long they do not rest.
const LONG: Duration = Duration::from_secs(6);
/// A condition has to be told within this meanwhile.
const SOON: Duration = Duration::from_secs(3);
/// Objects that change all the time.
const RESTLESS: u16 = 4;

/// Ends the others when the test does, also by a panic.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn programmed(object: &Value) -> Option<&Value> {
    natgw_tests::cluster_lab::find(object, "Programmed")
}

#[test]
fn conditions_are_told_while_objects_change_and_never_of_a_generation_that_was_not_judged() {
    let cluster = shared();
    let with = (0..=RESTLESS).fold(rules(), |rules, n| rules.dnat("eip1", Proto::Tcp, 3000 + n, POD2, 1));
    let lab = ClusterLab::new(&cluster, &with);
    let traffic = Traffic::start(&lab.net);
    let name = |n: u16| lab.objects.name(&format!("dnat-eip1-tcp-{}", 3000 + n));
    let stop = AtomicBool::new(false);
    let (mut waits, mut judged) = (Vec::new(), 0);
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        for n in 0..RESTLESS {
            let (lab, name, stop) = (&lab, name(n), &stop);
            scope.spawn(move || {
                for port in (1..=9).cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                    let spec = json!({"spec": {"internalPort": port.to_string()}});
                    lab.objects.patch(Kind::IptablesDnatRule, &name, &spec);
                }
            });
        }
        // One among them is good and bad by turns: of each generation it is known which.
        let (begun, watched) = (Instant::now(), name(RESTLESS));
        while begun.elapsed() < LONG {
            let good = waits.len() % 2 == 1;
            let port = if good { "1" } else { "70000" };
            lab.objects.patch(Kind::IptablesDnatRule, &watched, &json!({"spec": {"internalPort": port}}));
            let (written, generation) = (Instant::now(), generation(&lab, &watched));
            loop {
                let object = lab.objects.get(Kind::IptablesDnatRule, &watched);
                let condition = programmed(&object).filter(|it| it["observedGeneration"] == generation);
                if let Some(condition) = condition {
                    assert_eq!(condition["status"] == "True", good, "generation {generation}: {condition}");
                    judged += 1;
                    break;
                }
                assert!(written.elapsed() < SOON, "nothing is said of generation {generation}: {object}");
            }
            waits.push(written.elapsed());
        }
    });
    waits.sort();
    println!("{judged} generations judged, the slowest after {:?}", waits.last());
    assert!(judged > 4, "{waits:?}");
    traffic.assert_unharmed(&lab.net);
}

fn generation(lab: &ClusterLab<'_>, name: &str) -> Value {
    lab.objects.get(Kind::IptablesDnatRule, name)["metadata"]["generation"].clone()
}
