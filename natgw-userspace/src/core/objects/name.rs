//! What an object may be called.

/// Longest object name in Kubernetes (DNS-1123 subdomain).
const NAME_MAX: usize = 253;

/// What keeps `name` from being a DNS-1123 subdomain, and with it from being one safe path component.
#[must_use]
pub fn name_fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.len() > NAME_MAX {
        return Some("it is longer than 253 characters");
    }
    name.split('.').find_map(|label| {
        if label.is_empty() {
            Some("it has an empty part between dots")
        } else if !label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            Some("only lower-case letters, digits, `-` and `.` are allowed")
        } else if label.starts_with('-') || label.ends_with('-') {
            Some("a part begins or ends with `-`")
        } else {
            None
        }
    })
}
