//! Quantities: `100m`, `64Mi`, `1e3`. Kept exactly, written in Kubernetes' canonical form.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

/// How a quantity is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// `k`, `M`, `G`.
    DecimalSi,
    /// `e3`, `e6`.
    DecimalExponent,
    /// `Ki`, `Mi`, `Gi`.
    BinarySi,
}

/// An amount in billionths, the smallest that Kubernetes knows, with the form it was written in.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// A text that is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a number with a suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Form,
    /// A suffix nobody knows.
    #[error("unable to parse quantity's suffix")]
    Suffix,
    /// More than can be counted.
    #[error("unable to parse numeric part of quantity")]
    Number,
}

const NANO: i128 = 1_000_000_000;
/// The largest quantity Kubernetes keeps.
const MAX: i128 = i64::MAX as i128 * NANO;
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

impl Quantity {
    /// Reads a quantity from a JSON string or number.
    pub fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => number.to_string().parse().ok(),
            _ => None,
        }
    }

    /// In whole thousandths, rounded up, as limits on CPU are counted.
    pub fn millis(&self) -> i128 {
        let unit = NANO / 1000;
        self.nanos.div_euclid(unit) + i128::from(self.nanos.rem_euclid(unit) != 0)
    }

    /// In whole units, rounded up.
    pub fn units(&self) -> i128 {
        self.nanos.div_euclid(NANO) + i128::from(self.nanos.rem_euclid(NANO) != 0)
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// Whether it is below zero.
    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    /// Whether it has no fraction.
    pub fn is_whole(&self) -> bool {
        self.nanos % NANO == 0
    }

    /// Whether nothing is smaller than a thousandth in it.
    pub fn is_whole_millis(&self) -> bool {
        self.nanos % (NANO / 1000) == 0
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl std::str::FromStr for Quantity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (negative, rest) = match text.as_bytes().first() {
            None => return Err(Error::Form),
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            Some(_) => (false, text),
        };
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, rest) = rest.split_at(digits(rest));
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(digits(rest)),
            None => ("", rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(Error::Form);
        }
        let (base, exponent, format) = read_suffix(suffix)?;
        let magnitude = scaled(whole, fraction, base, exponent)?;
        let magnitude = magnitude.min(MAX);
        let nanos = if negative { -magnitude } else { magnitude };
        // A fraction of a unit cannot be written in powers of two.
        let format = if format == Format::BinarySi && magnitude < NANO { Format::DecimalSi } else { format };
        Ok(Self { nanos, format })
    }
}

/// Base, exponent and form that a suffix stands for.
fn read_suffix(suffix: &str) -> Result<(i128, i32, Format), Error> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Ok((10, *exponent, Format::DecimalSi));
    }
    if let Some((_, exponent)) = BINARY.iter().find(|(s, _)| *s == suffix) {
        return Ok((2, i32::try_from(*exponent).unwrap_or_default(), Format::BinarySi));
    }
    if let Some(exponent) = suffix.strip_prefix(['e', 'E'])
        && let Ok(exponent) = exponent.parse::<i32>()
    {
        return Ok((10, exponent, Format::DecimalExponent));
    }
    let known = |c: char| "eEinumkKMGTP+-".contains(c) || c.is_ascii_digit();
    Err(if suffix.chars().all(known) { Error::Suffix } else { Error::Form })
}

/// The number in billionths, rounded up; capped far above [`MAX`].
fn scaled(whole: &str, fraction: &str, base: i128, exponent: i32) -> Result<i128, Error> {
    const CAP: i128 = i128::MAX / 4096;
    let mut number: i128 = 0;
    let mut shift = -i32::try_from(fraction.len()).map_err(|_| Error::Number)?;
    let mut rest = false;
    for digit in whole.bytes().chain(fraction.bytes()) {
        // Beyond 27 digits only whether anything follows matters.
        if number > 10_i128.pow(27) {
            rest |= digit != b'0';
            shift += 1;
        } else {
            number = number * 10 + i128::from(digit - b'0');
        }
    }
    if base == 2 {
        number = number.saturating_mul(1_i128 << exponent.clamp(0, 60)).min(CAP);
        shift += 9;
    } else {
        shift = shift.saturating_add(exponent).saturating_add(9);
    }
    while shift > 0 && number != 0 && number < CAP {
        number = number.saturating_mul(10);
        shift -= 1;
    }
    while shift < 0 && (number != 0 || rest) {
        rest |= number % 10 != 0;
        number /= 10;
        shift += 1;
        if number == 0 {
            break;
        }
    }
    Ok(number + i128::from(rest))
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let binary = self.format == Format::BinarySi && self.is_whole() && self.nanos.abs() >= 1024 * NANO;
        if binary {
            let mut number = self.nanos / NANO;
            let mut steps = 0;
            while number % 1024 == 0 && steps < BINARY.len() {
                number /= 1024;
                steps += 1;
            }
            let suffix = if steps == 0 { "" } else { BINARY[steps - 1].0 };
            return write!(f, "{number}{suffix}");
        }
        let (mut number, mut exponent) = (self.nanos, -9);
        while number % 1000 == 0 && exponent < 18 {
            number /= 1000;
            exponent += 3;
        }
        match (self.format, exponent) {
            (_, 0) => write!(f, "{number}"),
            (Format::DecimalExponent, _) => write!(f, "{number}e{exponent}"),
            _ => {
                let suffix = DECIMAL.iter().find(|(_, e)| *e == exponent).map_or("", |(s, _)| s);
                write!(f, "{number}{suffix}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_written_in_canonical_form() {
        let cases = [
            ("0.1", "100m"),
            ("100m", "100m"),
            ("64Mi", "64Mi"),
            ("1024Ki", "1Mi"),
            ("1000m", "1"),
            ("0", "0"),
            ("1.5Gi", "1536Mi"),
            ("1e3", "1e3"),
            ("1000", "1k"),
            ("1E", "1E"),
            ("0.5Mi", "512Ki"),
            ("12.", "12"),
            ("-1.5", "-1500m"),
            ("+3", "3"),
            ("1000Ki", "1000Ki"),
            ("0.1n", "1n"),
            ("512", "512"),
            ("1500000", "1500k"),
            ("5e-3", "5e-3"),
            ("1023", "1023"),
            ("0.5Ki", "512"),
            ("00", "0"),
            ("007", "7"),
            (".5", "500m"),
        ];
        for (text, wanted) in cases {
            let quantity: Quantity = text.parse().unwrap_or_else(|e| unreachable!("{text}: {e}"));
            assert_eq!(quantity.to_string(), wanted, "{text}");
            assert_eq!(
                quantity.to_string().parse::<Quantity>().map(|q| q.to_string()),
                Ok(wanted.to_owned()),
                "{text} twice"
            );
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for (text, error) in [
            ("", Error::Form),
            ("x", Error::Form),
            ("1x", Error::Form),
            ("1mm", Error::Suffix),
            (".", Error::Form),
            ("1 ", Error::Form),
            ("1e", Error::Suffix),
        ] {
            assert_eq!(text.parse::<Quantity>().err(), Some(error), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_what_is_read_keeps_its_value(text in "[+-]?[0-9]{0,40}[.]?[0-9]{0,30}(m|u|n|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|e-?[0-9]{1,10})?") {
            if let Ok(quantity) = text.parse::<Quantity>() {
                let again: Quantity = quantity.to_string().parse().unwrap();
                proptest::prop_assert_eq!(quantity, again);
            }
        }
    }
}
