//! Hands the eBPF object that `cargo xtask build-ebpf` made to `include_bytes!`.
//!
//! Without it the crate still compiles (for clippy and docs): the binary then says at run time how to build it.

use std::{env, fs, path::PathBuf};

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("..");
    let built = if env::var_os("CARGO_FEATURE_ABI_NEXT").is_some() { "natgw-abi-next.o" } else { "natgw.o" };
    let built = root.join("target/bpf").join(built);
    let object = env::var_os("NATGW_EBPF_OBJECT").map_or(built, PathBuf::from);
    let embedded = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("natgw.o");
    println!("cargo:rerun-if-env-changed=NATGW_EBPF_OBJECT");
    println!("cargo:rerun-if-changed={}", object.display());
    let bytes = fs::read(&object).unwrap_or_default();
    fs::write(embedded, bytes).expect("OUT_DIR is writable");
}
