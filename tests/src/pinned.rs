//! Identities of pinned links, as bpftool shows them.

use serde_json::Value;

use crate::{Gateway, command};

/// The id of the link that `gateway` has pinned as `name`, and of the program behind it.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn link(gateway: &Gateway, name: &str) -> (u64, u64) {
    let path = gateway.pins().join("links").join(name).display().to_string();
    let shown = command::run("bpftool", &["-j", "link", "show", "pinned", &path]);
    let json: Value = serde_json::from_str(&shown).expect("bpftool prints JSON");
    let json = json.as_array().and_then(|list| list.first()).unwrap_or(&json);
    let number = |field: &str| json.get(field).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {field}: {shown}"));
    (number("id"), number("prog_id"))
}
