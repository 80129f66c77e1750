//! Identities of pinned links and maps, as bpftool shows them.

use serde_json::Value;

use crate::{Gateway, command};

/// The id of the link that `gateway` has pinned as `name`, and of the program behind it.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn link(gateway: &Gateway, name: &str) -> (u64, u64) {
    let path = gateway.pins().join("links").join(name).display().to_string();
    let shown = show("link", &path);
    (number(&shown, "id"), number(&shown, "prog_id"))
}

/// The id of the map that `gateway` has pinned as `name`.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn map(gateway: &Gateway, name: &str) -> u64 {
    number(&show("map", &gateway.pins().join("maps").join(name).display().to_string()), "id")
}

fn show(what: &str, path: &str) -> Value {
    let shown = command::run("bpftool", &["-j", what, "show", "pinned", path]);
    let json: Value = serde_json::from_str(&shown).expect("bpftool prints JSON");
    json.as_array().and_then(|list| list.first()).cloned().unwrap_or(json)
}

fn number(shown: &Value, field: &str) -> u64 {
    shown.get(field).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {field}: {shown}"))
}
