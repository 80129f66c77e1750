//! natgw in user space.
