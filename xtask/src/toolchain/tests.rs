//! Selection over made-up machines.

use super::*;

const VERBOSE: &str = "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)\nbinary: rustc\n\
    commit-hash: ac68faa20c58cbccd01ee7208bf3b6e93a7d7f96\nhost: x86_64-unknown-linux-gnu\nrelease: 1.96.0\n\
    LLVM version: 22.1.8\n";

fn toolchain(origin: Origin, sysroot: &str, version: &str, llvm: u32, has_source: bool) -> Toolchain {
    let version = Version::parse(version).expect("a version");
    Toolchain { origin, sysroot: PathBuf::from(sysroot), version, llvm, has_source }
}

fn chosen(found: &[Toolchain]) -> Option<&str> {
    select(found).and_then(|toolchain| toolchain.sysroot.to_str())
}

#[test]
fn the_active_toolchain_wins_when_it_has_its_source() {
    let found = [
        toolchain(Origin::System, "/usr", "1.96.0", 22, true),
        toolchain(Origin::Rustup, "/r/nightly", "1.97.0-nightly", 22, true),
        toolchain(Origin::Active, "/r/stable", "1.95.0", 22, true),
    ];
    assert_eq!(chosen(&found), Some("/r/stable"));
}

#[test]
fn without_source_in_the_active_one_the_newest_of_rustup_is_taken() {
    let found = [
        toolchain(Origin::Active, "/r/stable", "1.95.0", 22, false),
        toolchain(Origin::Rustup, "/r/old", "1.95.1", 22, true),
        toolchain(Origin::Rustup, "/r/new", "1.97.0", 22, true),
        toolchain(Origin::System, "/usr", "1.98.0", 22, true),
    ];
    assert_eq!(chosen(&found), Some("/r/new"));
}

#[test]
fn the_compiler_of_the_distribution_is_the_last_resort() {
    let found = [
        toolchain(Origin::Active, "/r/stable", "1.95.0", 22, false),
        toolchain(Origin::Rustup, "/r/nightly", "1.97.0-nightly", 22, false),
        toolchain(Origin::System, "/usr", "1.96.0", 22, true),
    ];
    assert_eq!(chosen(&found), Some("/usr"));
}

#[test]
fn too_old_or_too_new_an_llvm_is_never_chosen() {
    let found = [
        toolchain(Origin::Active, "/r/stable", "1.94.1", 21, true),
        toolchain(Origin::Rustup, "/r/nightly", "1.99.0", NEWEST_LLVM + 1, true),
    ];
    assert_eq!(chosen(&found), None);
    let text = explain(&found);
    assert!(text.contains("/r/stable is 1.94.1, older than 1.95.0"), "{text}");
    assert!(text.contains("/r/nightly has LLVM 24, newer than"), "{text}");
}

#[test]
fn rust_src_is_offered_only_for_a_recent_active_toolchain_of_rustup() {
    let active = |path, version, source| [toolchain(Origin::Active, path, version, 22, source)];
    assert_eq!(lacks_only_source(&active("/r/toolchains/stable-x", "1.95.0", false)), Some("stable-x"));
    assert_eq!(lacks_only_source(&active("/r/toolchains/stable-x", "1.80.0", false)), None);
    assert_eq!(lacks_only_source(&active("/r/toolchains/stable-x", "1.95.0", true)), None);
    assert_eq!(lacks_only_source(&active("/usr", "1.96.0", false)), None);
}

#[test]
fn the_verbose_version_of_rustc_is_read() {
    assert_eq!(parse_verbose_version(VERBOSE), Some((Version { major: 1, minor: 96, patch: 0 }, 22)));
    assert_eq!(parse_verbose_version("rustc 1.96.0\nrelease: 1.96.0\n"), None);
    assert_eq!(parse_verbose_version(""), None);
}

#[test]
fn versions_are_compared_by_number() {
    let version = |text| Version::parse(text).expect("a version");
    assert!(version("1.100.0") > version("1.99.9"));
    assert_eq!(version("1.97.0-nightly"), version("1.97"));
    assert_eq!(version("1.96.0+dfsg1-1~deb12u2"), version("1.96.0"));
    assert_eq!(Version::parse("stable"), None);
}

#[test]
fn the_oldest_compiler_is_the_rust_version_of_the_workspace() {
    let manifest = include_str!("../../../Cargo.toml");
    let stated = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).expect("it is stated");
    assert_eq!(Version::parse(stated.trim_matches('"')), Some(OLDEST));
}
