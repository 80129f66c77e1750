//! natgw.
fn main() {}
