//! fips
