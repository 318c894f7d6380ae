//! `x-kubernetes-validations`: rules in CEL, compiled once with the schema they stand in.
//!
//! [`compile`] parses rules and tells what is wrong with them, `types` infers types well enough to do so, `evaluate`
//! walks an object and applies them. The engine and Kubernetes' functions come from `kube_cel`; what they lack is made up
//! for here (`cel.bind`, two-variable macros) or refused when a definition is created.

pub mod compile;
mod escape;
mod evaluate;
mod functions;
mod macros;
mod types;
mod value;

use std::sync::LazyLock;

use kube_cel::cel::parser::{Expression, ExpressionReferences, Parser};
use kube_cel::cel::{Context, ExecutionError, Value};
use kube_cel::{KubeCelExt, cel};

pub(crate) use compile::{Wanted, check_free};
pub use escape::escape;
pub(crate) use escape::is_reserved;
pub use evaluate::validate;
pub(crate) use evaluate::words as explain;

use super::node::Schema;

/// All of Kubernetes' functions; made once, since there are many.
static ROOT: LazyLock<Context<'static>> = LazyLock::new(functions);

/// Kubernetes' functions, to add others to.
pub(crate) fn functions() -> Context<'static> {
    Context::default().with_all()
}

/// One compiled expression.
#[derive(Debug)]
pub struct Program {
    expression: Expression,
    uses_old_self: bool,
}

impl Program {
    /// Parses `source`.
    ///
    /// # Errors
    /// What is wrong with its syntax, and where.
    pub fn parse(source: &str) -> Result<Self, String> {
        let parsed = Parser::default().enable_optional_syntax(true).parse(source);
        let expression = parsed.map_err(|errors: cel::ParseErrors| errors.to_string())?;
        let expression = macros::expand(expression);
        let uses_old_self = ExpressionReferences::has_variable(&expression.references(), "oldSelf");
        Ok(Self { expression, uses_old_self })
    }

    /// Evaluates it with the variables given.
    ///
    /// # Errors
    /// What went wrong on the way, like a missing key.
    pub fn run(&self, variables: &[(&str, Value)]) -> Result<Value, ExecutionError> {
        self.run_in(&ROOT, variables)
    }

    /// As [`Program::run`], with the functions of `root`.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub(crate) fn run_in(&self, root: &Context<'static>, variables: &[(&str, Value)]) -> Result<Value, ExecutionError> {
        let mut context = root.new_inner_scope();
        for (name, value) in variables {
            context.add_variable_from_value(*name, value.clone());
        }
        Value::resolve(&self.expression, &context)
    }
}

/// Whether there are rules in a schema.
pub fn has_rules(schema: &Schema) -> bool {
    schema.has_rules
}

#[cfg(test)]
mod tests;
