//! Latencies with a high dynamic range, at a precision of three digits from a microsecond to a day: exact enough for any
//! percentile, small enough to keep, and two runs' can be added up.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};

/// The longest time that is told apart: a day.
const MICROSECONDS_MAX: u64 = 86_400_000_000;

/// How many digits count.
const DIGITS: u8 = 3;

/// How often something took how long. Nothing is set aside before the first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram(Option<hdrhistogram::Histogram<u64>>);

/// Why a stored histogram cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistogramError {
    /// It is no base64.
    #[error("it is not base64")]
    Base64(#[from] base64::DecodeError),
    /// It is no histogram.
    #[error("it is no HDR histogram: {0:?}")]
    Content(hdrhistogram::serialization::DeserializeError),
}

impl Histogram {
    fn counts(&mut self) -> Option<&mut hdrhistogram::Histogram<u64>> {
        if self.0.is_none() {
            // The bounds are good ones: this does not fail.
            self.0 = hdrhistogram::Histogram::new_with_bounds(1, MICROSECONDS_MAX, DIGITS).ok();
        }
        self.0.as_mut()
    }

    /// Notes one more; what takes longer than a day counts as a day.
    pub fn record(&mut self, took: Duration) {
        if let Some(counts) = self.counts() {
            counts.saturating_record(u64::try_from(took.as_micros()).unwrap_or(MICROSECONDS_MAX));
        }
    }

    /// Adds those of another.
    pub fn merge(&mut self, other: &Self) {
        if let (Some(other), Some(counts)) = (&other.0, self.counts()) {
            // Both have the same bounds.
            let _ = counts.add(other);
        }
    }

    fn filled(&self) -> Option<&hdrhistogram::Histogram<u64>> {
        self.0.as_ref().filter(|counts| !counts.is_empty())
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.filled().map_or(0, hdrhistogram::Histogram::len)
    }

    /// The time that a share `q` of them took at most, in seconds; none where there are none.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        self.filled().map(|counts| seconds(counts.value_at_quantile(q)))
    }

    /// The mean, in seconds; none where there are none.
    pub fn mean(&self) -> Option<f64> {
        self.filled().map(|counts| counts.mean() / 1e6)
    }

    /// The longest, in seconds; none where there are none.
    pub fn max(&self) -> Option<f64> {
        self.filled().map(|counts| seconds(counts.max()))
    }

    /// For a file: `HdrHistogram`'s own V2 form, in base64; empty where there are none.
    pub fn to_text(&self) -> String {
        let mut bytes = Vec::new();
        if let Some(counts) = self.filled() {
            // Writing to memory does not fail.
            let _ = V2Serializer::new().serialize(counts, &mut bytes);
        }
        STANDARD.encode(bytes)
    }

    /// From a file.
    ///
    /// # Errors
    /// See [`HistogramError`].
    pub fn from_text(text: &str) -> Result<Self, HistogramError> {
        let bytes = STANDARD.decode(text.trim())?;
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let counts = Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(HistogramError::Content)?;
        Ok(Self(Some(counts)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a day in microseconds is far from the limit")]
fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_thousandth_and_survive_a_file_and_a_merge() {
        let (mut low, mut high) = (Histogram::default(), Histogram::default());
        for millis in 1..=500 {
            low.record(Duration::from_millis(millis));
            high.record(Duration::from_millis(500 + millis));
        }
        let mut all = Histogram::from_text(&low.to_text()).unwrap();
        all.merge(&Histogram::from_text(&high.to_text()).unwrap());
        assert_eq!(all.count(), 1000);
        for (q, expected) in [(0.5, 0.5), (0.95, 0.95), (0.99, 0.99), (1.0, 1.0)] {
            let found = all.quantile(q).unwrap();
            assert!((found - expected).abs() < expected / 500.0, "p{q}: {found}");
        }
        assert!((all.mean().unwrap() - 0.5005).abs() < 0.001);
        assert!(Histogram::from_text("nonsense").is_err());
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn what_takes_no_time_or_all_the_time_is_counted_too() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::ZERO);
        histogram.record(Duration::from_secs(1_000_000));
        assert_eq!(histogram.count(), 2);
        assert!(histogram.max().unwrap() >= 86_000.0);
        assert!(histogram.quantile(0.5).unwrap() < 0.000_002);
    }
}
