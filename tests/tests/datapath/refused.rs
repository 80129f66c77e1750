//! A program that the kernel's verifier itself refuses.

use std::fs;

use natgw_tests::prog_run;
use natgw_userspace::datapath::{Datapath, LoadError, LoadOptions};

use crate::rig::{self, Rig};

/// `call bpf_get_prandom_u32`, which every program has where it looks for a port.
const CALL: [u8; 8] = [0x85, 0, 0, 0, 7, 0, 0, 0];
/// A call of a helper that no kernel has.
const CALL_OF_NOTHING: [u8; 8] = [0x85, 0, 0, 0, 0xff, 0xff, 0, 0];

/// The object with every such call replaced: well-formed, and wrong only to the verifier.
fn broken_object() -> Vec<u8> {
    let mut object = fs::read(prog_run::object()).unwrap();
    let mut replaced = 0;
    for instruction in object.chunks_exact_mut(8).filter(|bytes| **bytes == CALL) {
        instruction.copy_from_slice(&CALL_OF_NOTHING);
        replaced += 1;
    }
    assert!(replaced > 0, "the object has no such call any more: choose another");
    object
}

#[test]
fn a_refused_program_is_reported_with_the_end_of_the_verifiers_log_and_leaves_nothing() {
    let rig = Rig::new();
    let lock = rig.lock();
    let options = LoadOptions { max_sessions: rig::SESSIONS, object: Some(broken_object()) };
    let error = Datapath::load(&rig.paths, &lock, &options).unwrap_err();
    assert!(matches!(error, LoadError::Verifier { .. }), "{error}");
    let text = error.to_string();
    let (head, log) = text.split_once("\nend of the verifier's log:\n").unwrap_or_else(|| panic!("no log in {text}"));
    assert!(head.starts_with("the kernel refused program `natgw_"), "{text}");
    assert!(log.contains("invalid func unknown#65535"), "what is wrong: {text}");
    assert!((2..=25).contains(&log.lines().count()), "the end and not the whole: {text}");
    assert!(rig.map_ids().is_empty(), "a first load that failed leaves no map");
    // And the right object loads in the same place.
    drop(rig.load(&lock).unwrap());
}
