//! Layer `daemon`: the real binary against a real kernel: starting, following, repairing, inspecting, leaving.
#![allow(missing_docs, reason = "a test binary documents nothing")]

mod checking;
mod confined;
mod following;
mod inspecting;
mod network;
mod observing;
mod starting;
mod support;
