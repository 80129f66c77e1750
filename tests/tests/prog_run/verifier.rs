//! The verifier's work per program: what a kernel of the matrix may still refuse tomorrow.

use aya::programs::SchedClassifier;
use natgw_tests::prog_run::{Program, Rig};

/// Verified instructions that a program may need, on every kernel.
const BUDGET: u32 = 250_000;

#[test]
fn every_program_verifies_within_its_budget() {
    let mut rig = Rig::new(Rig::SMALL);
    for program in Program::ALL {
        let name = program.name();
        let classifier: &SchedClassifier = rig.ebpf().program(name).unwrap().try_into().unwrap();
        let info = classifier.info().unwrap();
        let verified = info.verified_instruction_count().expect("Linux 5.16 and newer count");
        println!("{name}: {verified} verified instructions, {} bytes translated", info.size_translated().unwrap_or(0));
        assert!(
            verified > 0 && verified <= BUDGET,
            "{name} needs {verified} verified instructions, more than {BUDGET}"
        );
    }
}
