//! natgw in user space.

pub mod check;
pub mod core;
pub mod net;
pub mod source;
