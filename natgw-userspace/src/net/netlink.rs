//! The rtnetlink socket for requests, and what its errors say.

use std::io;

use rtnetlink::Handle;
use thiserror::Error;
use tokio::runtime;

use super::{NetNs, NetNsError};

/// A netlink request or socket that failed.
#[derive(Debug, Error)]
pub enum NetlinkError {
    /// The namespace of the socket could not be entered.
    #[error(transparent)]
    NetNs(#[from] NetNsError),
    /// The socket could not be made.
    #[error("cannot open a netlink socket: {0}")]
    Open(io::Error),
    /// The kernel refused a request.
    #[error("cannot {action}: {source}")]
    Refused {
        /// What was asked, with the object's name.
        action: String,
        /// The kernel's errno.
        source: io::Error,
    },
    /// The answer was no errno.
    #[error("cannot {action}: {message}")]
    Protocol {
        /// What was asked, with the object's name.
        action: String,
        /// What rtnetlink said.
        message: String,
    },
}

impl NetlinkError {
    pub(super) fn new(action: impl Into<String>, error: &rtnetlink::Error) -> Self {
        let action = action.into();
        if let rtnetlink::Error::NetlinkError(message) = error {
            return Self::Refused { action, source: message.to_io() };
        }
        Self::Protocol { action, message: error.to_string() }
    }

    /// The errno, when the kernel gave one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { source, .. } => source.raw_os_error(),
            Self::NetNs(_) | Self::Open(_) | Self::Protocol { .. } => None,
        }
    }

    /// Whether the interface went away in the meantime: not a fault, the work is done when it returns.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.errno(), Some(libc::ENODEV))
    }
}

/// A request socket inside one namespace. Cheap to clone; its task ends with the last clone.
#[derive(Debug, Clone)]
pub struct Netlink {
    pub(super) handle: Handle,
}

impl Netlink {
    /// Opens the socket inside `ns`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the namespace cannot be entered or the socket not be made.
    pub fn open(ns: &NetNs) -> Result<Self, NetlinkError> {
        let runtime = runtime::Handle::current();
        let (connection, handle, _unsolicited) = ns
            .run(|| {
                let _inside = runtime.enter();
                rtnetlink::new_connection()
            })?
            .map_err(NetlinkError::Open)?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }
}
