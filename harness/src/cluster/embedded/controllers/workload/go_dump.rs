//! A Pod template as Go prints it with every type and field, which is what its name is a hash of. Pure.
//!
//! The types stand in `pod_template.txt`, one a line: `GoName=field=type`, where no field means that the fields of the
//! type below stand beside those of this one. What is neither there nor a number, a boolean, a quantity or a time is a
//! text.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

struct Field {
    name: &'static str,
    json: &'static str,
    kind: &'static str,
}

static TYPES: LazyLock<HashMap<&'static str, Vec<Field>>> = LazyLock::new(|| {
    let field = |text: &'static str| {
        let mut parts = text.splitn(3, '=');
        Some(Field { name: parts.next()?, json: parts.next()?, kind: parts.next()? })
    };
    let line = |line: &'static str| {
        let (name, fields) = line.split_once(' ')?;
        Some((name, fields.split(' ').filter_map(field).collect()))
    };
    include_str!("pod_template.txt").lines().filter_map(line).collect()
});

/// The significant digits that 64 bits hold for certain.
const DIGITS_MAX: i32 = 18;

/// A Pod template, given as JSON.
pub(super) fn pod_template(template: &Value) -> String {
    let mut text = String::new();
    typed("v1.PodTemplateSpec", template, &mut text);
    text
}

fn typed(kind: &str, value: &Value, text: &mut String) {
    text.push('(');
    text.push_str(kind);
    text.push(')');
    plain(kind, value, text);
}

fn plain(kind: &str, value: &Value, text: &mut String) {
    let is_nothing = value.is_null()
        || value.as_array().is_some_and(Vec::is_empty)
        || (is_map(kind) && value.as_object().is_some_and(Map::is_empty));
    if let Some(pointee) = kind.strip_prefix('*') {
        if value.is_null() { text.push_str("<nil>") } else { plain(pointee, value, text) }
    } else if let Some(item) = kind.strip_prefix("[]") {
        if is_nothing {
            return text.push_str("<nil>");
        }
        text.push('[');
        for (at, value) in value.as_array().into_iter().flatten().enumerate() {
            text.push_str(if at > 0 { " " } else { "" });
            // What is in a list is printed without its type.
            if item.starts_with('*') {
                text.push_str("<*>");
            }
            plain(item, value, text);
        }
        text.push(']');
    } else if is_map(kind) {
        if is_nothing {
            return text.push_str("<nil>");
        }
        let item = kind.strip_prefix("map[string]").unwrap_or("resource.Quantity");
        text.push_str("map[");
        // The object keeps its keys as the server wrote them, which need not be in order.
        let mut entries: Vec<(&String, &Value)> = value.as_object().into_iter().flatten().collect();
        entries.sort_by_key(|(key, _)| *key);
        for (at, (key, value)) in entries.into_iter().enumerate() {
            text.push_str(if at > 0 { " " } else { "" });
            text.push_str(key);
            text.push(':');
            plain(item, value, text);
        }
        text.push(']');
    } else {
        scalar(kind, value, text);
    }
}

fn is_map(kind: &str) -> bool {
    kind.starts_with("map[") || kind == "v1.ResourceList"
}

fn scalar(kind: &str, value: &Value, text: &mut String) {
    if let Some(fields) = TYPES.get(kind) {
        text.push('{');
        for (at, field) in fields.iter().enumerate() {
            text.push_str(if at > 0 { " " } else { "" });
            text.push_str(field.name);
            text.push(':');
            typed(field.kind, if field.json.is_empty() { value } else { &value[field.json] }, text);
        }
        text.push('}');
        return;
    }
    match kind {
        "int32" | "int64" => text.push_str(&value.as_i64().unwrap_or(0).to_string()),
        "bool" => text.push_str(if value == true { "true" } else { "false" }),
        // No template has been made yet, or goes.
        "v1.Time" => {
            text.push_str("{Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}}");
        }
        "intstr.IntOrString" => {
            let (kind, number) = (i64::from(value.is_string()), value.as_i64().unwrap_or(0));
            let words = value.as_str().unwrap_or_default();
            let whole = format!("{{Type:(intstr.Type){kind} IntVal:(int32){number} StrVal:(string){words}}}");
            text.push_str(&whole);
        }
        "resource.Quantity" => text.push_str(&quantity(value.as_str().unwrap_or("0"))),
        _ => text.push_str(value.as_str().unwrap_or_default()),
    }
}

/// A quantity with its inner parts: a number and a scale, or digits of any length, and the text where it was canonical.
fn quantity(written: &str) -> String {
    let unsigned = written.trim_start_matches(['-', '+']);
    let split = unsigned.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let (binary, exponent) = exponent(suffix);
    let digits = i32::try_from(whole.len() + fraction.len()).unwrap_or(i32::MAX);
    let shifted = format!("{whole}{fraction}");
    let value: i128 = shifted.parse().unwrap_or(0);
    let sign = if written.starts_with('-') { -1 } else { 1 };
    let fast = if binary { 14 - digits - exponent * 3 / 10 >= 0 && fraction.is_empty() } else { digits <= DIGITS_MAX };
    let scale = if binary { 0 } else { exponent - i32::try_from(fraction.len()).unwrap_or(0) };
    let format = match suffix {
        _ if binary => "BinarySI",
        "E" => "DecimalSI",
        suffix if suffix.starts_with(['e', 'E']) => "DecimalExponent",
        _ => "DecimalSI",
    };
    let amount = |value: i128, scale: i32, decimal: &str, words: &str| {
        format!(
            "{{i:(resource.int64Amount){{value:(int64){value} scale:(resource.Scale){scale}}} \
             d:(resource.infDecAmount){{Dec:(*inf.Dec){decimal}}} s:(string){words} \
             Format:(resource.Format){format}}}"
        )
    };
    let multiplied = if binary { value << exponent } else { value };
    if fast && scale >= -9 && i64::try_from(multiplied).is_ok() {
        let canonical = written == "0"
            || if binary {
                value & 7 != 0
            } else {
                scale % 3 == 0 && !shifted.ends_with("000") && !shifted.starts_with('0')
            };
        return amount(sign * multiplied, scale, "<nil>", if canonical { written } else { "" });
    }
    let magnitude = multiplied.unsigned_abs();
    let words: Vec<String> =
        [magnitude & u128::from(u64::MAX), magnitude >> 64].iter().filter(|w| **w > 0).map(u128::to_string).collect();
    let negative = sign < 0 && magnitude > 0;
    let unscaled = format!("{{neg:(bool){negative} abs:(big.nat)[{}]}}", words.join(" "));
    amount(0, 0, &format!("{{unscaled:(big.Int){unscaled} scale:(inf.Scale){}}}", -scale), "")
}

/// Whether a suffix counts in powers of two, and the exponent of its power of ten or two.
fn exponent(suffix: &str) -> (bool, i32) {
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
    let at = |known: &[&str]| known.iter().position(|known| *known == suffix).and_then(|at| i32::try_from(at).ok());
    if let Some(at) = at(&BINARY) {
        return (true, 10 * (at + 1));
    }
    let written = || suffix.trim_start_matches(['e', 'E', '+']).parse().unwrap_or(0);
    (false, at(&DECIMAL).map_or_else(written, |at| 3 * at - 9))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_are_printed_with_their_inner_parts() {
        let cases = [
            ("0", "value:(int64)0 scale:(resource.Scale)0", "<nil>", "0", "DecimalSI"),
            ("100m", "value:(int64)100 scale:(resource.Scale)-3", "<nil>", "100m", "DecimalSI"),
            ("2", "value:(int64)2 scale:(resource.Scale)0", "<nil>", "2", "DecimalSI"),
            ("5k", "value:(int64)5 scale:(resource.Scale)3", "<nil>", "5k", "DecimalSI"),
            ("7Mi", "value:(int64)7340032 scale:(resource.Scale)0", "<nil>", "7Mi", "BinarySI"),
            // 64 could be written otherwise, for all the parser knows.
            ("64Mi", "value:(int64)67108864 scale:(resource.Scale)0", "<nil>", "", "BinarySI"),
            (
                "100Ti",
                "value:(int64)0 scale:(resource.Scale)0",
                "{unscaled:(big.Int){neg:(bool)false abs:(big.nat)[109951162777600]} scale:(inf.Scale)0}",
                "",
                "BinarySI",
            ),
        ];
        for (written, amount, decimal, words, format) in cases {
            let expected = format!(
                "{{i:(resource.int64Amount){{{amount}}} d:(resource.infDecAmount){{Dec:(*inf.Dec){decimal}}} \
                 s:(string){words} Format:(resource.Format){format}}}"
            );
            assert_eq!(quantity(written), expected, "{written}");
        }
    }

    #[test]
    fn what_is_empty_is_printed_as_what_was_never_there() {
        let empty = json!({"metadata": {"labels": {}}, "spec": {"containers": [], "volumes": null}});
        assert_eq!(pod_template(&empty), pod_template(&json!({})));
        assert!(pod_template(&json!({})).contains(" DNSPolicy:(v1.DNSPolicy) NodeSelector:(map[string]string)<nil> "));
    }
}
