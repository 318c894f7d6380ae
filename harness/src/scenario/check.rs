//! Checks a document against the format's own JSON schema and reports everything that is wrong with it, each at its
//! place. Knows the part of JSON Schema that our formats use.

use regex::Regex;
use serde_json::Value;

use super::diagnostic::{Problem, SourceFile, nearest};
use super::duration;
use super::forms::Count;
use super::tree::{Kind, Node};

/// The `format` of durations.
pub const FORMAT_DURATION: &str = "slipway-duration";
/// The `format` of counts.
pub const FORMAT_COUNT: &str = "slipway-count";

/// Everything in `node` that `schema` does not allow. `what` names the whole in messages.
pub fn check(file: &SourceFile, schema: &Value, node: &Node, what: &str) -> Vec<Problem> {
    let mut checker = Checker { file, root: schema, problems: Vec::new() };
    checker.value(schema, node, what);
    checker.problems
}

struct Checker<'a> {
    file: &'a SourceFile,
    root: &'a Value,
    problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    fn value(&mut self, schema: &'a Value, node: &Node, what: &str) {
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            if let Some(target) = self.root.pointer(target.trim_start_matches('#')) {
                self.value(target, node, what);
            }
            return;
        }
        if let Some(words) = words(schema) {
            return self.word(&words, node, what);
        }
        if let Some(branches) = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
            return self.branches(branches, node, what);
        }
        let types = self.types(schema);
        if !types.is_empty() && !types.iter().any(|name| is_of_type(node, name)) {
            return self.wrong_type(&types, node, what);
        }
        match &node.kind {
            Kind::Map(_) => self.map(schema, node, what),
            Kind::List(items) => {
                if let Some(schema) = schema.get("items") {
                    for item in items {
                        self.value(schema, item, &format!("an entry of {what}"));
                    }
                }
            }
            Kind::Number(number) => self.number(schema, number.as_f64(), node, what),
            Kind::Text(text) => self.text(schema, text, node, what),
            Kind::Null | Kind::Bool(_) => {}
        }
    }

    fn word(&mut self, words: &[&str], node: &Node, what: &str) {
        match node.text() {
            Some(text) if words.contains(&text) => {}
            Some(text) => self.problems.push(
                Problem::at(self.file, node.span.clone(), format!("`{text}` is not one of the values of {what}"))
                    .label("unknown value")
                    .nearest(text, words.iter().copied()),
            ),
            None => self.wrong_type(&["string"], node, what),
        }
    }

    fn branches(&mut self, branches: &'a [Value], node: &Node, what: &str) {
        let fitting = branches.iter().find(|branch| {
            let types = self.types(branch);
            types.is_empty() || types.iter().any(|name| is_of_type(node, name))
        });
        if let Some(branch) = fitting {
            return self.value(branch, node, what);
        }
        let types: Vec<&str> = branches.iter().flat_map(|branch| self.types(branch)).collect();
        self.wrong_type(&types, node, what);
    }

    fn map(&mut self, schema: &'a Value, node: &Node, what: &str) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        for entry in node.entries() {
            match (properties.and_then(|properties| properties.get(&entry.key)), others) {
                (Some(schema), _) => self.value(schema, &entry.value, &format!("`{}`", entry.key)),
                (None, Some(Value::Bool(false))) => {
                    let known = properties.into_iter().flatten().map(|(name, _)| name.as_str());
                    self.problems.push(
                        Problem::at(self.file, entry.key_span.clone(), unknown(&entry.key, what))
                            .label("unknown")
                            .nearest(&entry.key, known),
                    );
                }
                (None, Some(schema @ Value::Object(_))) => {
                    self.value(schema, &entry.value, &format!("`{}`", entry.key));
                }
                (None, _) => {}
            }
        }
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if node.get(name).is_none() {
                self.problems.push(
                    Problem::at(self.file, node.span.clone(), format!("`{name}` is missing in {what}"))
                        .label(format!("without `{name}`")),
                );
            }
        }
    }

    fn number(&mut self, schema: &Value, number: Option<f64>, node: &Node, what: &str) {
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        let (low, high) = (bound("minimum"), bound("maximum"));
        let inside = number.is_some_and(|n| low.is_none_or(|low| n >= low) && high.is_none_or(|high| n <= high));
        if !inside {
            let bounds = match (low, high) {
                (Some(low), Some(high)) => format!("between {low} and {high}"),
                (Some(low), None) => format!("at least {low}"),
                (None, Some(high)) => format!("at most {high}"),
                (None, None) => "a number that fits".to_owned(),
            };
            self.problems.push(
                Problem::at(self.file, node.span.clone(), format!("{what} must be {bounds}")).label("out of bounds"),
            );
        }
    }

    fn text(&mut self, schema: &Value, text: &str, node: &Node, what: &str) {
        let complaint = match schema.get("format").and_then(Value::as_str) {
            Some(FORMAT_DURATION) => duration::parse(text).err().map(|error| error.to_string()),
            Some(FORMAT_COUNT) => Count::parse(text).err().map(|error| error.to_string()),
            _ => schema
                .get("pattern")
                .and_then(Value::as_str)
                .filter(|pattern| Regex::new(pattern).is_ok_and(|pattern| !pattern.is_match(text)))
                .map(|pattern| format!("`{text}` is not of the form {pattern}")),
        };
        if let Some(complaint) = complaint {
            let (message, help) = complaint.split_once("; ").unwrap_or((&complaint, ""));
            let problem = Problem::at(self.file, node.span.clone(), format!("in {what}: {message}")).label("bad value");
            self.problems.push(if help.is_empty() { problem } else { problem.help(help) });
        }
    }

    fn wrong_type(&mut self, types: &[&str], node: &Node, what: &str) {
        let mut wanted: Vec<&str> = types.iter().filter(|name| **name != "null").map(|name| type_name(name)).collect();
        wanted.dedup();
        let message = format!("{what} must be {}, but is {}", wanted.join(" or "), node.describe());
        let mut problem =
            Problem::at(self.file, node.span.clone(), message).label(format!("expected {}", wanted.join(" or ")));
        if types.contains(&"string") && matches!(node.kind, Kind::Number(_) | Kind::Bool(_)) {
            problem = problem.help("put it in quotes");
        }
        self.problems.push(problem);
    }

    /// The types a schema allows; none when it allows anything.
    fn types(&self, schema: &'a Value) -> Vec<&'a str> {
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            return self
                .root
                .pointer(target.trim_start_matches('#'))
                .map(|schema| self.types(schema))
                .unwrap_or_default();
        }
        if let Some(branches) = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
            return branches.iter().flat_map(|branch| self.types(branch)).collect();
        }
        match schema.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ if words(schema).is_some() => vec!["string"],
            _ => Vec::new(),
        }
    }
}

/// A step is known by its field, so an unknown field there is an unknown step.
fn unknown(key: &str, what: &str) -> String {
    if what == "an entry of `steps`" {
        format!("unknown step `{key}`")
    } else {
        format!("unknown field `{key}` in {what}")
    }
}

/// The words a schema allows, where it is a choice of words.
fn words(schema: &Value) -> Option<Vec<&str>> {
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return Some(vec![word]);
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return words.iter().map(Value::as_str).collect();
    }
    let branches = schema.get("oneOf").and_then(Value::as_array)?;
    let words: Vec<Vec<&str>> = branches.iter().map(words).collect::<Option<_>>()?;
    Some(words.concat())
}

fn is_of_type(node: &Node, name: &str) -> bool {
    match (&node.kind, name) {
        (Kind::Null, "null")
        | (Kind::Bool(_), "boolean")
        | (Kind::Number(_), "number")
        | (Kind::Text(_), "string")
        | (Kind::List(_), "array")
        | (Kind::Map(_), "object") => true,
        (Kind::Number(number), "integer") => number.is_i64() || number.is_u64(),
        _ => false,
    }
}

fn type_name(name: &str) -> &str {
    match name {
        "boolean" => "`true` or `false`",
        "number" => "a number",
        "integer" => "a whole number",
        "string" => "a text",
        "array" => "a list",
        "object" => "a map",
        other => other,
    }
}

/// Advice on a word that is none of `known`, for callers that check more than a schema can say.
pub fn advice<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).unwrap_or_else(|| "there is none".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{model, tree};

    fn complaints(text: &str) -> Vec<String> {
        let file = SourceFile::new("s.yaml", text.to_owned());
        let documents = tree::parse(text).unwrap();
        check(&file, &model::schema(), &documents[0], "the scenario")
            .iter()
            .map(|problem| match &problem.help {
                Some(help) => format!("{problem} ({help})"),
                None => problem.to_string(),
            })
            .collect()
    }

    #[test]
    fn everything_wrong_is_reported_and_not_only_the_first() {
        let text = "\
apiVersion: slipway.dev/v1alpha2
kind: Scenario
metadata: {name: 7}
tmie: virtual
timeout: 5 minutes
nodes:
  - nmae: a
steps:
  - expct: {}
  - expect:
      resource: pods
      count: two
      that: {}
  - operator: crash
  - advance: 5
  - expectLink: {node: a, link: {mtu: big, up: 1}}
  - patch: {resource: pods, name: a}
";
        let expected = [
            "s.yaml:1:13: `slipway.dev/v1alpha2` is not one of the values of `apiVersion` (did you mean `slipway.dev/v1alpha1`?)",
            "s.yaml:3:18: `name` must be a text, but is the number `7` (put it in quotes)",
            "s.yaml:4:1: unknown field `tmie` in the scenario (did you mean `time`?)",
            "s.yaml:5:10: in `timeout`: `5 minutes` is not a duration (write a number and a unit (ms, s, m, h), like `500ms`, `90s` or `1m30s`)",
            "s.yaml:7:5: unknown field `nmae` in an entry of `nodes` (did you mean `name`?)",
            "s.yaml:7:5: `name` is missing in an entry of `nodes`",
            "s.yaml:9:5: unknown step `expct` (did you mean `expect`?)",
            "s.yaml:12:14: in `count`: `two` is not a count (write a number, like `3`, or a comparison, like `\">=2\"`)",
            "s.yaml:13:13: `that` must be a text or a list, but is a map",
            "s.yaml:14:15: `crash` is not one of the values of `operator` (known are `restart`, `stop`, `start`, `uninstall`)",
            "s.yaml:15:14: `advance` must be a text, but is the number `5` (put it in quotes)",
            "s.yaml:16:39: `mtu` must be a whole number, but is the text `big`",
            "s.yaml:16:48: `up` must be `true` or `false`, but is the number `1`",
            "s.yaml:17:12: `patch` is missing in `patch`",
        ];
        assert_eq!(complaints(text), expected);
    }

    #[test]
    fn a_right_document_is_left_in_peace() {
        let text = "\
apiVersion: slipway.dev/v1alpha1
kind: Scenario
metadata: {name: a}
seed: 4
operator: {controllers: [multinic], as: admin}
nodes: [{name: a, links: [{name: eth0, mac: 'fa:16:3e:f3:b0:3f', mtu: 1450}]}]
steps:
  - name: wait
    expect: {resource: pods, count: '>=2', that: [a, b], within: 1m30s, object: {any: [thing]}}
  - never: {resource: pods, count: 2, that: x}
  - operator: restart
  - advance: 500ms
";
        assert_eq!(complaints(text), Vec::<String>::new());
    }
}
