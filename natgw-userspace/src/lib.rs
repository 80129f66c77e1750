//! natgw in user space.

pub mod check;
pub mod core;
pub mod datapath;
pub mod net;
pub mod preflight;
pub mod source;
