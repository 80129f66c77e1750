//! The audit log: who asked for what, and what the answer was.
//!
//! The API server writes the entry of a short answer before the client can read the answer, so a test that has seen its
//! client fail finds the entry here.

use std::{fs, path::Path};

use serde_json::Value;

/// `verb uri` of every request of `user` that was answered with 403.
pub(super) fn forbidden(log: &Path, user: &str) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap_or_else(|error| panic!("cannot read {}: {error}", log.display()));
    text.lines().filter_map(|line| refusal(line, user)).collect()
}

/// The last line may be half written: it is then no JSON.
fn refusal(line: &str, user: &str) -> Option<String> {
    let entry: Value = serde_json::from_str(line).ok()?;
    // A watch has an entry for its start and one for its end.
    let of_user = entry["user"]["username"] == user && entry["stage"] == "ResponseComplete";
    let refused = of_user && entry["responseStatus"]["code"] == 403;
    refused.then(|| format!("{} {}", text(&entry["verb"]), text(&entry["requestURI"])))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(stage: &str, user: &str, code: u16) -> String {
        format!(
            r#"{{"stage":"{stage}","requestURI":"/api/v1/pods","verb":"list","user":{{"username":"{user}"}},"responseStatus":{{"code":{code}}}}}"#
        )
    }

    #[test]
    fn a_refusal_counts_once_and_for_its_user() {
        let refusal = |line: String| refusal(&line, "me");
        assert_eq!(refusal(entry("ResponseComplete", "me", 403)), Some("list /api/v1/pods".to_owned()));
        assert_eq!(refusal(entry("ResponseStarted", "me", 403)), None);
        assert_eq!(refusal(entry("ResponseComplete", "other", 403)), None);
        assert_eq!(refusal(entry("ResponseComplete", "me", 200)), None);
        assert_eq!(refusal(r#"{"stage":"Resp"#.to_owned()), None);
    }
}
