//! The Kubernetes side: custom resources and what is installed beside them.
#![forbid(unsafe_code)]

pub mod crd;
#[cfg(test)]
mod deployment;
