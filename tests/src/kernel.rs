//! What this machine's kernel can do. A test that needs more says so and is skipped; nothing else is.

use crate::Netns;

/// Whether links of `kind` (`vlan`, ...) can be made; when not, says that the calling test is skipped.
///
/// # Panics
/// When it cannot be told.
#[must_use]
pub fn has_link_type(kind: &str) -> bool {
    let ns = Netns::new("feature");
    let made = ns.run(|| {
        crate::command::run("ip", &["link", "add", "nic", "type", "veth", "peer", "name", "port"]);
        crate::command::output("ip", &["link", "add", "link", "nic", "name", "probe", "type", kind, "id", "100"])
    });
    let has = made.status.success();
    // Only "Unknown device type" means that the kernel lacks it; anything else is a mistake of this probe.
    assert!(
        has || String::from_utf8_lossy(&made.stderr).contains("Unknown device type"),
        "cannot tell whether the kernel has {kind} links: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    if !has {
        skipped(&format!("this kernel has no links of type {kind}"));
    }
    has
}

/// Whether the kernel has TCX links, by its version: asking it would be the very call that natgw decides by.
///
/// # Panics
/// When it does not tell its version.
#[must_use]
pub fn has_tcx() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc is mounted");
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next().expect("a release begins with a number"), numbers.next().unwrap_or(0));
    version >= (6, 6)
}

/// Says why the current test is skipped, in the form that `cargo xtask test` counts.
pub fn skipped(reason: &str) {
    println!("SKIPPED: {reason}");
}
