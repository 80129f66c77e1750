//! Attachment.

use std::io;

use serde::Serialize;
use thiserror::Error;

use super::{loader::Datapath, pins::GatewayPaths};

/// One of the two interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The VPC's.
    Internal,
    /// The physical network's.
    External,
}

/// One place where a program sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// Ingress of the internal interface.
    IntIn,
    /// Ingress of the external interface.
    ExtIn,
    /// Egress of the external interface.
    ExtOut,
}

impl Hook {
    /// Every hook.
    pub const ALL: [Self; 3] = [Self::IntIn, Self::ExtIn, Self::ExtOut];

    /// The name of its link's pin.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IntIn => "int_in",
            Self::ExtIn => "ext_in",
            Self::ExtOut => "ext_out",
        }
    }
}

/// How to attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AttachMode {
    /// TCX where the kernel has it, clsact otherwise.
    #[default]
    Auto,
    /// TCX or fail.
    Tcx,
    /// clsact filters through netlink.
    Clsact,
}

/// How a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// A TCX link.
    Tcx,
    /// A filter of the clsact qdisc.
    Clsact,
}

/// What attaching did to one hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing: this very program was attached already.
    Unchanged,
    /// The program of an earlier daemon was replaced in one step.
    Replaced,
    /// Nothing of ours was attached.
    Created,
}

/// The result of [`Datapath::attach`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// How.
    pub mechanism: Mechanism,
    /// What happened at each hook of the side.
    pub hooks: Vec<(Hook, Outcome)>,
    /// Why `Auto` did not use TCX.
    pub fallback: Option<String>,
}

/// An attachment as found in the kernel, for `natgw status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attachment {
    /// Where.
    pub hook: Hook,
    /// How.
    pub mechanism: Mechanism,
    /// Interface index; `None` when the interface of a pinned link is gone or lies in another namespace.
    pub ifindex: Option<u32>,
    /// Kernel id of the program.
    pub program_id: u32,
}

/// A program could not be attached.
#[derive(Debug, Error)]
pub enum AttachError {
    /// A system call failed.
    #[error("{0}")]
    Todo(#[from] io::Error),
}

impl Datapath {
    /// Attaches the programs of `side` to the interface `name` with index `ifindex`. Runs inside the target network
    /// namespace. Idempotent: call it at start, when the interface (re)appears, and as the periodic check.
    ///
    /// # Errors
    /// The interface is gone or has another index, or the kernel refuses.
    pub fn attach(
        &mut self,
        _side: Side,
        _ifindex: u32,
        _name: &str,
        _mode: AttachMode,
    ) -> Result<Attached, AttachError> {
        todo!()
    }
}

/// What is attached now, TCX links and clsact filters. Runs inside the target network namespace; needs no daemon.
///
/// # Errors
/// The kernel refuses to tell.
pub fn attachments(_paths: &GatewayPaths) -> Result<Vec<Attachment>, AttachError> {
    todo!()
}
