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

/// Says why the current test is skipped, in the form that `cargo xtask test` counts.
pub fn skipped(reason: &str) {
    println!("SKIPPED: {reason}");
}
