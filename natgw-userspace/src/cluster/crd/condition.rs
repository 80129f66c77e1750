//! One entry of `status.conditions`.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Type of the condition that says whether the data plane does what an object asks for.
pub const CONDITION_PROGRAMMED: &str = "Programmed";

/// What one observer says about one aspect of an object.
// Times are text: an odd one must not make an object unreadable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = require_type)]
pub struct Condition {
    /// The aspect; unique within the list.
    #[serde(rename = "type", default)]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// One word for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A sentence for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When `status` last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: Option<String>,
    /// When the condition was last written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_update_time: Option<String>,
    /// The `metadata.generation` that it speaks about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// The API server wants the key of a map list to be required. Here an entry without one is still readable.
fn require_type(schema: &mut Schema) {
    schema.insert("required".to_owned(), json!(["type"]));
    if let Some(type_) = schema.pointer_mut("/properties/type").and_then(Value::as_object_mut) {
        type_.remove("default");
    }
}
