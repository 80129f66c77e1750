//! `metadata.creationTimestamp`: a point in time that is only ever compared.

use std::{fmt, str::FromStr, time::SystemTime};

/// An RFC 3339 time in UTC, as the API server writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(SystemTime);

/// The text is not an RFC 3339 time in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time in UTC, such as 2026-01-31T12:00:00Z")]
pub struct TimestampError;

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_rfc3339(text).map(Self).map_err(|_| TimestampError)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_rfc3339(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_compare_by_time_and_print_as_read() {
        let early: Timestamp = "2026-01-31T12:00:00Z".parse().expect("valid");
        let late: Timestamp = "2026-01-31T12:00:00.5Z".parse().expect("valid");
        assert!(early < late);
        assert_eq!(early.to_string(), "2026-01-31T12:00:00Z");
        assert_eq!("yesterday".parse::<Timestamp>(), Err(TimestampError));
    }
}
