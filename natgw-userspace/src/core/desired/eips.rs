//! eips
