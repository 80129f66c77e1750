//! The session table. Only whoever walks it anyway knows how many there are: the sweeper.

use prometheus_client::{metrics::gauge::Gauge, registry::Registry};

use super::labels::register;

/// The session table.
#[derive(Debug, Clone)]
pub struct SessionMetrics {
    used: Gauge,
}

impl SessionMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let help = "Sessions in the table, as the last sweep found them";
        Self { used: register(registry, "sessions", help, Gauge::default()) }
    }

    /// What a sweep left.
    pub fn swept(&self, left: u64) {
        self.used.set(i64::try_from(left).unwrap_or(i64::MAX));
    }
}
