//! Creating, adopting and refusing maps.

use std::fs;

use aya::{
    maps::{Array, Map, MapData},
    programs::TcAttachType,
};
use natgw_common::abi::{ABI_VERSION, AbiRecord, MAPS, map};
use natgw_tests::command;
use natgw_userspace::datapath::{AttachMode, GatewayPaths, LoadError, LoadOptions, Maps, Outcome};

use crate::rig::{self, Rig};

#[test]
fn a_first_load_pins_every_map_and_the_sweep_program() {
    let rig = Rig::new();
    let lock = rig.lock();
    let (_datapath, report) = rig.load(&lock).unwrap();
    assert_eq!(report.created.len(), MAPS.len());
    assert!(report.adopted.is_empty() && report.warnings.is_empty(), "{report:?}");
    assert_eq!(rig.map_ids().len(), MAPS.len());
    assert_eq!(rig::pins(rig.paths.progs()).into_keys().collect::<Vec<_>>(), ["sweep"]);
    println!("load: {report:?}");
}

#[test]
fn every_map_has_the_types_by_which_bpftool_names_its_fields() {
    let rig = Rig::new();
    let lock = rig.lock();
    let (_datapath, _) = rig.load(&lock).unwrap();
    for spec in MAPS {
        let path = rig.paths.map(spec.name).display().to_string();
        let shown: serde_json::Value =
            serde_json::from_str(&command::run("bpftool", &["-j", "map", "show", "pinned", &path])).expect("JSON");
        assert!(shown["btf_id"].as_u64().is_some_and(|id| id > 0), "{}: {shown}", spec.name);
        // Arrays have entries from the beginning.
        let dump: serde_json::Value =
            serde_json::from_str(&command::run("bpftool", &["-j", "map", "dump", "pinned", &path])).expect("JSON");
        for entry in dump.as_array().into_iter().flatten() {
            assert!(entry["formatted"].is_object(), "{}: {entry}", spec.name);
        }
    }
}

#[test]
fn every_program_verifies_within_the_budget() {
    let rig = Rig::new();
    let lock = rig.lock();
    let (_datapath, report) = rig.load(&lock).unwrap();
    assert_eq!(report.programs.len(), 4);
    for program in &report.programs {
        println!("{}: {:?} instructions", program.name, program.verified_instructions);
        assert!(program.verified_instructions.is_some_and(|count| count <= 250_000), "{program:?}");
    }
}

#[test]
fn the_pin_directories_belong_to_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let rig = Rig::new();
    let lock = rig.lock();
    let _loaded = rig.load(&lock).unwrap();
    for directory in [rig.paths.root().to_owned(), rig.paths.maps(), rig.paths.links(), rig.paths.progs()] {
        let mode = fs::metadata(&directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", directory.display());
    }
}

#[test]
fn a_restart_adopts_the_maps_replaces_the_programs_and_writes_nothing() {
    let rig = Rig::new();
    let first = rig.start(AttachMode::Auto);
    assert!(first.internal.hooks.iter().all(|(_, outcome)| *outcome == Outcome::Created));
    let (ids, old) = (rig.map_ids(), rig.tcx_ids("net1", TcAttachType::Ingress));
    drop(first);
    assert_eq!(rig.attached(), rig::once("tcx"), "the programs stay when the daemon ends");

    let mut second = rig.start(AttachMode::Auto);
    assert_eq!(second.report.adopted.len(), MAPS.len());
    assert!(second.report.created.is_empty() && second.report.warnings.is_empty(), "{:?}", second.report);
    let outcomes = second.internal.hooks.iter().chain(&second.external.hooks);
    assert!(outcomes.clone().all(|(_, outcome)| *outcome == Outcome::Replaced), "{outcomes:?}");
    assert_eq!(second.datapath.maps().writes(), 0);
    assert_eq!(rig.map_ids(), ids);
    assert_ne!(rig.tcx_ids("net1", TcAttachType::Ingress), old, "the program behind the link is the new one");
    assert_eq!(rig.attached(), rig::once("tcx"));
}

#[test]
fn the_port_secret_survives_a_restart() {
    let rig = Rig::new();
    let secret = rig.start(AttachMode::Auto).datapath.maps().config().unwrap().unwrap().port_secret;
    assert_ne!(secret, 0);
    assert_eq!(rig.start(AttachMode::Auto).datapath.maps().config().unwrap().unwrap().port_secret, secret);
}

#[test]
fn a_map_of_another_layout_is_refused_and_nothing_is_touched() {
    let rig = Rig::new();
    drop(rig.start(AttachMode::Auto));
    fs::remove_file(rig.paths.map(map::EIPS)).unwrap();
    MapData::from_pin(rig.paths.map(map::FIP_IN)).unwrap().pin(rig.paths.map(map::EIPS)).unwrap();
    let (ids, programs) = (rig.map_ids(), rig.tcx_ids("net1", TcAttachType::Ingress));

    let lock = rig.lock();
    let error = rig.load(&lock).unwrap_err();
    assert!(matches!(error, LoadError::Abi(_)), "{error}");
    let text = error.to_string();
    for part in ["`EIPS`", "value size is 8, expected 4", "natgw detach --gateway gw.test"] {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
    assert_eq!(rig.map_ids(), ids);
    assert_eq!(rig.tcx_ids("net1", TcAttachType::Ingress), programs);
    assert_eq!(rig.attached(), rig::once("tcx"));
    assert!(Maps::open(&rig.paths).unwrap_err().to_string().contains("`EIPS`"), "tools refuse it as well");
}

fn set_version(rig: &Rig, version: u32) {
    let data = MapData::from_pin(rig.paths.map(map::ABI)).unwrap();
    let mut array: Array<_, AbiRecord> = Map::Array(data).try_into().unwrap();
    let record = array.get(&0, 0).unwrap();
    array.set(0, AbiRecord { version, ..record }, 0).unwrap();
}

#[test]
fn an_abi_from_the_future_is_refused_and_the_old_data_plane_stays() {
    let rig = Rig::new();
    drop(rig.start(AttachMode::Auto));
    set_version(&rig, ABI_VERSION + 1);
    let lock = rig.lock();
    let text = rig.load(&lock).unwrap_err().to_string();
    assert!(text.contains("newer natgw"), "{text}");
    assert_eq!(rig.attached(), rig::once("tcx"));
}

#[test]
fn a_start_that_was_killed_before_the_record_is_completed() {
    let rig = Rig::new();
    drop(rig.start(AttachMode::Auto));
    set_version(&rig, 0);
    for name in [map::FLOWS, map::SNAT] {
        fs::remove_file(rig.paths.map(name)).unwrap();
    }
    let mut second = rig.start(AttachMode::Auto);
    assert_eq!(second.report.created, [map::SNAT, map::FLOWS]);
    assert!(second.report.warnings.is_empty(), "{:?}", second.report.warnings);
    assert_eq!(second.datapath.maps().writes(), 1, "only the record");
}

#[test]
fn another_session_capacity_keeps_the_table_and_warns() {
    let rig = Rig::new();
    drop(rig.start(AttachMode::Auto));
    let lock = rig.lock();
    let options = LoadOptions { max_sessions: 2 * rig::SESSIONS, object: None };
    let (mut datapath, report) = natgw_userspace::datapath::Datapath::load(&rig.paths, &lock, &options).unwrap();
    assert_eq!(report.warnings.len(), 2, "{:?}", report.warnings);
    assert_eq!(datapath.maps().session_capacity(), rig::SESSIONS);
}

#[test]
fn a_failed_first_load_leaves_no_maps_behind() {
    let rig = Rig::new();
    let lock = rig.lock();
    let options = LoadOptions { max_sessions: 0, object: None };
    let error = natgw_userspace::datapath::Datapath::load(&rig.paths, &lock, &options).unwrap_err();
    assert!(error.to_string().contains("failed to create map"), "{error}");
    assert!(rig.map_ids().is_empty());
    drop(rig.load(&lock).unwrap());
}

#[test]
fn garbage_instead_of_an_object_is_refused() {
    let rig = Rig::new();
    let lock = rig.lock();
    for object in [Vec::new(), b"not an object".to_vec()] {
        let options = LoadOptions { max_sessions: 16, object: Some(object) };
        assert!(natgw_userspace::datapath::Datapath::load(&rig.paths, &lock, &options).is_err());
    }
}

#[test]
fn tools_say_that_a_gateway_was_never_started() {
    let rig = Rig::new();
    let error = Maps::open(&rig.paths).unwrap_err().to_string();
    assert!(error.contains("gateway `gw.test` has no data plane"), "{error}");
    assert!(GatewayPaths::list(rig.scratch.bpffs()).unwrap().is_empty());
    drop(rig.start(AttachMode::Auto));
    assert_eq!(GatewayPaths::list(rig.scratch.bpffs()).unwrap(), std::slice::from_ref(&rig.paths));
    Maps::open(&rig.paths).unwrap();
}
