//! natgw in user space.

pub mod check;
pub mod cli;
pub mod cluster;
pub mod config_file;
pub mod core;
pub mod datapath;
pub mod exit;
pub mod logging;
pub mod net;
pub mod observe;
pub mod preflight;
pub mod runtime;
pub mod source;
pub mod status;
