//! Durations as people write them in scenarios: `500ms`, `90s`, `1m30s`, `2h`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration that was written with units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration; write a number and a unit (ms, s, m, h), like `500ms`, `90s` or `1m30s`")]
pub struct NotADuration(String);

/// Units, and what they are in milliseconds.
const UNITS_MS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// Reads a duration.
///
/// # Errors
/// [`NotADuration`].
pub fn parse(text: &str) -> Result<Span, NotADuration> {
    let wrong = || NotADuration(text.to_owned());
    let mut total_ms: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (_, unit_ms) = UNITS_MS.iter().find(|(unit, _)| *unit == &rest[..letters]).ok_or_else(wrong)?;
        total_ms = number.checked_mul(*unit_ms).and_then(|ms| total_ms.checked_add(ms)).ok_or_else(wrong)?;
        rest = &rest[letters..];
    }
    Ok(Span(Duration::from_millis(total_ms)))
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest_ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest_ms == 0 {
            return f.write_str("0s");
        }
        for (unit, unit_ms) in UNITS_MS.iter().rev() {
            if rest_ms >= *unit_ms {
                write!(f, "{}{unit}", rest_ms / unit_ms)?;
                rest_ms %= unit_ms;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A duration: numbers with units (ms, s, m, h).",
            "format": super::check::FORMAT_DURATION,
            "pattern": "^([0-9]+(ms|s|m|h))+$",
            "examples": ["500ms", "90s", "1m30s"],
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_write_is_read_and_what_is_no_duration_is_refused() {
        let good = [("500ms", 500), ("90s", 90_000), ("1m30s", 90_000), ("2h", 7_200_000), ("0s", 0), (" 5s ", 5_000)];
        for (text, ms) in good {
            assert_eq!(parse(text).unwrap().0, Duration::from_millis(ms), "{text}");
        }
        for bad in ["", "5", "s", "5 s", "5sec", "-5s", "1.5s", "99999999999999999999s", "99999999999999999h"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_reads_back_as_it_was_written(ms in 0..10_000_000_u64) {
            let span = Span(Duration::from_millis(ms));
            prop_assert_eq!(parse(&span.to_string()), Ok(span));
        }
    }
}
