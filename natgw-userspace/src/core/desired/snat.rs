//! snat
