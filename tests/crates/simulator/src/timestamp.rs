//! Turns moments into what goes over the wire: epoch seconds as a JSON number with
//! milliseconds (JSON 1.1 has no other form for `IsoDate`, whatever its name says), and RFC 3339
//! for what people read.

use chrono::{DateTime, SecondsFormat, Utc};

/// `1479816991.349`, as in the examples of the API reference.
pub(crate) fn epoch_seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp_millis() as f64 / 1000.0
}

/// `2026-11-24T04:11:34.123Z`.
pub(crate) fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
