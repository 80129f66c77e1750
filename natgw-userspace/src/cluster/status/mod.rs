//! What natgw says about objects in the cluster: conditions, the mirrors of `--own-status`, Events.
//!
//! [`wanted`] compares what should be said with what the API server holds; [`writer`] says the difference. Both are fed
//! by the daemon and neither can delay it.

mod condition;
pub mod events;
mod mirror;
mod pace;
pub mod ready;
pub mod wanted;
pub mod writer;

/// The field manager of everything that natgw applies, and the reporter of its Events.
pub const MANAGER: &str = "natgw";
