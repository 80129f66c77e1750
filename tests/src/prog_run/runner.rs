//! Running rows and saying everything that is wrong with the outcome.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use natgw_common::abi::Traffic;

use super::{
    attr::{Input, TestRunError, sweep_input},
    rig::{Program, Rig},
    row::{In, Out, Row},
    session::Flow,
    snapshot::Snapshot,
};

/// What was wrong, one paragraph each.
pub type Failures = Vec<String>;

/// How the packet is presented to the program: rows hold for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Plain,
    ChecksumComplete,
    /// Only the Ethernet header is in the linear part.
    NonLinear,
}

/// Runs every row in every shape and panics with all that was wrong.
///
/// # Panics
/// When a row fails.
pub fn check_all(rows: &[Row]) {
    let mut rig = Rig::new(Rig::SMALL);
    let (mut failures, mut unsupported) = (Failures::new(), BTreeSet::new());
    for row in rows {
        for shape in [Shape::Plain, Shape::ChecksumComplete, Shape::NonLinear] {
            if shape != Shape::Plain && (row.program == Program::Sweep || matches!(row.input, In::Sweep(..))) {
                continue;
            }
            if shape == Shape::ChecksumComplete && !row.checksum_complete {
                continue;
            }
            match check_shape(&mut rig, row, shape) {
                Ok(found) => failures.extend(found),
                Err(TestRunError::Unsupported) => {
                    unsupported.insert(format!("{shape:?}"));
                }
                Err(error) => failures.push(format!("row `{}` ({shape:?}): {error}", row.what)),
            }
        }
    }
    for shape in unsupported {
        println!("skipped: {shape} packets (this kernel's BPF_PROG_TEST_RUN cannot make them)");
    }
    assert!(failures.is_empty(), "{} failures:\n\n{}", failures.len(), failures.join("\n"));
    println!("{} rows", rows.len());
}

/// Runs one row with a plain packet.
///
/// # Panics
/// When the program cannot be run.
pub fn check(rig: &mut Rig, row: &Row) -> Failures {
    check_shape(rig, row, Shape::Plain).unwrap_or_else(|error| panic!("row `{}`: {error}", row.what))
}

fn check_shape(rig: &mut Rig, row: &Row, shape: Shape) -> Result<Failures, TestRunError> {
    let before = Rig::now();
    if row.configured {
        rig.set_config(&row.config);
    } else {
        rig.set_raw_config(&row.config);
    }
    rig.set_rules(&row.rules);
    rig.set_sessions(&row.before, before);
    let then = rig.snapshot();
    let frame = match &row.input {
        In::Frame(frame) => frame.clone(),
        In::Sweep(op, items, announced) => {
            let items: Vec<_> = items.iter().map(|flow| (flow.key(), flow.created.before(before))).collect();
            sweep_input(*op, &items, *announced)
        }
    };
    let (int, ext) = rig.ifindexes();
    let ifindex = match row.program {
        Program::IntIn => int,
        Program::ExtIn | Program::ExtOut => ext,
        Program::Sweep => 0,
    };
    let input = Input {
        ingress_ifindex: row.ingress.unwrap_or(ifindex),
        checksum_complete: shape == Shape::ChecksumComplete,
        linear: (shape == Shape::NonLinear).then_some(14),
        ..Input::new(&frame, ifindex)
    };
    let rig_ref = &*rig;
    let output = rig_ref.netns().run(|| rig_ref.run(row.program, &input))?;
    let span = (before, Rig::now());
    let now = rig.snapshot();
    let mut wrong = String::new();
    if output.verdict != row.verdict.number() {
        let _ = writeln!(wrong, "  verdict: {} instead of {:?}", output.verdict, row.verdict);
    }
    let expected = match &row.out {
        Out::Same => Some(&frame),
        Out::Frame(frame) => Some(frame),
        Out::Any => None,
    };
    if let Some(expected) = expected.filter(|expected| **expected != output.frame) {
        let _ = write!(wrong, "  frame:\n{}", difference(&frame, expected, &output.frame));
    }
    counters(row, &then, &now, frame.len(), &mut wrong);
    sessions(row.after.as_ref().unwrap_or(&row.before), &now, span, &mut wrong);
    if wrong.is_empty() {
        return Ok(Failures::new());
    }
    Ok(vec![format!("row `{}` ({}, {shape:?}):\n{wrong}", row.what, row.program.name())])
}

fn counters(row: &Row, then: &Snapshot, now: &Snapshot, frame_len: usize, wrong: &mut String) {
    let bytes = row.bytes.unwrap_or(frame_len.saturating_sub(14) as u64);
    let once = Traffic { packets: 1, bytes };
    let expected: BTreeMap<_, _> = row.counts.counters.iter().map(|counter| (*counter, once)).collect();
    let found = now.counters_since(then);
    if found != expected {
        let _ = writeln!(wrong, "  COUNTERS grew by {found:?} instead of {expected:?}");
    }
    let expected: BTreeMap<_, _> = row.counts.drops.iter().map(|reason| (*reason, once)).collect();
    let found = now.drops_since(then);
    if found != expected {
        let _ = writeln!(wrong, "  DROPS grew by {found:?} instead of {expected:?}");
    }
    let found = now.stats_since(then);
    if found != row.counts.stats {
        let _ = writeln!(wrong, "  SESSION_STATS grew by {found:?} instead of {:?}", row.counts.stats);
    }
}

fn sessions(expected: &[Flow], now: &Snapshot, span: (u64, u64), wrong: &mut String) {
    let mut keys: BTreeSet<_> = now.sessions.keys().collect();
    for flow in expected.iter().filter(|flow| flow.session) {
        let key = flow.key();
        match now.sessions.get(&key) {
            None => {
                let _ = writeln!(wrong, "  SESSIONS lacks {flow:?}");
            }
            Some(found) if !flow.matches(found, span) => {
                let _ = writeln!(wrong, "  SESSIONS has {found:?}\n    instead of {flow:?} (run: {span:?})");
            }
            Some(_) => {}
        }
        keys.retain(|found| **found != key);
    }
    for key in keys {
        let _ = writeln!(wrong, "  SESSIONS has in addition {key:?}: {:?}", now.sessions[key]);
    }
    let index: BTreeMap<_, _> =
        expected.iter().filter(|flow| flow.index).map(|flow| (flow.flow_key(), flow.key())).collect();
    if now.flows != index {
        let _ = writeln!(wrong, "  FLOWS has {:?}\n    instead of {index:?}", now.flows);
    }
}

/// The bytes that differ, with what they were before.
fn difference(before: &[u8], expected: &[u8], found: &[u8]) -> String {
    let mut text = String::new();
    if expected.len() != found.len() {
        let _ = writeln!(text, "    {} bytes instead of {}", found.len(), expected.len());
    }
    for (at, (wanted, got)) in expected.iter().zip(found).enumerate() {
        if wanted != got {
            let was = before.get(at).copied().unwrap_or_default();
            let _ = writeln!(text, "    byte {at}: {got:#04x} instead of {wanted:#04x} (was {was:#04x})");
        }
    }
    text
}
