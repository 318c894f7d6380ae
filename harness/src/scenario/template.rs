//! `${name}` in texts: a text that is nothing else takes the binding's value with its type, any other gets it written
//! in. `$${` stands for `${` itself.

use serde_json::Value;

use super::diagnostic::{Problem, SourceFile};
use super::expression::Bindings;
use super::tree::{Kind, Node};

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// Puts bindings in place of their names, in every text of a document. Names in `later` are left for the run to fill
/// in; any other unknown name is a [`Problem`].
pub fn fill(file: &SourceFile, node: &mut Node, bindings: &Bindings, later: &[String], problems: &mut Vec<Problem>) {
    match &mut node.kind {
        Kind::Text(text) => {
            for name in names(text) {
                if !bindings.contains_key(name) && !later.iter().any(|known| known == name) {
                    let known = bindings.keys().chain(later).map(String::as_str);
                    let problem = Problem::at(file, node.span.clone(), format!("unknown binding `{name}`"))
                        .label("unknown binding")
                        .help("there are no bindings; write `$${` for a plain `${`");
                    problems.push(problem.nearest(name, known));
                    return;
                }
            }
            let filled = fill_text(text, bindings);
            *node = Node { kind: Node::from_json(filled, &node.span).kind, span: node.span.clone() };
        }
        Kind::List(items) => {
            for item in items {
                fill(file, item, bindings, later, problems);
            }
        }
        Kind::Map(entries) => {
            for entry in entries {
                fill(file, &mut entry.value, bindings, later, problems);
            }
        }
        Kind::Null | Kind::Bool(_) | Kind::Number(_) => {}
    }
}

/// The same in a value, during the run; names that are not bound stay as they are.
pub fn fill_value(value: &Value, bindings: &Bindings) -> Value {
    match value {
        Value::String(text) => fill_text(text, bindings),
        Value::Array(items) => items.iter().map(|item| fill_value(item, bindings)).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), fill_value(value, bindings))).collect(),
        other => other.clone(),
    }
}

fn fill_text(text: &str, bindings: &Bindings) -> Value {
    let parts = parts(text);
    if let [Part::Name(name)] = parts[..]
        && let Some(value) = bindings.get(name)
    {
        return value.clone();
    }
    let mut filled = String::with_capacity(text.len());
    for part in parts {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Name(name) => match bindings.get(name) {
                Some(Value::String(value)) => filled.push_str(value),
                Some(value) => filled.push_str(&value.to_string()),
                None => {
                    filled.push_str("${");
                    filled.push_str(name);
                    filled.push('}');
                }
            },
        }
    }
    Value::String(filled)
}

fn names(text: &str) -> Vec<&str> {
    parts(text)
        .into_iter()
        .filter_map(|part| match part {
            Part::Name(name) => Some(name),
            Part::Text(_) => None,
        })
        .collect()
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if start > 0 && rest.as_bytes()[start - 1] == b'$' {
            parts.push(Part::Text(&rest[..start - 1]));
            parts.push(Part::Text("${"));
            rest = &rest[start + 2..];
            continue;
        }
        let Some(len) = rest[start..].find('}') else { break };
        if start > 0 {
            parts.push(Part::Text(&rest[..start]));
        }
        parts.push(Part::Name(rest[start + 2..start + len].trim()));
        rest = &rest[start + len + 1..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scenario::tree;

    #[test]
    fn bindings_take_the_place_of_their_names() {
        let bindings = Bindings::from([("node".to_owned(), json!("worker-1")), ("mtu".to_owned(), json!(1450))]);
        let cases = [
            ("${node}", json!("worker-1")),
            ("${mtu}", json!(1450)),
            ("on ${node}, ${ mtu } bytes", json!("on worker-1, 1450 bytes")),
            ("$${node}", json!("${node}")),
            ("a $ b } ${", json!("a $ b } ${")),
            ("", json!("")),
            ("${later}!", json!("${later}!")),
        ];
        for (text, expected) in cases {
            assert_eq!(fill_text(text, &bindings), expected, "{text}");
        }
    }

    #[test]
    fn an_unknown_binding_is_shown_where_it_stands() {
        let text = "a: [x, 'on ${nod}']\nb: ${uid}\n";
        let file = SourceFile::new("f.yaml", text.to_owned());
        let mut node = tree::parse(text).unwrap().remove(0);
        let mut problems = Vec::new();
        let bindings = Bindings::from([("node".to_owned(), json!("worker-1"))]);
        fill(&file, &mut node, &bindings, &["uid".to_owned()], &mut problems);
        let shown: Vec<_> = problems.iter().map(|p| (p.to_string(), p.help.clone().unwrap())).collect();
        assert_eq!(shown, [("f.yaml:1:8: unknown binding `nod`".to_owned(), "did you mean `node`?".to_owned())]);
    }
}
