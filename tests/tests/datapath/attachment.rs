//! TCX links and clsact filters on real interfaces.

use aya::programs::TcAttachType;
use natgw_tests::Netns;
use natgw_userspace::datapath::{AttachError, AttachMode, GatewayPaths, Hook, Mechanism, Outcome, Side, attachments};

use crate::rig::{self, Rig};

fn outcomes(attached: &natgw_userspace::datapath::Attached) -> Vec<Outcome> {
    attached.hooks.iter().map(|(_, outcome)| *outcome).collect()
}

#[test]
fn attaching_again_changes_nothing() {
    for mode in [AttachMode::Auto, AttachMode::Clsact] {
        let rig = Rig::new();
        let mut started = rig.start(mode);
        let again = rig::attach(&rig.ns, &mut started.datapath, Side::External, mode);
        assert_eq!(outcomes(&again), [Outcome::Unchanged; 2], "{mode:?}");
    }
}

#[test]
fn a_link_is_replaced_when_its_interface_was_made_anew() {
    let rig = Rig::new();
    let mut started = rig.start(AttachMode::Tcx);
    rig.ns.ip(&["link del net1".into(), "link add net1 type veth peer name net1p".into()]);
    let again = rig::attach(&rig.ns, &mut started.datapath, Side::External, AttachMode::Tcx);
    assert_eq!(outcomes(&again), [Outcome::Created; 2]);
    assert_eq!(rig.attached(), rig::once("tcx"));
    let internal = rig::attach(&rig.ns, &mut started.datapath, Side::Internal, AttachMode::Tcx);
    assert_eq!(outcomes(&internal), [Outcome::Unchanged]);
}

#[test]
fn a_filter_is_made_again_when_its_interface_was_made_anew_or_flushed() {
    let rig = Rig::new();
    let mut started = rig.start(AttachMode::Clsact);
    rig.ns.ip(&["link del net1".into(), "link add net1 type veth peer name net1p".into()]);
    let again = rig::attach(&rig.ns, &mut started.datapath, Side::External, AttachMode::Clsact);
    assert_eq!(outcomes(&again), [Outcome::Created; 2]);
    rig.ns.command("tc", &["qdisc", "del", "dev", "eth0", "clsact"]);
    let again = rig::attach(&rig.ns, &mut started.datapath, Side::Internal, AttachMode::Clsact);
    assert_eq!(outcomes(&again), [Outcome::Created]);
    assert_eq!(rig.attached(), rig::once("clsact"));
}

#[test]
fn a_link_in_an_old_namespace_is_not_mistaken_for_ours_by_its_index() {
    let rig = Rig::new();
    drop(rig.start(AttachMode::Tcx));
    // A rebuilt sandbox: the old namespace lives on for a while, and the indices of the new one are the same.
    let (eth0, net1) = (rig::ifindex(&rig.ns, "eth0"), rig::ifindex(&rig.ns, "net1"));
    let new = Netns::new("new");
    new.ip(&[
        format!("link add eth0 index {eth0} type veth peer name eth0p"),
        format!("link add net1 index {net1} type veth peer name net1p"),
    ]);
    let old = rig.attached();
    assert_eq!(old, rig::once("tcx"));

    let lock = rig.lock();
    let (mut datapath, _) = rig.load(&lock).unwrap();
    for side in [Side::Internal, Side::External] {
        let attached = rig::attach(&new, &mut datapath, side, AttachMode::Tcx);
        assert!(outcomes(&attached).iter().all(|outcome| *outcome == Outcome::Created), "{attached:?}");
    }
    assert_eq!(rig::attached(&new), rig::once("tcx"));
    assert_eq!(rig.attached(), rig::nowhere(), "the old namespace lets go");
}

#[test]
fn a_restart_in_clsact_mode_replaces_the_same_filters() {
    let rig = Rig::new();
    let first = rig.start(AttachMode::Clsact);
    assert_eq!((first.external.mechanism, outcomes(&first.external)), (Mechanism::Clsact, vec![Outcome::Created; 2]));
    drop(first);
    assert_eq!(rig.attached(), rig::once("clsact"), "filters stay when the daemon ends");
    let mut second = rig.start(AttachMode::Clsact);
    assert_eq!(outcomes(&second.internal), [Outcome::Replaced]);
    assert_eq!(outcomes(&second.external), [Outcome::Replaced; 2]);
    assert_eq!(rig.attached(), rig::once("clsact"));
    assert_eq!(second.datapath.maps().writes(), 0);
}

#[test]
fn a_change_of_mechanism_leaves_only_the_new_one() {
    let rig = Rig::new();
    for (mode, how) in [
        (AttachMode::Clsact, "clsact"),
        (AttachMode::Auto, "tcx"),
        (AttachMode::Clsact, "clsact"),
        (AttachMode::Tcx, "tcx"),
    ] {
        drop(rig.start(mode));
        assert_eq!(rig.attached(), rig::once(how));
        let links = rig::pins(rig.paths.links()).len();
        assert_eq!(links, if how == "tcx" { 3 } else { 0 });
    }
}

#[test]
fn other_filters_and_programs_are_left_alone_and_run_behind_ours() {
    let rig = Rig::new();
    rig.ns.command("tc", &["qdisc", "add", "dev", "net1", "clsact"]);
    drop(rig.start(AttachMode::Tcx));
    let sweep = rig.paths.sweep();
    let foreign =
        ["filter", "add", "dev", "net1", "ingress", "pref", "5", "bpf", "object-pinned", sweep.to_str().unwrap()];
    rig.ns.command("tc", &foreign);
    drop(rig.start(AttachMode::Clsact));
    drop(rig.start(AttachMode::Tcx));
    let text = rig.ns.command("tc", &["filter", "show", "dev", "net1", "ingress"]);
    assert!(text.contains("pref 5 ") && !text.contains("pref 49000 "), "{text}");

    // Another gateway's bpffs: to the kernel, a program of somebody else.
    let other = Rig::new();
    let paths = GatewayPaths::new(other.scratch.bpffs(), "other").unwrap();
    let lock = natgw_userspace::datapath::Lock::acquire_blocking(&paths).unwrap();
    let (mut datapath, _) = rig::load(&paths, &lock).unwrap();
    let ids = rig.tcx_ids("net1", TcAttachType::Ingress);
    rig::attach(&rig.ns, &mut datapath, Side::External, AttachMode::Tcx);
    let now = rig.tcx_ids("net1", TcAttachType::Ingress);
    assert_eq!((now.len(), now[1]), (2, ids[0]), "who attaches goes first");
    drop(rig.start(AttachMode::Tcx));
    let after = rig.tcx_ids("net1", TcAttachType::Ingress);
    assert_eq!((after.len(), after[0]), (2, now[0]), "a restart keeps its place in the chain");
}

#[test]
fn a_second_gateway_on_the_same_interface_is_refused_by_name() {
    for mode in [AttachMode::Tcx, AttachMode::Clsact] {
        let rig = Rig::new();
        drop(rig.start(mode));
        let paths = GatewayPaths::new(rig.scratch.bpffs(), "second").unwrap();
        let lock = natgw_userspace::datapath::Lock::acquire_blocking(&paths).unwrap();
        let (mut datapath, _) = rig::load(&paths, &lock).unwrap();
        let index = rig::ifindex(&rig.ns, "net1");
        let error = rig.ns.run(|| datapath.attach(Side::External, index, "net1", mode)).unwrap_err();
        assert!(matches!(&error, AttachError::Occupied { owner, .. } if owner == "gw.test"), "{error}");
        assert!(error.to_string().contains("natgw detach --gateway gw.test"), "{error}");
    }
}

#[test]
fn filters_of_an_emptied_bpffs_are_taken_over() {
    let rig = Rig::new();
    drop(rig.start(AttachMode::Clsact));
    std::fs::remove_dir_all(rig.paths.root()).unwrap();
    let second = rig.start(AttachMode::Clsact);
    assert_eq!(outcomes(&second.external), [Outcome::Replaced; 2]);
    assert_eq!(rig.attached(), rig::once("clsact"));
}

#[test]
fn an_interface_that_is_gone_or_another_one_is_told_apart_from_a_fault() {
    let rig = Rig::new();
    let lock = rig.lock();
    let (mut datapath, _) = rig.load(&lock).unwrap();
    for (index, name) in [(rig::ifindex(&rig.ns, "eth0"), "net1"), (4711, "nosuch")] {
        let error = rig.ns.run(|| datapath.attach(Side::External, index, name, AttachMode::Auto)).unwrap_err();
        assert!(error.is_interface_gone(), "{error}");
    }
    assert_eq!(rig.attached(), rig::nowhere());
}

#[test]
fn status_sees_what_is_attached_without_a_daemon() {
    let rig = Rig::new();
    drop(rig.start(AttachMode::Tcx));
    let found = rig.ns.run(|| attachments(&rig.paths)).unwrap();
    assert_eq!(found.iter().map(|one| one.hook).collect::<Vec<_>>(), Hook::ALL);
    let net1 = rig::ifindex(&rig.ns, "net1");
    assert_eq!((found[1].mechanism, found[1].ifindex, found[1].elsewhere), (Mechanism::Tcx, Some(net1), false));
    let found = attachments(&rig.paths).unwrap();
    assert!(found.iter().all(|one| one.elsewhere && one.ifindex.is_some()), "from the host's namespace: {found:?}");
    let found = rig.ns.run(|| attachments(&rig.paths)).unwrap();
    assert_eq!(found[1].ifindex, Some(net1));
    rig.ns.ip(&["link del net1".into()]);
    let found = rig.ns.run(|| attachments(&rig.paths)).unwrap();
    assert_eq!(found[1].ifindex, None, "its interface is gone");

    let rig = Rig::new();
    drop(rig.start(AttachMode::Clsact));
    let found = rig.ns.run(|| attachments(&rig.paths)).unwrap();
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|one| one.mechanism == Mechanism::Clsact && one.program_id != 0), "{found:?}");
}
