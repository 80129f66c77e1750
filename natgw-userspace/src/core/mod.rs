//! The pure heart of user space: from a set of kube-ovn objects to the entries of the rule maps.
//!
//! Nothing here reads a file, a clock, a socket or a map, so every function gives the same answer for the same input,
//! whatever the order of arrival. Sources fill an [`index::Index`]; [`desired::DesiredState::build`] turns it into
//! map entries; [`plan::plan`] says what to change.
#![forbid(unsafe_code)]

pub mod cidr;
pub mod desired;
pub mod diagnostic;
pub(crate) mod difference;
pub mod index;
pub mod objects;
pub mod plan;
pub mod printable;
pub mod verdict;

#[cfg(test)]
pub(crate) mod small_worlds;
#[cfg(test)]
pub(crate) mod testing;
