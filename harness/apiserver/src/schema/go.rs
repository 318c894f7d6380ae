//! Values as Go prints them, where Kubernetes' messages contain them.

use serde_json::{Number, Value};

/// The Go type a decoded JSON value has.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// A value as `%v` prints it.
pub fn display(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => number(n),
        Value::String(s) => s.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(display).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(k, v)| format!("{k}:{}", display(v))).collect();
            format!("map[{}]", fields.join(" "))
        }
    }
}

fn number(number: &Number) -> String {
    number.as_i64().map_or_else(|| float(number.as_f64().unwrap_or_default()), |n| n.to_string())
}

/// A `float64` as `%v` prints it: shortest, with an exponent below 1e-4 and from 1e21.
pub fn float(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e21).contains(&size) {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(("+", exponent), |digits| ("-", digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_look_as_go_prints_them() {
        for (value, text) in [
            (json!(1.5), "1.5"),
            (json!(1e21), "1e+21"),
            (json!(0.000_01), "1e-05"),
            (json!([1, "a", null]), "[1 a <nil>]"),
            (json!({"b": true, "a": {}}), "map[a:map[] b:true]"),
        ] {
            assert_eq!(display(&value), text);
        }
    }
}
