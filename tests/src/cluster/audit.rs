//! The audit log: who asked for what, and what the answer was.
//!
//! The API server writes the entry of a short answer before the client can read the answer, so a test that has seen its
//! client fail finds the entry here.

use std::{fmt, fs, path::Path};

use serde_json::Value;

/// A request that was answered; a watch is one when it has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `get`, `list`, `watch`, `patch`, ...
    pub verb: String,
    /// Path and query.
    pub uri: String,
    /// The status code of the answer.
    pub code: u64,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.uri)
    }
}

/// Every request of `user`, in the order of their ends.
pub(super) fn requests(log: &Path, user: &str) -> Vec<Request> {
    let text = fs::read_to_string(log).unwrap_or_else(|error| panic!("cannot read {}: {error}", log.display()));
    text.lines().filter_map(|line| request(line, user)).collect()
}

/// The last line may be half written: it is then no JSON.
fn request(line: &str, user: &str) -> Option<Request> {
    let entry: Value = serde_json::from_str(line).ok()?;
    // A watch has an entry for its start and one for its end.
    let wanted = entry["user"]["username"] == user && entry["stage"] == "ResponseComplete";
    let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let code = entry["responseStatus"]["code"].as_u64().unwrap_or_default();
    wanted.then(|| Request { verb: text("verb"), uri: text("requestURI"), code })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(stage: &str, user: &str) -> String {
        format!(
            r#"{{"stage":"{stage}","requestURI":"/api/v1/pods","verb":"list","user":{{"username":"{user}"}},"responseStatus":{{"code":403}}}}"#
        )
    }

    #[test]
    fn a_request_counts_once_and_for_its_user() {
        let request = |line: &str| request(line, "me");
        let seen = request(&entry("ResponseComplete", "me")).expect("it is the user's");
        assert_eq!((seen.to_string().as_str(), seen.code), ("list /api/v1/pods", 403));
        assert_eq!(request(&entry("ResponseStarted", "me")), None);
        assert_eq!(request(&entry("ResponseComplete", "other")), None);
        assert_eq!(request(r#"{"stage":"Resp"#), None);
    }
}
