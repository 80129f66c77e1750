//! Objects written past the API server, into etcd itself, as it would store them: many thousands in a few seconds. The
//! API server's watches tell of them as of any other.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::Cluster;

/// What etcd takes in one transaction by default.
const IN_ONE_TRANSACTION: usize = 128;

/// Where cluster-scoped objects of a group are stored.
fn prefix(group: &str, plural: &str, name: &str) -> String {
    format!("/registry/{group}/{plural}/{name}")
}

impl Cluster {
    /// Stores `objects` of a CRD, each with its complete metadata.
    ///
    /// # Panics
    /// When etcd refuses, or an object has no name.
    pub fn store(&self, group: &str, plural: &str, objects: &[Value]) {
        let put = |object: &Value| {
            let name = object["metadata"]["name"].as_str().expect("metadata.name");
            let (key, value) = (STANDARD.encode(prefix(group, plural, name)), STANDARD.encode(object.to_string()));
            json!({ "requestPut": { "key": key, "value": value } })
        };
        for some in objects.chunks(IN_ONE_TRANSACTION) {
            let puts: Vec<Value> = some.iter().map(put).collect();
            self.block_on(self.lock_etcd().call("/v3/kv/txn", &json!({ "success": puts })));
        }
    }

    /// Deletes every object whose name begins with `begin`, at once.
    ///
    /// # Panics
    /// When etcd refuses.
    pub fn unstore(&self, group: &str, plural: &str, begin: &str) {
        let first = prefix(group, plural, begin).into_bytes();
        let mut end = first.clone();
        // Names are ASCII: there is always a next byte.
        *end.last_mut().expect("a prefix is not empty") += 1;
        let range = json!({ "key": STANDARD.encode(first), "range_end": STANDARD.encode(end) });
        self.block_on(self.lock_etcd().call("/v3/kv/deleterange", &range));
    }
}
