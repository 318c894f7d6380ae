//! Durations as people write them: `90s`, `5m`, `1h 30m`, or ISO 8601. For `#[serde(with = "…")]` on settings.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, Serializer, de};

/// Writes a duration as ISO 8601.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let signed = SignedDuration::try_from(*duration).unwrap_or(SignedDuration::MAX);
    serializer.collect_str(&signed)
}

/// Reads a duration.
///
/// # Errors
/// When the text is no duration, or a negative one.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// Reads a duration.
///
/// # Errors
/// Why it cannot be read.
pub fn parse(text: &str) -> Result<Duration, String> {
    let signed: SignedDuration = text.parse().map_err(|error| format!("{text:?} is not a duration: {error}"))?;
    signed.try_into().map_err(|_| format!("{text:?} is a negative duration"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("1h 30m", 5400), ("PT2M", 120), ("0s", 0)] {
            assert_eq!(parse(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        for bad in ["", "5", "soon", "-5m"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
