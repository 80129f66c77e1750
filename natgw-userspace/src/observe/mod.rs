//! What others may see of a running daemon: `/healthz`, `/readyz`, `/metrics`, and `natgw probe` that asks for them.
//!
//! The daemon sets values of [`Health`] and [`Metrics`]; the [`server`] reads them. Neither waits for the other: locks are
//! held for a copy, and maps are read at a scrape on a thread of their own. Nothing here decides what is programmed.

pub mod health;
pub mod listen;
pub mod metrics;
pub mod probe;
pub mod readiness;
mod routes;
pub mod server;

pub use health::Health;
pub use listen::Listen;
pub use metrics::Metrics;
pub use server::Server;
