//! CEL over requests: match conditions, and what policies say.
//!
//! Objects are seen as they are written, without a schema: every field is `dyn`.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{Context, Value as Cel};
use serde_json::{Value, json};

use super::attributes::Attributes;
use super::authorizer;
use super::matching::Seen;
use crate::schema::cel::{Program, explain, functions};

/// Kubernetes' functions, and those of the authorizer.
static ROOT: LazyLock<Context<'static>> = LazyLock::new(|| {
    let mut context = functions();
    authorizer::register(&mut context);
    context
});

/// A JSON value in CEL.
pub(crate) fn value(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(on) => Cel::Bool(*on),
        Value::Number(n) => n.as_i64().map_or_else(|| Cel::Float(n.as_f64().unwrap_or_default()), Cel::Int),
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(list) => Cel::List(Arc::new(list.iter().map(self::value).collect())),
        Value::Object(fields) => {
            let entries = fields.iter().map(|(name, field)| (Key::String(Arc::new(name.clone())), self::value(field)));
            Cel::Map(Map { map: Arc::new(entries.collect::<HashMap<_, _>>()) })
        }
    }
}

/// The `request` variable: an admission request without its objects.
pub(crate) fn request(about: &Attributes, seen: &Seen) -> Value {
    let mut request = json!({
        "kind": seen.kind.to_value(), "resource": seen.resource.to_value(),
        "requestKind": about.kind.to_value(), "requestResource": about.resource.to_value(),
        "operation": about.operation.as_str(), "userInfo": user(about), "dryRun": about.dry_run,
        "options": about.options,
    });
    let texts = [
        ("subResource", &about.subresource),
        ("requestSubResource", &about.subresource),
        ("name", &about.name),
        ("namespace", &about.namespace),
    ];
    for (field, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        request[field] = text.as_str().into();
    }
    request
}

/// Who asks, as reviews tell it.
pub(crate) fn user(about: &Attributes) -> Value {
    let user = &about.user;
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.as_str().into();
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

/// The variables of an expression.
pub(crate) type Variables = Vec<(&'static str, Cel)>;

/// The variables that every expression about a request has.
pub(crate) fn variables(object: Option<&Value>, old: Option<&Value>, request: &Value) -> Variables {
    let of = |object: Option<&Value>| object.map_or(Cel::Null, value);
    vec![("object", of(object)), ("oldObject", of(old)), ("request", value(request))]
}

/// An expression with its name for messages.
#[derive(Debug)]
pub(crate) struct Expression {
    pub(crate) source: String,
    /// What is wrong with it where it does not compile; validation has refused that.
    program: Result<Program, String>,
}

impl Expression {
    pub(crate) fn new(source: &str) -> Self {
        Self { source: source.to_owned(), program: Program::parse(source) }
    }

    /// Its value, or what went wrong on the way.
    pub(crate) fn run(&self, variables: &[(&str, Cel)]) -> Result<Cel, String> {
        let failed = |why: &str| format!("expression '{}' resulted in error: {why}", self.source);
        match &self.program {
            Ok(program) => program.run_in(&ROOT, variables).map_err(|why| failed(&explain(&why))),
            Err(why) => Err(failed(&format!("compilation failed: {why}"))),
        }
    }
}

/// Expressions that must all be true of a request for it to be meant.
#[derive(Debug, Default)]
pub(crate) struct Conditions(Vec<Expression>);

/// What conditions come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All are true.
    Met,
    /// One is false.
    Unmet,
    /// None is false, and some cannot be evaluated.
    Unclear(String),
}

impl Conditions {
    /// From a list of `matchConditions`.
    pub(crate) fn from_list(conditions: &[Value]) -> Self {
        let expression = |condition: &Value| Expression::new(condition["expression"].as_str().unwrap_or_default());
        Self(conditions.iter().map(expression).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn judge(&self, variables: &[(&str, Cel)]) -> Outcome {
        let mut errors = Vec::new();
        for condition in &self.0 {
            match condition.run(variables) {
                Ok(Cel::Bool(true)) => {}
                Ok(Cel::Bool(false)) => return Outcome::Unmet,
                Ok(_) => errors.push(format!("expression '{}' must evaluate to bool", condition.source)),
                Err(why) => errors.push(why),
            }
        }
        match errors.as_slice() {
            [] => Outcome::Met,
            [one] => Outcome::Unclear(one.clone()),
            many => Outcome::Unclear(format!("[{}]", many.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(expressions: &[&str]) -> Outcome {
        let list: Vec<Value> = expressions.iter().map(|e| json!({"expression": e})).collect();
        let object = json!({"metadata": {"name": "x", "namespace": "n", "labels": {"a.b/c": "d"}}});
        let request = json!({"operation": "CREATE", "namespace": "n"});
        Conditions::from_list(&list).judge(&variables(Some(&object), None, &request))
    }

    #[test]
    fn conditions_are_met_when_all_are_and_unmet_as_soon_as_one_is_not() {
        let missing = "no such key: spec";
        let cases = [
            (vec![], Outcome::Met),
            (vec!["object.metadata.name == 'x'", "oldObject == null"], Outcome::Met),
            (vec!["object.metadata.labels['a.b/c'] == 'd' && request.namespace == 'n'"], Outcome::Met),
            (vec!["has(object.metadata.labels) && object.metadata.namespace == 'n'"], Outcome::Met),
            (vec!["object.spec.x == 1", "object.metadata.name == 'y'"], Outcome::Unmet),
            (
                vec!["object.spec.x == 1", "true"],
                Outcome::Unclear(format!("expression 'object.spec.x == 1' resulted in error: {missing}")),
            ),
        ];
        for (expressions, expected) in cases {
            assert_eq!(judge(&expressions), expected, "{expressions:?}");
        }
    }
}
