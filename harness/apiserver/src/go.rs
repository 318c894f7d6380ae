//! Values as Go prints them. Kubernetes' messages quote objects by `%v` and `%#v`, and clients compare them.

use serde_json::Value;

use crate::field::quote;
pub(crate) use crate::schema::go::{display as plain, type_name};

/// What the JSON decoder calls such a value.
pub(crate) fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// As `%#v` prints it.
pub(crate) fn source(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::String(text) => quote(text),
        Value::Array(items) => {
            format!("[]interface {{}}{{{}}}", items.iter().map(source).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(k, v)| format!("{}:{}", quote(k), source(v))).collect();
            format!("map[string]interface {{}}{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// A list of strings as `%q` prints it.
pub(crate) fn quoted_list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| quote(text)).collect::<Vec<_>>().join(" "))
}

/// Compact JSON as Go writes it: `<`, `>`, `&` and the two line separators are escaped.
pub(crate) fn json(value: &Value) -> String {
    let compact = value.to_string();
    let mut out = String::with_capacity(compact.len());
    // Outside of strings JSON has none of these.
    for c in compact.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let hex = format!("\\u{:04x}", u32::from(c));
                out.push_str(&hex);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_printed_as_go_prints_them() {
        let value = json!({"a": [1, "x", null, true], "b": {}});
        assert_eq!(plain(&value), "map[a:[1 x <nil> true] b:map[]]");
        assert_eq!(
            source(&value),
            r#"map[string]interface {}{"a":[]interface {}{1, "x", interface {}(nil), true}, "b":map[string]interface {}{}}"#
        );
        assert_eq!(super::json(&json!({"a": "<&>"})), r#"{"a":"\u003c\u0026\u003e"}"#);
    }
}
