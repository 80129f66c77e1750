//! dnat
