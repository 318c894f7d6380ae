//! Built-in types as Go decodes them: a value of a wrong JSON type is refused before anything else is looked at.

use serde_json::{Number, Value};

use super::node::{Schema, SchemaRef, Type};

/// Checks the JSON types of a built-in object. Nulls are fine anywhere: they stand for nothing.
///
/// # Errors
/// The message of Go's decoder for the first value of a wrong type.
pub fn decode(object: &mut Value, schema: &SchemaRef) -> Result<(), String> {
    Decoder { structure: "", path: String::new() }.check(object, schema.get())
}

/// `PodSpec` for `io.k8s.api.core.v1.PodSpec`.
fn short(name: &'static str) -> &'static str {
    name.rsplit('.').next().unwrap_or(name)
}

/// `v1.PodSpec` for the same.
fn qualified(name: &'static str) -> &'static str {
    let mut dots = name.rmatch_indices('.').map(|(at, _)| at);
    dots.next();
    dots.next().map_or(name, |at| &name[at + 1..])
}

struct Decoder {
    /// The struct that the field being decoded belongs to.
    structure: &'static str,
    /// The names of the fields that lead to it; Go tells neither indices nor keys.
    path: String,
}

impl Decoder {
    fn check(&mut self, value: &Value, schema: &Schema) -> Result<(), String> {
        let format = schema.bounds.as_deref().and_then(|b| b.format.as_deref());
        match (schema.ty, value) {
            (_, Value::Null) | (Type::Boolean, Value::Bool(_)) | (Type::Number, Value::Number(_)) => Ok(()),
            (Type::Any, _) if format == Some("quantity") => quantity(value),
            (Type::Any, Value::Object(_)) if !schema.properties.is_empty() => self.fields(value, schema),
            (Type::Any, _) => Ok(()),
            (Type::IntOrString, Value::Number(n)) => int_or_string(n),
            (Type::IntOrString | Type::String, Value::String(text)) => match format {
                Some("date-time" | "micro-time") => time(text),
                Some("byte") => bytes(text),
                _ => Ok(()),
            },
            (Type::Integer, Value::Number(n)) => self.integer(n, format),
            (Type::Array, Value::Array(items)) => {
                let Some(known) = &schema.items else { return Ok(()) };
                items.iter().try_for_each(|item| self.check(item, known.get()))
            }
            (Type::Object, Value::Object(_)) if schema.preserve_unknown => Ok(()),
            (Type::Object, Value::Object(_)) => self.fields(value, schema),
            _ => Err(self.wrong(json_name(value), &go_name(schema))),
        }
    }

    fn fields(&mut self, value: &Value, schema: &Schema) -> Result<(), String> {
        let outer = self.structure;
        if let Some(name) = schema.definition {
            self.structure = short(name);
        }
        let before = self.path.len();
        for (name, field) in value.as_object().into_iter().flatten() {
            if let Some(known) = schema.properties.get(name) {
                if before > 0 {
                    self.path.push('.');
                }
                self.path.push_str(name);
                self.check(field, known.get())?;
                self.path.truncate(before);
            } else if let Some(known) = &schema.additional {
                self.check(field, known.get())?;
            }
        }
        self.structure = outer;
        Ok(())
    }

    fn integer(&self, n: &Number, format: Option<&str>) -> Result<(), String> {
        let ty = if format == Some("int32") { "int32" } else { "int64" };
        let fits = n.as_i64().is_some_and(|n| ty == "int64" || i32::try_from(n).is_ok());
        if fits { Ok(()) } else { Err(self.wrong(&format!("number {n}"), ty)) }
    }

    fn wrong(&self, found: &str, expected: &str) -> String {
        if self.path.is_empty() {
            return format!("json: cannot unmarshal {found} into Go value of type {expected}");
        }
        let field = format!("{}.{}", self.structure, self.path);
        format!("json: cannot unmarshal {found} into Go struct field {field} of type {expected}")
    }
}

fn json_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn go_name(schema: &Schema) -> String {
    let element = |child: &SchemaRef| go_name(child.get());
    match (schema.ty, schema.definition) {
        (_, Some(name)) => qualified(name).to_owned(),
        (Type::Array, _) => format!("[]{}", schema.items.as_ref().map_or_else(String::new, element)),
        (Type::Object, _) => match &schema.additional {
            Some(values) => format!("map[string]{}", element(values)),
            None => "map[string]interface {}".to_owned(),
        },
        (Type::Boolean, _) => "bool".to_owned(),
        (Type::Number, _) => "float64".to_owned(),
        (Type::Integer, _) => {
            let format = schema.bounds.as_deref().and_then(|b| b.format.as_deref());
            format.unwrap_or("int64").to_owned()
        }
        (Type::String | Type::Any | Type::IntOrString, _) => "string".to_owned(),
    }
}

fn quantity(value: &Value) -> Result<(), String> {
    let right = matches!(value, Value::String(_) | Value::Number(_))
        && crate::resources::quantity::Quantity::from_json(value).is_some();
    let form = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$";
    if right { Ok(()) } else { Err(format!("quantities must match the regular expression '{form}'")) }
}

fn int_or_string(n: &Number) -> Result<(), String> {
    if n.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) {
        return Ok(());
    }
    Err(format!("json: cannot unmarshal number {n} into Go value of type int32"))
}

fn time(text: &str) -> Result<(), String> {
    if text.is_empty() || text.parse::<jiff::Timestamp>().is_ok() {
        return Ok(());
    }
    let (text, form) = (crate::field::quote(text), "2006-01-02T15:04:05Z07:00");
    Err(format!("parsing time {text} as \"{form}\": cannot parse {text} as \"2006\""))
}

/// Bytes are base64, as Go decodes them: line breaks do not matter.
fn bytes(text: &str) -> Result<(), String> {
    use base64::Engine as _;
    let plain: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    if base64::engine::general_purpose::STANDARD.decode(&plain).is_ok() {
        return Ok(());
    }
    let legal = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    let at = plain.iter().position(|b| !legal(b)).unwrap_or(plain.len());
    Err(format!("illegal base64 data at input byte {at}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::builtin::for_kind;
    use serde_json::json;

    fn said(kind: &str, mut object: Value) -> Result<(), String> {
        decode(&mut object, &for_kind("", "v1", kind).expect(kind))
    }

    #[test]
    fn a_value_of_a_wrong_type_is_told_as_go_tells_it() {
        for (kind, object, message) in [
            (
                "Pod",
                json!({"spec": {"containers": "x"}}),
                "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container",
            ),
            (
                "Pod",
                json!({"spec": {"containers": [{"name": 1}]}}),
                "json: cannot unmarshal number into Go struct field Container.spec.containers.name of type string",
            ),
            (
                "Pod",
                json!({"spec": []}),
                "json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec",
            ),
            (
                "ConfigMap",
                json!({"data": {"a": 1}}),
                "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
            ),
            (
                "ConfigMap",
                json!({"metadata": {"labels": []}}),
                "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
            ),
            (
                "Service",
                json!({"spec": {"ports": [{"port": 1.5}]}}),
                "json: cannot unmarshal number 1.5 into Go struct field ServicePort.spec.ports.port of type int32",
            ),
            ("Secret", json!({"data": {"a": "@"}}), "illegal base64 data at input byte 0"),
        ] {
            assert_eq!(said(kind, object), Err(message.to_owned()));
        }
    }

    #[test]
    fn what_go_takes_is_taken() {
        for (kind, object) in [
            (
                "Pod",
                json!({"metadata": null, "spec": {"containers": [{"resources": {"limits": {"cpu": 1, "memory": "1Gi"}}}], "nodeName": null}}),
            ),
            (
                "Service",
                json!({"spec": {"ports": [{"port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 8081}]}}),
            ),
            ("Event", json!({"eventTime": "2024-01-01T00:00:00.000001Z", "firstTimestamp": null})),
        ] {
            assert_eq!(said(kind, object), Ok(()));
        }
        let definition = for_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition").expect("kind");
        let schema = json!({"items": {"type": "string"}, "additionalProperties": true, "default": [1, {"a": null}], "enum": [1, "a"]});
        let mut object =
            json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": {"properties": {"a": schema}}}}]}});
        assert_eq!(decode(&mut object, &definition), Ok(()));
    }
}
