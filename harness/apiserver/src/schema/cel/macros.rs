//! Macros that the parser leaves as calls: `cel.bind` and the comprehensions over two variables.
//!
//! Each becomes the comprehension it stands for, so that the evaluator needs to know nothing of it.

use kube_cel::cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, operators,
};

const RESULT: &str = "@result";

/// Rewrites an expression, innermost macros first.
pub(super) fn expand(expression: IdedExpr) -> IdedExpr {
    let IdedExpr { id, expr } = expression;
    let expr = match expr {
        Expr::Call(call) => expand_call(call),
        Expr::Select(mut select) => {
            select.operand = Box::new(expand(*select.operand));
            Expr::Select(select)
        }
        Expr::List(mut list) => {
            list.elements = list.elements.into_iter().map(expand).collect();
            Expr::List(list)
        }
        Expr::Map(mut map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    entry.key = expand(std::mem::take(&mut entry.key));
                    entry.value = expand(std::mem::take(&mut entry.value));
                }
            }
            Expr::Map(map)
        }
        Expr::Comprehension(mut c) => {
            for part in [&mut c.iter_range, &mut c.accu_init, &mut c.loop_cond, &mut c.loop_step, &mut c.result] {
                *part = expand(std::mem::take(part));
            }
            Expr::Comprehension(c)
        }
        other => other,
    };
    IdedExpr { id, expr }
}

fn expand_call(mut call: CallExpr) -> Expr {
    call.target = call.target.map(|target| Box::new(expand(*target)));
    call.args = call.args.into_iter().map(expand).collect();
    if call.func_name == operators::OPT_SELECT {
        // The evaluator stumbles over a field that is not there, an optional index does not.
        operators::OPT_INDEX.clone_into(&mut call.func_name);
    }
    let is_cel = call.target.as_deref().is_some_and(|t| t.expr == Expr::Ident("cel".to_owned()));
    let expanded = match call.func_name.as_str() {
        "bind" if is_cel => bind(&call),
        "optMap" | "optFlatMap" => optional(&call),
        _ => None,
    };
    expanded.unwrap_or(Expr::Call(call))
}

/// `cel.bind(x, value, expression)`: a loop over nothing whose accumulator is `x`.
fn bind(call: &CallExpr) -> Option<Expr> {
    let [name, value, body] = call.args.as_slice() else { return None };
    let Expr::Ident(name) = &name.expr else { return None };
    Some(scoped(name, value.clone(), body.clone()))
}

fn scoped(name: &str, value: IdedExpr, body: IdedExpr) -> Expr {
    Expr::Comprehension(Box::new(ComprehensionExpr {
        iter_range: node(Expr::List(ListExpr::new(Vec::new()))),
        iter_var: "@unused".to_owned(),
        iter_var2: None,
        accu_var: name.to_owned(),
        accu_init: value,
        loop_cond: node(Expr::Literal(LiteralValue::Boolean(false.into()))),
        loop_step: ident(name),
        result: body,
    }))
}

/// `target.optMap(x, expression)`: the expression on what the optional holds, wrapped again.
///
/// The target is evaluated twice: a variable that holds an optional loses it in this version of the engine.
fn optional(call: &CallExpr) -> Option<Expr> {
    let flat = call.func_name == "optFlatMap";
    let (Some(target), [name, body]) = (&call.target, call.args.as_slice()) else { return None };
    let Expr::Ident(name) = &name.expr else { return None };
    let is_there = function("hasValue", Some((**target).clone()), Vec::new());
    let held = function("value", Some((**target).clone()), Vec::new());
    let wrapped = if flat { body.clone() } else { function("of", Some(ident("optional")), vec![body.clone()]) };
    let then = node(scoped(name, held, wrapped));
    let none = function("none", Some(ident("optional")), Vec::new());
    Some(function(operators::CONDITIONAL, None, vec![is_there, then, none]).expr)
}

fn function(name: &str, target: Option<IdedExpr>, args: Vec<IdedExpr>) -> IdedExpr {
    node(Expr::Call(CallExpr { func_name: name.to_owned(), target: target.map(Box::new), args }))
}

fn ident(name: &str) -> IdedExpr {
    node(Expr::Ident(name.to_owned()))
}

fn node(expr: Expr) -> IdedExpr {
    IdedExpr { id: 0, expr }
}

/// The accumulator of the macros that the parser expands.
pub(super) fn is_accumulator(name: &str) -> bool {
    name == RESULT || name.starts_with('@')
}
