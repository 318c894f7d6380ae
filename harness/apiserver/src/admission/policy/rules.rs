//! A policy, compiled, with the bindings that put it in force.

use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::cel::Value as Cel;
use kube_cel::cel::objects::{Key, Map};
use serde_json::Value;

use crate::admission::expression::{Conditions, Expression, Outcome, Variables};
use crate::admission::matching::Matching;
use crate::lifecycle::meta;
use crate::resources::value::{items, text};
use crate::selector::LabelSelector;

/// The longest message that an expression may make, in bytes.
const MESSAGE_BYTES_MAX: usize = 5120;

/// A policy.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(super) name: String,
    pub(super) matching: Matching,
    /// Whether requests pass that it cannot judge.
    pub(super) ignores_failures: bool,
    /// `apiVersion` and kind of what bindings feed it.
    pub(super) param_kind: Option<(String, String)>,
    pub(super) bindings: Vec<Binding>,
    conditions: Conditions,
    variables: Vec<(String, Expression)>,
    validations: Vec<Validation>,
    annotations: Vec<Expression>,
}

#[derive(Debug)]
struct Validation {
    expression: Expression,
    message: String,
    message_expression: Option<Expression>,
    reason: String,
}

/// What is done when a validation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Deny,
    Warn,
    Audit,
}

/// What puts a policy in force.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) name: String,
    /// None where it is in force for all that the policy is about.
    pub(super) matching: Option<Matching>,
    pub(super) actions: Vec<Action>,
    pub(super) params: Option<ParamRef>,
}

/// What a binding feeds the policy.
#[derive(Debug)]
pub(super) struct ParamRef {
    pub(super) namespace: String,
    /// Empty where they are selected.
    pub(super) name: String,
    pub(super) selector: LabelSelector,
    /// Whether requests are refused when there is nothing.
    pub(super) required: bool,
}

/// Something that a policy has against a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) reason: String,
    pub(super) message: String,
    /// Whether it counts whatever the binding's actions are.
    pub(super) always: bool,
}

impl Policy {
    /// A policy with those of `bindings` that name it.
    pub(crate) fn from_object(policy: &Value, bindings: &[&Value]) -> Self {
        let (name, spec) = (meta(policy, "name"), &policy["spec"]);
        let kind = &spec["paramKind"];
        let bindings = bindings.iter().filter(|binding| binding["spec"]["policyName"] == name);
        Self {
            name: name.to_owned(),
            matching: Matching::of_policy(&spec["matchConstraints"], false),
            ignores_failures: spec["failurePolicy"] == "Ignore",
            param_kind: kind.is_object().then(|| (text(kind, "apiVersion").to_owned(), text(kind, "kind").to_owned())),
            bindings: bindings.map(|binding| Binding::from_object(binding)).collect(),
            conditions: Conditions::from_list(items(spec, "matchConditions")),
            variables: items(spec, "variables")
                .iter()
                .map(|variable| (text(variable, "name").to_owned(), Expression::new(text(variable, "expression"))))
                .collect(),
            validations: items(spec, "validations").iter().map(Validation::from_object).collect(),
            annotations: items(spec, "auditAnnotations")
                .iter()
                .map(|annotation| Expression::new(text(annotation, "valueExpression").trim()))
                .collect(),
        }
    }

    /// Whether anything puts it in force.
    pub(crate) fn is_bound(&self) -> bool {
        !self.bindings.is_empty()
    }

    /// What the policy has against a request; nothing where its conditions are not met.
    pub(super) fn decide(&self, mut known: Variables) -> Vec<Decision> {
        let failed = |message: String, always: bool| Decision { reason: String::new(), message, always };
        match self.conditions.judge(&known) {
            Outcome::Met => {}
            Outcome::Unmet => return Vec::new(),
            Outcome::Unclear(_) if self.ignores_failures => return Vec::new(),
            Outcome::Unclear(why) => return vec![failed(why, false)],
        }
        let broken = self.compose(&mut known);
        let run = |expression: &Expression| {
            expression.run(&known).map_err(|why| {
                // A variable that cannot be had is missed by whoever asks for it.
                let missed = broken.iter().find(|(name, _)| why.ends_with(&format!("no such key: {name}")));
                missed.map_or(why.clone(), |(name, cause)| {
                    why.replace(
                        &format!("no such key: {name}"),
                        &format!("composited variable \"{name}\" fails to evaluate: {cause}"),
                    )
                })
            })
        };
        let mut decisions = Vec::new();
        for validation in &self.validations {
            match run(&validation.expression) {
                Ok(Cel::Bool(true)) => {}
                Ok(_) => decisions.push(validation.refusal(&run)),
                Err(_) if self.ignores_failures => {}
                Err(why) => decisions.push(failed(why, false)),
            }
        }
        for annotation in &self.annotations {
            match run(annotation) {
                Ok(Cel::String(_) | Cel::Null) => {}
                Ok(_) => decisions.push(failed(
                    format!(
                        "valueExpression '{}' resulted in unsupported return type. Return type must be either string \
                         or null.",
                        annotation.source
                    ),
                    true,
                )),
                Err(_) if self.ignores_failures => {}
                Err(why) => decisions.push(failed(why, true)),
            }
        }
        decisions
    }

    /// Adds the policy's own variables, each of which may use those before it; returns the ones that cannot be had.
    fn compose(&self, known: &mut Variables) -> Vec<(String, String)> {
        let mut broken = Vec::new();
        let mut composed: HashMap<Key, Cel> = HashMap::new();
        let wrap = |composed: &HashMap<Key, Cel>| Cel::Map(Map { map: Arc::new(composed.clone()) });
        known.push(("variables", wrap(&composed)));
        let at = known.len() - 1;
        for (name, expression) in &self.variables {
            match expression.run(known) {
                Ok(value) => {
                    composed.insert(Key::String(Arc::new(name.clone())), value);
                    known[at].1 = wrap(&composed);
                }
                Err(why) => {
                    let cause = why.split_once("resulted in error: ").map_or(why.as_str(), |(_, cause)| cause);
                    broken.push((name.clone(), cause.to_owned()));
                }
            }
        }
        broken
    }
}

impl Validation {
    fn from_object(validation: &Value) -> Self {
        let message_expression = text(validation, "messageExpression");
        Self {
            expression: Expression::new(text(validation, "expression")),
            message: text(validation, "message").trim().to_owned(),
            message_expression: (!message_expression.is_empty()).then(|| Expression::new(message_expression)),
            reason: text(validation, "reason").to_owned(),
        }
    }

    fn refusal(&self, run: &dyn Fn(&Expression) -> Result<Cel, String>) -> Decision {
        let made = self.message_expression.as_ref().and_then(|expression| match run(expression) {
            Ok(Cel::String(text)) => Some(text.trim().to_owned()),
            _ => None,
        });
        let usable = |text: &String| !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && !text.contains('\n');
        let message = made.filter(usable).unwrap_or_else(|| match self.message.as_str() {
            "" => format!("failed expression: {}", self.expression.source.trim()),
            message => message.to_owned(),
        });
        Decision { reason: self.reason.clone(), message, always: false }
    }
}

impl Binding {
    fn from_object(binding: &Value) -> Self {
        let spec = &binding["spec"];
        let resources = &spec["matchResources"];
        let params = &spec["paramRef"];
        let actions = items(spec, "validationActions").iter().filter_map(|action| match action.as_str()? {
            "Deny" => Some(Action::Deny),
            "Warn" => Some(Action::Warn),
            "Audit" => Some(Action::Audit),
            _ => None,
        });
        Self {
            name: meta(binding, "name").to_owned(),
            matching: resources.is_object().then(|| Matching::of_policy(resources, true)),
            actions: actions.collect(),
            params: params.is_object().then(|| ParamRef {
                namespace: text(params, "namespace").to_owned(),
                name: text(params, "name").to_owned(),
                selector: LabelSelector::from_object(&params["selector"]).unwrap_or_default(),
                required: params["parameterNotFoundAction"] == "Deny",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::expression;

    fn decide(spec: &Value, object: &Value) -> Vec<String> {
        let policy = Policy::from_object(&json!({"metadata": {"name": "p"}, "spec": spec}), &[]);
        let variables = expression::variables(Some(object), None, &json!({}));
        policy.decide(variables).into_iter().map(|decision| decision.message).collect()
    }

    #[test]
    fn a_validation_says_in_its_own_words_why_it_failed() {
        let object = json!({"metadata": {"name": "x"}, "data": {"a": "1", "b": "2"}});
        let validation = |more: Value| {
            let mut validation = json!({"expression": "size(object.data) < 2"});
            validation.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"validations": [validation]})
        };
        let cases = [
            (validation(json!({})), "failed expression: size(object.data) < 2"),
            (validation(json!({"message": " too many "})), "too many"),
            (validation(json!({"message": "m", "messageExpression": "'no ' + object.metadata.name"})), "no x"),
            (validation(json!({"message": "m", "messageExpression": "'two\\nlines'"})), "m"),
            (validation(json!({"message": "m", "messageExpression": "object.nothing"})), "m"),
        ];
        for (spec, expected) in cases {
            assert_eq!(decide(&spec, &object), [expected], "{spec}");
        }
    }

    #[test]
    fn a_variable_that_cannot_be_had_hurts_only_who_asks_for_it() {
        let spec = |expression: &str| {
            json!({
                "variables": [{"name": "n", "expression": "object.data.a == '1' ? 1 : 0"}, {"name": "m", "expression": "variables.n + 1"}],
                "validations": [{"expression": expression}],
            })
        };
        let (full, empty) = (json!({"data": {"a": "1"}}), json!({}));
        assert!(decide(&spec("variables.m == 2"), &full).is_empty());
        assert!(decide(&spec("!has(object.data) || variables.n == 1"), &empty).is_empty());
        let why = decide(&spec("variables.n == 1"), &empty);
        assert!(why[0].contains("composited variable \"n\" fails to evaluate: no such key: data"), "{why:?}");
    }

    #[test]
    fn failures_are_passed_over_where_the_policy_says_so() {
        let spec = |policy: &str| {
            json!({
                "failurePolicy": policy, "matchConditions": [{"expression": "object.nothing == 1"}],
                "validations": [{"expression": "false"}],
            })
        };
        assert_eq!(decide(&spec("Ignore"), &json!({})), Vec::<String>::new());
        assert_eq!(decide(&spec("Fail"), &json!({})).len(), 1);
    }
}
