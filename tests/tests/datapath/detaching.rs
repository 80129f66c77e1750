//! Removal of the data plane.

use std::fs;

use natgw_userspace::datapath::{AttachMode, GatewayPaths, Lock, detach};

use crate::rig::{self, Rig};

#[test]
fn detach_leaves_nothing() {
    for mode in [AttachMode::Tcx, AttachMode::Clsact] {
        let rig = Rig::new();
        drop(rig.start(mode));
        let lock = rig.lock();
        let report = rig.ns.run(|| detach(&rig.paths, lock)).unwrap();
        assert_eq!(rig.attached(), rig::nowhere());
        assert!(!rig.paths.exists().unwrap());
        assert!(!rig.scratch.bpffs().join("natgw").exists());
        for part in ["natgw_ext_out", "map SESSIONS", "program sweep"] {
            assert!(report.removed.iter().any(|line| line.contains(part)), "{part}: {report:?}");
        }
    }
}

#[test]
fn detach_of_nothing_is_no_error_and_says_nothing() {
    let rig = Rig::new();
    let report = rig.ns.run(|| detach(&rig.paths, rig.lock())).unwrap();
    assert!(report.removed.is_empty(), "{report:?}");
    assert!(!rig.scratch.bpffs().join("natgw").exists());
}

#[test]
fn detach_removes_links_whose_interface_is_gone() {
    let rig = Rig::new();
    drop(rig.start(AttachMode::Tcx));
    rig.ns.ip(&["link del net1".into(), "link del eth0".into()]);
    rig.ns.run(|| detach(&rig.paths, rig.lock())).unwrap();
    assert!(!rig.paths.exists().unwrap());
}

#[test]
fn detach_finishes_what_a_killed_detach_began() {
    let rig = Rig::new();
    drop(rig.start(AttachMode::Tcx));
    fs::remove_dir_all(rig.paths.links()).unwrap();
    fs::remove_file(rig.paths.sweep()).unwrap();
    fs::remove_file(rig.paths.map("SNAT")).unwrap();
    rig.ns.run(|| detach(&rig.paths, rig.lock())).unwrap();
    assert!(!rig.paths.exists().unwrap());
}

#[test]
fn detach_collects_its_errors_and_removes_the_rest() {
    let rig = Rig::new();
    drop(rig.start(AttachMode::Tcx));
    fs::create_dir(rig.paths.maps().join("strange")).unwrap();
    let error = rig.ns.run(|| detach(&rig.paths, rig.lock())).unwrap_err();
    assert!(error.failures.len() >= 2, "{error}");
    assert_eq!(rig.attached(), rig::nowhere());
    assert_eq!(rig::pins(rig.paths.maps()).into_keys().collect::<Vec<_>>(), ["strange"]);
    fs::remove_dir(rig.paths.maps().join("strange")).unwrap();
    rig.ns.run(|| detach(&rig.paths, rig.lock())).unwrap();
}

#[test]
fn another_gateway_keeps_its_data_plane() {
    let rig = Rig::new();
    drop(rig.start(AttachMode::Tcx));
    let other = GatewayPaths::new(rig.scratch.bpffs(), "other").unwrap();
    let lock = Lock::try_acquire(&other).unwrap().unwrap();
    drop(rig::load(&other, &lock).unwrap());
    rig.ns.run(|| detach(&other, lock)).unwrap();
    assert_eq!(rig.attached(), rig::once("tcx"));
    assert_eq!(GatewayPaths::list(rig.scratch.bpffs()).unwrap(), std::slice::from_ref(&rig.paths));
}
