//! Compiles the rules of a schema, and tells what is wrong with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Program;
use super::functions::AUTHORIZER;
use super::types::{Ty, infer};
use crate::schema::node::{Rule, Schema, SchemaRef};

/// Compiles every rule of a custom resource's schema in place. A rule that does not compile stays without a program.
pub fn attach(schema: &mut Schema) {
    if !schema.has_rules {
        return;
    }
    for rule in &mut schema.rules {
        rule.program = Program::parse(&rule.rule).ok().map(Arc::new);
        let message = rule.message_expression.as_deref();
        rule.message_program = message.and_then(|text| Program::parse(text).ok()).map(Arc::new);
    }
    let attached = |child: &SchemaRef| match child {
        SchemaRef::Inline(inner) if inner.has_rules => {
            let mut inner = (**inner).clone();
            attach(&mut inner);
            SchemaRef::from(inner)
        }
        other => other.clone(),
    };
    let properties: BTreeMap<_, _> =
        schema.properties.iter().map(|(name, child)| (name.clone(), attached(child))).collect();
    schema.properties = properties;
    schema.items = schema.items.as_ref().map(attached);
    schema.additional = schema.additional.as_ref().map(attached);
}

/// What is wrong with one rule.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// With the rule itself.
    pub rule: Option<String>,
    /// With its message expression.
    pub message_expression: Option<String>,
    /// Whether it looks at the old value.
    pub uses_old_self: bool,
}

/// Checks a rule against the schema it stands in.
pub fn check(rule: &Rule, schema: &Schema) -> Findings {
    let mut findings = Findings::default();
    if rule.rule.trim().is_empty() {
        return findings;
    }
    match Program::parse(&rule.rule) {
        Err(why) => findings.rule = Some(format!("compilation failed: {why}")),
        Ok(program) => {
            findings.uses_old_self = program.uses_old_self;
            findings.rule = match infer_in(&program, rule, schema) {
                Err(why) => Some(format!("compilation failed: {why}")),
                Ok(Ty::Bool | Ty::Dyn) => None,
                Ok(_) => Some("cel expression must evaluate to a bool".to_owned()),
            };
        }
    }
    if let Some(text) = &rule.message_expression {
        findings.message_expression = match Program::parse(text).and_then(|program| infer_in(&program, rule, schema)) {
            Err(why) => Some(format!("messageExpression compilation failed: {why}")),
            Ok(Ty::String | Ty::Dyn) => None,
            Ok(_) => Some("messageExpression must evaluate to a string".to_owned()),
        };
    }
    findings
}

fn infer_in<'a>(program: &Program, rule: &Rule, schema: &'a Schema) -> Result<Ty<'a>, String> {
    let own = Ty::of(schema);
    let old = if rule.optional_old_self { Ty::Optional(Box::new(own.clone())) } else { own.clone() };
    infer(&program.expression, &mut vec![("self".to_owned(), own), ("oldSelf".to_owned(), old)])
}

/// What an expression is to come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// True or false.
    Bool,
    /// A text.
    Text,
    /// A text, or null.
    TextOrNull,
    /// Anything.
    Any,
}

/// Checks an expression that stands in no schema: what its variables hold is not known before it is run.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_free(source: &str, variables: &[&str], wanted: Wanted) -> Result<(), String> {
    let program = Program::parse(source).map_err(|why| format!("compilation failed: {why}"))?;
    let ty = |name: &str| if name == "authorizer" { Ty::Opaque(AUTHORIZER) } else { Ty::Dyn };
    let mut scope = variables.iter().map(|name| ((*name).to_owned(), ty(name))).collect();
    let ty = infer(&program.expression, &mut scope).map_err(|why| format!("compilation failed: {why}"))?;
    match (wanted, ty) {
        (Wanted::Any, _)
        | (_, Ty::Dyn)
        | (Wanted::Bool, Ty::Bool)
        | (Wanted::Text | Wanted::TextOrNull, Ty::String)
        | (Wanted::TextOrNull, Ty::Null) => Ok(()),
        (Wanted::Bool, _) => Err("must evaluate to bool".to_owned()),
        (Wanted::Text, _) => Err("must evaluate to string".to_owned()),
        (Wanted::TextOrNull, _) => Err("must evaluate to one of [string null_type]".to_owned()),
    }
}
