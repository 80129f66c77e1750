//! A Kubernetes cluster as a source of objects, and as the place where their conditions and Events are written.
//!
//! Reading: one `watch` task per kind feeds a pure `fold`; [`source::ClusterSource`] is what the daemon holds. Nothing
//! here decides what a gateway does: `core` does, from the same index that manifests fill.

mod client;
pub mod crd;
mod delays;
#[cfg(test)]
mod deployment;
mod errors;
mod fold;
mod links;
pub mod source;
pub mod status;
mod watch;
mod watched;

pub use client::{ClientError, ClusterOptions};
pub use watched::group;
