//! Where objects come from.
#![forbid(unsafe_code)]

pub mod manifests;
