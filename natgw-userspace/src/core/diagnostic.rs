//! What is wrong with an object, in words its author can act on.

use std::fmt;

use serde::Serialize;

use super::{objects::ObjectKey, printable::Printable};

/// One problem: which object and field, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Why, as a stable word.
    pub reason: Reason,
    /// The object; `None` when a file is broken before an object could be recognised.
    pub object: Option<ObjectKey>,
    /// Path of the field, such as `spec.externalPort`; empty when the object as a whole is meant.
    pub field: String,
    /// What is wrong, lower case, no full stop.
    pub message: String,
    /// What to do about it.
    pub fix: String,
    /// Where it is written, when the source is a file.
    pub location: Option<Location>,
}

/// Whether the object concerned is programmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The object, or this part of it, is not programmed (or still is as it last was).
    Error,
    /// It is programmed; look at it nevertheless.
    Warning,
}

/// Why, as a word that scripts and condition watchers may rely on: a name is never changed or reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Reason {
    /// The manifest directory does not exist or cannot be listed; the last state is kept.
    DirectoryUnavailable,
    /// A file cannot be read or is not UTF-8; its last good objects are kept.
    ManifestUnreadable,
    /// A file is over the size limit; its last good objects are kept.
    ManifestTooLarge,
    /// A document is not well-formed YAML or JSON; the file's last good objects are kept.
    ManifestSyntax,
    /// A document is not a Kubernetes object, or a field has the wrong type; the object's last good version is kept.
    InvalidObject,
    /// The same kind and name is written twice; the first by path and position counts.
    DuplicateObject,
    /// A kind that natgw does not program; ignored.
    UnknownKind,
    /// A field that the kind does not have; ignored.
    UnknownField,
    /// `metadata.creationTimestamp` cannot be read; the object counts as one without.
    InvalidTimestamp,
    /// Nothing in the source belongs to the gateway, or it is named but has no `VpcNatGateway`.
    GatewayMissing,
    /// A required field is absent or empty.
    MissingField,
    /// The rule names an `IptablesEIP` that does not exist.
    EipMissing,
    /// The rule's `IptablesEIP` exists but is itself not programmed.
    EipNotProgrammed,
    /// Not an IPv4 address, or one that no host can have.
    InvalidAddress,
    /// Not an IPv4 network.
    InvalidCidr,
    /// Not a port number.
    InvalidPort,
    /// Not a protocol that has ports to map.
    InvalidProtocol,
    /// An EIP is an address that its subnet or the gateway uses for something else.
    ReservedAddress,
    /// Valid in kube-ovn, but natgw does not do it.
    Unsupported,
    /// Two EIPs have one address; the oldest has it.
    DuplicateAddress,
    /// Two floating IP rules use one EIP; the oldest has it.
    DuplicateFip,
    /// Two DNAT rules have the same EIP, port and protocol; the oldest has it.
    DuplicateDnat,
    /// Two SNAT rules say the same; one is enough.
    DuplicateSnat,
    /// Two routes have the same destination; the first has it.
    DuplicateRoute,
    /// A CIDR's pool already has as many EIPs as it can hold.
    PoolLimit,
    /// The gateway already has as many EIPs as its maps can hold.
    EipLimit,
    /// A CIDR has host bits set; they are masked.
    HostBitsSet,
    /// A floating IP on the same EIP takes every new flow of this DNAT rule.
    ShadowedByFip,
    /// A rule's target is itself an elastic IP of this gateway.
    TargetIsEip,
    /// A gateway or an EIP names a `Subnet` that does not exist.
    SubnetMissing,
    /// An address is not of the `Subnet` that it should be of.
    OutsideSubnet,
    /// A gateway or an EIP names a `QoSPolicy` that does not exist.
    QosPolicyMissing,
}

impl Reason {
    /// Every reason.
    pub const ALL: &'static [Self] = &[
        Self::DirectoryUnavailable,
        Self::ManifestUnreadable,
        Self::ManifestTooLarge,
        Self::ManifestSyntax,
        Self::InvalidObject,
        Self::DuplicateObject,
        Self::UnknownKind,
        Self::UnknownField,
        Self::InvalidTimestamp,
        Self::GatewayMissing,
        Self::MissingField,
        Self::EipMissing,
        Self::EipNotProgrammed,
        Self::InvalidAddress,
        Self::InvalidCidr,
        Self::InvalidPort,
        Self::InvalidProtocol,
        Self::ReservedAddress,
        Self::Unsupported,
        Self::DuplicateAddress,
        Self::DuplicateFip,
        Self::DuplicateDnat,
        Self::DuplicateSnat,
        Self::DuplicateRoute,
        Self::PoolLimit,
        Self::EipLimit,
        Self::HostBitsSet,
        Self::ShadowedByFip,
        Self::TargetIsEip,
        Self::SubnetMissing,
        Self::OutsideSubnet,
        Self::QosPolicyMissing,
    ];
}

/// A place in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Location {
    /// Path as the source was given it.
    pub file: String,
    /// Line and column; `None` when only the file is known.
    #[serde(flatten)]
    pub position: Option<Position>,
}

/// A line and a column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Position {
    /// Line.
    pub line: u64,
    /// Column, in characters.
    pub column: u64,
}

impl Position {
    /// The place this is in a text of which it is the place after so many lines.
    #[must_use]
    pub fn after(self, lines: u64) -> Self {
        Self { line: self.line + lines, ..self }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The variant's name is the word.
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(Position { line, column }) => write!(f, "{}:{line}:{column}", Printable(&self.file)),
            None => Printable(&self.file).fmt(f),
        }
    }
}

/// `FILE:LINE:COLUMN: KIND/NAME: FIELD: MESSAGE (FIX)`, without the parts that are not known. Severity and reason are
/// left to the caller: a log line has its own place for them.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", Printable(&self.field))?;
        }
        write!(f, "{} ({})", Printable(&self.message), Printable(&self.fix))
    }
}
