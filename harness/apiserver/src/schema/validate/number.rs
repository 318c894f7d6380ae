//! Numbers against their bounds, with the conversions (and their oddities) of Kubernetes' validator.

use serde_json::{Number, Value};

use super::structure::{Code, Violation};
use crate::schema::go;
use crate::schema::node::{Bounds, Type};

/// The largest whole number that a double holds exactly.
const MAX_SAFE: f64 = 9_007_199_254_740_991.0;

/// The type and format that a number's range is checked by; none where the type is ambiguous.
pub(super) fn format_of(ty: Type, format: &str) -> (Type, &str) {
    match (ty, format) {
        (Type::Integer, "int32" | "int64") | (Type::Number, "float" | "double") => (ty, format),
        (Type::Integer | Type::Number, _) => (ty, ""),
        _ => (Type::Any, ""),
    }
}

/// What is wrong with a number.
pub(super) fn check(path: &str, n: &Number, ty: Type, format: &str, bounds: Option<&Bounds>) -> Vec<Violation> {
    let mut found = Vec::new();
    let value = n.as_f64().unwrap_or_default();
    let out_of_range = |number: f64, whole: Option<i64>, prefix: &str| {
        let fits = match (ty, format) {
            (Type::Integer, "int32") => {
                whole.map_or_else(|| to_whole(number), Some).is_some_and(|w| i32::try_from(w).is_ok())
            }
            (Type::Integer, _) => whole.is_some() || to_whole(number).is_some(),
            (Type::Number, "float") => number.abs() <= f64::from(f32::MAX),
            _ => true,
        };
        let name = if ty == Type::Integer { "integer" } else { "number" };
        let with = if format.is_empty() { "(default format)".to_owned() } else { format!("with format {format}") };
        (!fits).then(|| {
            let text = format!("{prefix} value must be of type {name} {with} in {path}");
            Violation::new(Code::Untied, "", None, text)
        })
    };
    found.extend(out_of_range(value, n.as_i64(), "Checked"));
    let Some(bounds) = bounds else { return found };
    let mut bound = |limit: Option<f64>, prefix: &str, check: &dyn Fn(Operand, f64) -> Option<String>| {
        let Some(limit) = limit else { return };
        let outside = out_of_range(limit, None, prefix);
        // A bound that does not fit the type is still applied, as a plain number.
        let operand = if outside.is_some() { Operand::Float(value) } else { Operand::of(n) };
        found.extend(outside);
        if let Some(what) = check(operand, limit) {
            let shown = match operand {
                Operand::Int(i) => Value::from(i),
                Operand::Float(f) => {
                    if n.as_f64() == Some(f) {
                        Value::Number(n.clone())
                    } else {
                        Value::from(f)
                    }
                }
            };
            found.push(Violation::new(Code::Other, path, Some(shown), what));
        }
    };
    bound(bounds.multiple_of, "MultipleOf", &|n, factor| n.is_no_multiple(factor, path));
    bound(bounds.maximum, "Maximum boundary", &|n, max| {
        let exclusive = bounds.exclusive_maximum;
        let (above, limit) =
            n.compare(max, |n, max| n > max || (exclusive && n >= max), |n, max| n > max || (exclusive && n >= max));
        let than = if exclusive { "less than" } else { "less than or equal to" };
        above.then(|| format!("{path} in body should be {than} {limit}"))
    });
    bound(bounds.minimum, "Minimum boundary", &|n, min| {
        let exclusive = bounds.exclusive_minimum;
        let (below, limit) =
            n.compare(min, |n, min| n < min || (exclusive && n <= min), |n, min| n < min || (exclusive && n <= min));
        let than = if exclusive { "greater than" } else { "greater than or equal to" };
        below.then(|| format!("{path} in body should be {than} {limit}"))
    });
    found
}

/// A number as Go decodes it.
#[derive(Clone, Copy)]
enum Operand {
    Int(i64),
    Float(f64),
}

impl Operand {
    fn of(n: &Number) -> Self {
        n.as_i64().map_or_else(|| Self::Float(n.as_f64().unwrap_or_default()), Self::Int)
    }

    /// Compares with a limit that takes the number's own form, and tells how the limit is printed.
    fn compare(self, limit: f64, ints: impl Fn(i64, i64) -> bool, floats: impl Fn(f64, f64) -> bool) -> (bool, String) {
        match self {
            Self::Int(n) => {
                let limit = truncate(limit);
                (ints(n, limit), limit.to_string())
            }
            Self::Float(n) => (floats(n, limit), go::float(limit)),
        }
    }

    fn is_no_multiple(self, factor: f64, path: &str) -> Option<String> {
        let not_positive = |factor: String| format!("factor MultipleOf declared for {path} must be positive: {factor}");
        let not_multiple = |factor: String| format!("{path} in body should be a multiple of {factor}");
        match self {
            Self::Int(n) => {
                let factor = truncate(factor);
                if factor <= 0 {
                    return Some(not_positive(factor.to_string()));
                }
                (n % factor != 0).then(|| not_multiple(factor.to_string()))
            }
            Self::Float(n) => {
                if factor <= 0.0 {
                    return Some(not_positive(go::float(factor)));
                }
                let times = if factor < 1.0 { 1.0 / factor * n } else { n / factor };
                (!is_whole(times)).then(|| not_multiple(go::float(factor)))
            }
        }
    }
}

/// Whether a double stands for a whole number, give or take its own imprecision.
#[expect(clippy::float_cmp, reason = "a whole number equals its own truncation exactly")]
pub(super) fn is_whole(value: f64) -> bool {
    const EPSILON: f64 = 1e-9;
    if !value.is_finite() || value.abs() > MAX_SAFE {
        return false;
    }
    let whole = value.trunc();
    value == whole || (value > 0.0 && whole != 0.0 && (value - whole).abs() / (value + whole) < EPSILON)
}

/// Equal as JSON, numbers by value.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the cast is guarded, and saturates")]
fn to_whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && (-9.223_372_036_854_776e18..9.223_372_036_854_776e18).contains(&value))
        .then_some(value as i64)
}

#[expect(clippy::cast_possible_truncation, reason = "Go truncates bounds for whole numbers; Rust saturates, too")]
fn truncate(value: f64) -> i64 {
    value as i64
}
