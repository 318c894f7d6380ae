//! Kubernetes quantities as numbers. Pure.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// A quantity in thousandths, rounded up as the scheduler does; none for what is no quantity.
pub(super) fn milli(quantity: &Quantity) -> Option<i128> {
    let text = quantity.0.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (scale, base) = suffix_scale(suffix)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?;
    // digits · 10^(3 - places) · scale, where scale is a power of ten or of two.
    let exponent = 3 - places + if base == 10 { scale } else { 0 };
    let factor = if base == 2 { 1_i128.checked_shl(u32::try_from(scale).ok()?)? } else { 1 };
    let digits = digits.checked_mul(factor)?;
    let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
    if exponent >= 0 {
        digits.checked_mul(power)
    } else {
        Some(digits.div_euclid(power) + i128::from(digits.rem_euclid(power) > 0))
    }
}

fn suffix_scale(suffix: &str) -> Option<(i32, u8)> {
    let scale = match suffix {
        "" => (0, 10),
        "n" => (-9, 10),
        "u" => (-6, 10),
        "m" => (-3, 10),
        "k" => (3, 10),
        "M" => (6, 10),
        "G" => (9, 10),
        "T" => (12, 10),
        "P" => (15, 10),
        "E" => (18, 10),
        "Ki" => (10, 2),
        "Mi" => (20, 2),
        "Gi" => (30, 2),
        "Ti" => (40, 2),
        "Pi" => (50, 2),
        "Ei" => (60, 2),
        other => (other.strip_prefix(['e', 'E'])?.parse().ok()?, 10),
    };
    Some(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_compare_whatever_they_are_written_in() {
        let cases = [
            ("1", Some(1000)),
            ("100m", Some(100)),
            ("0.5", Some(500)),
            ("1.5Gi", Some(1_610_612_736_000)),
            ("128Mi", Some(134_217_728_000)),
            ("2k", Some(2_000_000)),
            ("1e3", Some(1_000_000)),
            ("1u", Some(1)),
            ("lots", None),
            ("1Zi", None),
        ];
        for (text, expected) in cases {
            assert_eq!(milli(&Quantity(text.to_owned())), expected, "{text}");
        }
    }
}
