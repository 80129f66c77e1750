//! The real `natgw` with one program that the kernel's verifier refuses: two of its instructions are overwritten in the
//! object inside the binary. What refuses it, and what says so, is the real kernel and the real natgw.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use aya_obj::{Object, generated::bpf_insn};

use crate::{gateway::natgw_binary, prog_run};

/// `r2 = ctx->data`; `r0 = *(u8 *)(r2 + 0)`: a look into the packet before it is known to have that byte.
const UNCHECKED_LOOK: [[u8; 8]; 2] = [[0x61, 0x12, 76, 0, 0, 0, 0, 0], [0x71, 0x20, 0, 0, 0, 0, 0, 0]];

/// Instructions that the loader fills in, and that therefore must stay.
const LOAD_ADDRESS: u8 = 0x18;
const CALL: u8 = 0x85;

/// What the verifier says to it.
pub const VERDICT: &str = "invalid access to packet, off=0 size=1";

/// `natgw` and the place of the object in it.
pub struct Doctor {
    binary: Vec<u8>,
    object: Vec<u8>,
    at: usize,
}

impl Doctor {
    /// Of the `natgw` that the tests run.
    ///
    /// # Panics
    /// When it does not embed the object of this build.
    #[must_use]
    pub fn new() -> Self {
        let path = prog_run::object();
        let object = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let binary = fs::read(natgw_binary()).expect("natgw is built");
        let at = find(&binary, &object).expect("natgw embeds the object of this build: run `cargo xtask build`");
        Self { binary, object, at }
    }

    /// A copy of `natgw` in `dir` whose program `name` looks into packets without checking their length.
    ///
    /// # Panics
    /// When the program does not begin as it must, or the copy cannot be written.
    #[must_use]
    pub fn refused(&self, dir: &Path, name: &str) -> PathBuf {
        let code = code(&self.object, name);
        let start = self.at + find(&self.object, &code).expect("a program's code is in its object");
        let mut binary = self.binary.clone();
        for (at, instruction) in (start..).step_by(8).zip(UNCHECKED_LOOK) {
            binary[at..at + 8].copy_from_slice(&instruction);
        }
        let path = dir.join(format!("natgw-refused-{name}"));
        fs::write(&path, binary).expect("the test's directory is writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the file is ours");
        path
    }
}

impl Default for Doctor {
    fn default() -> Self {
        Self::new()
    }
}

/// Where `needle` is, at a multiple of 8 (an instruction's size); it must be there once.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let mut found = (0..haystack.len()).step_by(8).filter(|at| haystack[*at..].starts_with(needle));
    let at = found.next()?;
    assert!(found.next().is_none(), "it is there twice");
    Some(at)
}

/// The code of the program `name`, which must not refer to anything in the instructions that are overwritten.
fn code(object: &[u8], name: &str) -> Vec<u8> {
    let parsed = Object::parse(object).expect("the object of this build can be parsed");
    let program = parsed.functions.values().find(|function| function.name == name);
    let code = &program.unwrap_or_else(|| panic!("the object has no program {name}")).instructions;
    let refers = |one: &bpf_insn| one.code == LOAD_ADDRESS || one.code == CALL;
    assert!(!code[..UNCHECKED_LOOK.len()].iter().any(refers), "{name} begins with a reference");
    code.iter().copied().flat_map(bytes).collect()
}

fn bytes(one: bpf_insn) -> [u8; 8] {
    let ([off_0, off_1], [imm_0, imm_1, imm_2, imm_3]) = (one.off.to_le_bytes(), one.imm.to_le_bytes());
    [one.code, one.dst_reg() | one.src_reg() << 4, off_0, off_1, imm_0, imm_1, imm_2, imm_3]
}
