//! Numbers as text, the way the tools we agree with write them: in JSON, and in sentences.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// Digits and decimal exponent of a finite number: `d.ddd` and the power of ten it is multiplied with.
fn scientific(value: f64) -> (String, i32) {
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => (digits.to_owned(), exponent.parse().unwrap_or_default()),
        None => (text, 0),
    }
}

/// A number in a sentence: the fewest digits that read back as the same number, with an exponent below 10⁻⁴ and from 10⁶
/// on, as Go's `%v` has it.
pub fn text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let (digits, exponent) = scientific(value);
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

/// A number in JSON, as Go's encoder has it: with an exponent below 10⁻⁶ and from 10²¹ on.
fn json(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return format!("{value}");
    }
    let (digits, exponent) = scientific(value);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{}", exponent.unsigned_abs())
}

/// Indented JSON with a newline at its end.
///
/// # Errors
/// When a value cannot be written as JSON: infinities and NaN.
pub fn pretty<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut out, Style::default()))?;
    out.push(b'\n');
    Ok(out)
}

/// Two spaces of indent, and numbers as above.
#[derive(Default)]
struct Style(PrettyFormatter<'static>);

impl Formatter for Style {
    fn write_f64<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(json(value).as_bytes())
    }

    fn begin_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: io::Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: io::Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_has_the_shortest_digits_and_an_exponent_only_where_it_helps() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (5.0, "5"),
            (12.5, "12.5"),
            (100_000.0, "100000"),
            (999_999.5, "999999.5"),
            (1_000_000.0, "1e+06"),
            (1_234_567.5, "1.2345675e+06"),
            (268_435_456.0, "2.68435456e+08"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (1e22, "1e+22"),
            (-1.5e-300, "-1.5e-300"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(text(value), expected);
        }
    }

    #[test]
    fn json_keeps_numbers_plain_for_longer() {
        for (value, expected) in [
            (134_217_728.0, "134217728"),
            (1.23e-6, "0.00000123"),
            (1.5e-7, "1.5e-7"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-0.0, "-0"),
            (34.217_727_999_999_994, "34.217727999999994"),
        ] {
            assert_eq!(json(value), expected);
        }
        assert_eq!(pretty(&[1.0, 2.5]).unwrap(), b"[\n  1,\n  2.5\n]\n");
    }
}
