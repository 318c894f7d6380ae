//! Numbers as people read them: with their unit, and in as many digits as one takes in at a glance. Exact ones stand in files.

/// The digits that one takes in at a glance.
const DIGITS: usize = 3;
/// More digits than any number has.
const DIGITS_MAX: usize = 17;

/// From how many on a number is shown in a unit, that unit, and how many of the base unit it is; the largest first.
const TIMES: [(f64, &str, f64); 6] = [
    (172_800.0, "d", 86_400.0),
    (7_200.0, "h", 3_600.0),
    (100.0, "min", 60.0),
    (1.0, "s", 1.0),
    (1e-3, "ms", 1e-3),
    (0.0, "µs", 1e-6),
];
const SIZES: [(f64, &str, f64); 4] = [
    (1_073_741_824.0, "GiB", 1_073_741_824.0),
    (1_048_576.0, "MiB", 1_048_576.0),
    (1_024.0, "KiB", 1_024.0),
    (0.0, "B", 1.0),
];

/// A number with its unit.
pub fn amount(value: f64, unit: &str) -> String {
    in_digits(value, unit, DIGITS)
}

/// Two numbers, in as many digits as tell them apart.
pub fn apart(one: f64, other: f64, unit: &str) -> (String, String) {
    let digits = (DIGITS..DIGITS_MAX).find(|digits| in_digits(one, unit, *digits) != in_digits(other, unit, *digits));
    // Equal ones are not to be told apart.
    let digits = if one.total_cmp(&other).is_eq() { DIGITS } else { digits.unwrap_or(DIGITS_MAX) };
    (in_digits(one, unit, digits), in_digits(other, unit, digits))
}

/// A difference, with its sign.
pub fn signed(off: f64, unit: &str) -> String {
    let sign = if off > 0.0 { "+" } else { "" };
    format!("{sign}{}", amount(off, unit))
}

/// A share in percent, with its sign; what is many times as much is told as that.
pub fn percent(share: f64) -> String {
    if share >= 1000.0 {
        return format!("{} times as much", plain(share / 100.0 + 1.0, 2));
    }
    // The tenth of a percent is what noise leaves.
    let text = format!("{share:+.1}");
    format!("{} %", text.strip_suffix(".0").unwrap_or(&text))
}

fn in_digits(value: f64, unit: &str, digits: usize) -> String {
    let units: &[(f64, &str, f64)] = match unit {
        "seconds" if value == 0.0 => return "0 s".to_owned(),
        "seconds" if value.is_finite() => &TIMES,
        "bytes" if value.is_finite() => &SIZES,
        _ => &[],
    };
    match units.iter().find(|(from, ..)| value.abs() >= *from) {
        Some((_, name, size)) => format!("{} {name}", plain(value / size, digits)),
        None => plain(value, digits),
    }
}

/// A bare number: a whole one in full, another in so many digits, without what says nothing at its end.
fn plain(value: f64, digits: usize) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return if value.is_nan() { "NaN" } else { "infinite" }.to_owned();
    }
    if size != 0.0 && !(1e-6..1e15).contains(&size) {
        return format!("{value:.*e}", digits.saturating_sub(1));
    }
    if value.fract() == 0.0 {
        // There is no -0 that people know.
        return format!("{:.0}", value + 0.0);
    }
    #[expect(clippy::cast_possible_truncation, reason = "an exponent")]
    let magnitude = size.log10().floor() as i64;
    let decimals = i64::try_from(digits).unwrap_or_default() - 1 - magnitude;
    let decimals = usize::try_from(decimals).unwrap_or_default();
    let text = format!("{value:.decimals$}");
    if decimals == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_at_a_glance() {
        for (value, unit, text) in [
            (0.0, "seconds", "0 s"),
            (0.000_25, "seconds", "250 µs"),
            (0.009_1, "seconds", "9.1 ms"),
            (0.100_062_999_999_999_99, "seconds", "100 ms"),
            (-0.042, "seconds", "-42 ms"),
            (12.345, "seconds", "12.3 s"),
            (300.0, "seconds", "5 min"),
            (9_000.976, "seconds", "2.5 h"),
            (604_800.0, "seconds", "7 d"),
            (5_242_880.0, "bytes", "5 MiB"),
            (12.0, "bytes", "12 B"),
            (3.0, "count", "3"),
            (-0.0, "count", "0"),
            (4_538.0, "count", "4538"),
            (4.256, "count", "4.26"),
            (1_234.5, "", "1234"),
            (2.5e-9, "count", "2.50e-9"),
            (1e300, "count", "1.00e300"),
            (f64::NAN, "seconds", "NaN"),
            (f64::INFINITY, "bytes", "infinite"),
        ] {
            assert_eq!(amount(value, unit), text);
        }
    }

    #[test]
    fn what_is_different_looks_different() {
        let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        assert_eq!(apart(0.2, 0.1, "seconds"), pair("200 ms", "100 ms"));
        assert_eq!(apart(0.100_063, 0.1, "seconds"), pair("100.1 ms", "100 ms"));
        assert_eq!(apart(0.1, 0.1, "seconds"), pair("100 ms", "100 ms"));
        assert_eq!(apart(1.0, 1.000_000_001, "count"), pair("1", "1.000000001"));
    }

    #[test]
    fn differences_have_a_sign_and_what_is_many_times_as_much_says_so() {
        assert_eq!(signed(0.100_062_999_999_999_99, "seconds"), "+100 ms");
        assert_eq!(signed(-3.0, "count"), "-3");
        for (share, text) in [
            (100.0, "+100 %"),
            (-33.333, "-33.3 %"),
            (0.04, "+0 %"),
            (54_635.6, "547 times as much"),
            (1e3, "11 times as much"),
        ] {
            assert_eq!(percent(share), text);
        }
    }
}
