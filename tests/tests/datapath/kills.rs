//! SIGKILL between any two steps leaves something that the next start adopts.

use std::{
    thread,
    time::{Duration, Instant},
};

use natgw_common::abi::MAPS;
use natgw_userspace::datapath::{AttachMode, detach};

use crate::{
    child::{Child, Role},
    rig::{self, Rig},
};

const KILLS: u32 = 24;

/// How long the child needs for `role` after it is ready.
fn duration(rig: &Rig, role: Role) -> Duration {
    let child = Child::start(rig, role);
    child.wait_ready();
    let start = Instant::now();
    assert!(child.wait(), "{role:?}");
    start.elapsed()
}

/// Runs `role` and kills it after `delay`. Says whether it was killed at work.
fn kill_after(rig: &Rig, role: Role, delay: Duration) -> bool {
    let mut child = Child::start(rig, role);
    child.wait_ready();
    #[expect(clippy::disallowed_methods, reason = "the moment of the kill is the point of the test")]
    thread::sleep(delay);
    !child.ended()
}

/// A start after a kill: it must succeed and leave each program attached once.
fn converges(rig: &Rig, mode: AttachMode, how: &str, context: &str) {
    let started = rig.start(mode);
    let total = started.report.adopted.len() + started.report.created.len();
    assert_eq!(total, MAPS.len(), "{context}");
    drop(started);
    assert_eq!(rig.attached(), rig::once(how), "{context}");
    assert_eq!(rig::pins(rig.paths.progs()).into_keys().collect::<Vec<_>>(), ["sweep"], "{context}");
    assert_eq!(rig.map_ids().len(), MAPS.len(), "{context}");
    let again = rig.start(mode);
    assert!(again.report.created.is_empty() && again.report.warnings.is_empty(), "{context}: {:?}", again.report);
}

fn remove(rig: &Rig) {
    rig.ns.run(|| detach(&rig.paths, rig.lock())).unwrap();
}

#[test]
fn a_first_start_killed_anywhere_is_completed_by_the_next() {
    let rig = Rig::new();
    let whole = duration(&rig, Role::Tcx);
    let mut at_work = 0;
    for n in 0..KILLS {
        remove(&rig);
        let delay = whole * n / KILLS;
        at_work += u32::from(kill_after(&rig, Role::Tcx, delay));
        converges(&rig, AttachMode::Tcx, "tcx", &format!("killed after {delay:?} of {whole:?}"));
    }
    println!("{at_work} of {KILLS} first starts of {whole:?} were killed at work");
    assert!(at_work > KILLS / 2, "{at_work}");
}

#[test]
fn a_restart_killed_anywhere_keeps_every_program_attached_once() {
    let rig = Rig::new();
    let whole = duration(&rig, Role::Tcx);
    let ids = rig.map_ids();
    let mut at_work = 0;
    for n in 0..KILLS {
        let delay = whole * n / KILLS;
        at_work += u32::from(kill_after(&rig, Role::Tcx, delay));
        assert_eq!(rig.attached(), rig::once("tcx"), "killed after {delay:?}: no gap");
    }
    assert_eq!(rig.map_ids(), ids);
    converges(&rig, AttachMode::Tcx, "tcx", "after all kills");
    assert!(at_work > KILLS / 2, "{at_work}");
}

#[test]
fn a_change_of_mechanism_killed_anywhere_is_completed_by_the_next() {
    let rig = Rig::new();
    let whole = duration(&rig, Role::Tcx);
    for n in 0..KILLS {
        let delay = whole * n / KILLS;
        kill_after(&rig, if n % 2 == 0 { Role::Clsact } else { Role::Tcx }, delay);
        let attached = rig.attached();
        assert!(attached.values().all(|programs| !programs.is_empty()), "killed after {delay:?}: {attached:?}");
        converges(&rig, AttachMode::Tcx, "tcx", &format!("killed after {delay:?}"));
    }
}

#[test]
fn a_detach_killed_anywhere_is_repaired_by_a_start_or_finished_by_a_detach() {
    let rig = Rig::new();
    duration(&rig, Role::Tcx);
    let whole = duration(&rig, Role::Detach);
    for n in 0..KILLS {
        drop(rig.start(AttachMode::Tcx));
        let delay = whole * n / KILLS;
        kill_after(&rig, Role::Detach, delay);
        if n % 2 == 0 {
            // Maps that are gone are made anew; that is said in warnings, once.
            drop(rig.start(AttachMode::Tcx));
            converges(&rig, AttachMode::Tcx, "tcx", &format!("detach killed after {delay:?}"));
        } else {
            remove(&rig);
            assert_eq!(rig.attached(), rig::nowhere());
            assert!(!rig.paths.exists().unwrap());
        }
    }
}
