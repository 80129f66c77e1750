//! What a pass of the daemon looks at, and why.

pub(super) use crate::observe::metrics::Cause;

/// What a pass has to look at.
#[expect(clippy::struct_excessive_bools, reason = "independent parts, any of which may need a look")]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Work {
    /// Read the source again.
    pub(super) source: bool,
    /// Compare the rule maps.
    pub(super) rules: bool,
    /// Attach, sysctls, interface indexes.
    pub(super) hooks: bool,
    /// Addresses and routes.
    pub(super) network: bool,
    /// The external interface changed: tell the announcer.
    pub(super) announce: bool,
}

impl Work {
    pub(super) const EVERYTHING: Self = Self { source: true, rules: true, hooks: true, network: true, announce: true };
    pub(super) const INTERFACES: Self = Self { source: false, rules: false, ..Self::EVERYTHING };
    pub(super) const DRIFT: Self = Self { announce: false, ..Self::EVERYTHING };
    pub(super) const RULES: Self = Self { source: true, rules: true, hooks: false, network: true, announce: false };
}

impl Work {
    /// Whether no more is asked for than a look at addresses and routes.
    pub(super) const fn is_network_only(self) -> bool {
        !(self.source || self.rules || self.hooks || self.announce)
    }

    /// Both.
    pub(super) fn with(self, other: Self) -> Self {
        Self {
            source: self.source || other.source,
            rules: self.rules || other.rules,
            hooks: self.hooks || other.hooks,
            network: self.network || other.network,
            announce: self.announce || other.announce,
        }
    }
}
