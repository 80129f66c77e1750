//! The only removal of a data plane.

use thiserror::Error;

use super::{lock::Lock, pins::GatewayPaths};

/// What was removed, in words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DetachReport {
    /// One line per removed thing.
    pub removed: Vec<String>,
}

/// Some of it could not be removed; the rest was.
#[derive(Debug, Error)]
#[error("cannot remove the whole data plane: {}", .failures.join("; "))]
pub struct DetachError {
    /// What was removed all the same.
    pub report: DetachReport,
    /// One message per failure.
    pub failures: Vec<String>,
}

/// Removes links and filters, pins and the gateway's directory. Idempotent. Runs inside the target network namespace
/// (for clsact filters; links are found from anywhere).
///
/// # Errors
/// Everything that could not be removed.
pub fn detach(_paths: &GatewayPaths, _lock: Lock) -> Result<DetachReport, DetachError> {
    todo!()
}
