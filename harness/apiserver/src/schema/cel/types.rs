//! Types of expressions, inferred as far as they are known, so that a rule that cannot work is refused with its definition.
//!
//! What is not known is `Dyn`, which fits everywhere: nothing is refused that might work.

use std::fmt;

use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

use super::escape::escape;
use super::{functions, macros};
use crate::schema::node::{Schema, SchemaRef, Type};

/// A CEL type.
#[derive(Clone, Debug)]
pub(super) enum Ty<'a> {
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    List(Box<Ty<'a>>),
    Map(Box<Ty<'a>>),
    Object(&'a Schema),
    Optional(Box<Ty<'a>>),
    Opaque(&'static str),
}

impl fmt::Display for Ty<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Timestamp => f.write_str("google.protobuf.Timestamp"),
            Self::Duration => f.write_str("google.protobuf.Duration"),
            Self::List(item) => write!(f, "list({item})"),
            Self::Map(value) => write!(f, "map(string, {value})"),
            Self::Object(_) => f.write_str("object"),
            Self::Optional(held) => write!(f, "optional_type({held})"),
            Self::Opaque(name) => f.write_str(name),
        }
    }
}

impl<'a> Ty<'a> {
    /// The type of what a schema describes.
    pub(super) fn of(schema: &'a Schema) -> Self {
        let format = schema.bounds.as_deref().and_then(|b| b.format.as_deref());
        match (schema.ty, format) {
            (Type::Boolean, _) => Self::Bool,
            (Type::Integer, _) => Self::Int,
            (Type::Number, _) => Self::Double,
            (Type::String, Some("date-time" | "date")) => Self::Timestamp,
            (Type::String, Some("duration")) => Self::Duration,
            (Type::String, Some("byte")) => Self::Bytes,
            (Type::String, _) => Self::String,
            (Type::Array, _) => {
                Self::List(Box::new(schema.items.as_ref().map_or(Self::Dyn, |items| Self::of(items.get()))))
            }
            (Type::Object, _) => match &schema.additional {
                Some(values) => Self::Map(Box::new(Self::of(values.get()))),
                None => Self::Object(schema),
            },
            (Type::Any | Type::IntOrString, _) => Self::Dyn,
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    /// Whether values of both types may be compared for equality.
    fn fits(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dyn | Self::Null, _)
            | (_, Self::Dyn | Self::Null)
            | (Self::Object(_), Self::Object(_) | Self::Map(_))
            | (Self::Map(_), Self::Object(_)) => true,
            (Self::List(a), Self::List(b)) | (Self::Map(a), Self::Map(b)) | (Self::Optional(a), Self::Optional(b)) => {
                a.fits(b)
            }
            (Self::Opaque(a), Self::Opaque(b)) => a == b,
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        }
    }
}

/// The variables in sight, innermost last.
type Scope<'a> = Vec<(String, Ty<'a>)>;

/// The type of an expression.
///
/// # Errors
/// What cannot work in it: a name, field or function that is not there, operands that do not go together.
pub(super) fn infer<'a>(expression: &IdedExpr, scope: &mut Scope<'a>) -> Result<Ty<'a>, String> {
    match &expression.expr {
        Expr::Literal(literal) => Ok(of_literal(literal)),
        Expr::Ident(name) => variable(name, scope),
        Expr::Select(select) => {
            let target = infer(&select.operand, scope)?;
            let field = field(&target, &select.field)?;
            Ok(if select.test { Ty::Bool } else { field })
        }
        Expr::Call(call) => of_call(call, scope),
        Expr::List(list) => {
            let mut item: Option<Ty<'a>> = None;
            for element in &list.elements {
                let ty = infer(element, scope)?;
                item = Some(match item {
                    Some(known) if !known.fits(&ty) => Ty::Dyn,
                    Some(known) => known,
                    None => ty,
                });
            }
            Ok(Ty::List(Box::new(item.unwrap_or(Ty::Dyn))))
        }
        Expr::Map(map) => {
            for entry in &map.entries {
                if let EntryExpr::MapEntry(entry) = &entry.expr {
                    infer(&entry.key, scope)?;
                    infer(&entry.value, scope)?;
                }
            }
            Ok(Ty::Map(Box::new(Ty::Dyn)))
        }
        Expr::Comprehension(comprehension) => of_comprehension(comprehension, scope),
        Expr::Struct(message) => Err(format!("undeclared reference to '{}'", message.type_name)),
        Expr::Unspecified => Err("empty expression".to_owned()),
    }
}

fn of_literal<'a>(literal: &LiteralValue) -> Ty<'a> {
    match literal {
        LiteralValue::Boolean(_) => Ty::Bool,
        LiteralValue::Bytes(_) => Ty::Bytes,
        LiteralValue::Double(_) => Ty::Double,
        LiteralValue::Int(_) => Ty::Int,
        LiteralValue::Null => Ty::Null,
        LiteralValue::String(_) => Ty::String,
        LiteralValue::UInt(_) => Ty::Uint,
    }
}

fn variable<'a>(name: &str, scope: &Scope<'a>) -> Result<Ty<'a>, String> {
    const TYPES: [&str; 11] =
        ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type", "optional_type"];
    if let Some((_, ty)) = scope.iter().rev().find(|(known, _)| known == name) {
        return Ok(ty.clone());
    }
    if TYPES.contains(&name) {
        return Ok(Ty::Dyn);
    }
    Err(format!("undeclared reference to '{name}' (in container '')"))
}

fn field<'a>(target: &Ty<'a>, name: &str) -> Result<Ty<'a>, String> {
    match target {
        Ty::Dyn => Ok(Ty::Dyn),
        Ty::Map(value) => Ok((**value).clone()),
        Ty::Optional(held) => Ok(Ty::Optional(Box::new(field(held, name)?))),
        Ty::Object(schema) => {
            let known = schema.properties.iter().find(|(key, _)| escape(key).as_deref() == Some(name));
            match known {
                Some((key, known)) if schema.embedded_resource && key == "metadata" => {
                    // Only the names of an object are there for rules to see.
                    matches!(known, SchemaRef::Inline(_) | SchemaRef::Builtin(_)).then_some(Ty::Dyn).ok_or_default()
                }
                Some((_, known)) => Ok(Ty::of(known.get())),
                None => Err(format!("undefined field '{name}'")),
            }
        }
        other => Err(format!("type '{other}' does not support field selection")),
    }
}

/// A `None` that cannot be, as an error.
trait OrDefault<T> {
    fn ok_or_default(self) -> Result<T, String>;
}

impl<T> OrDefault<T> for Option<T> {
    fn ok_or_default(self) -> Result<T, String> {
        self.ok_or_else(String::new)
    }
}

fn of_comprehension<'a>(c: &ComprehensionExpr, scope: &mut Scope<'a>) -> Result<Ty<'a>, String> {
    let item = match infer(&c.iter_range, scope)? {
        Ty::Dyn => Ty::Dyn,
        Ty::List(item) => *item,
        Ty::Map(_) | Ty::Object(_) => Ty::String,
        other => {
            return Err(format!(
                "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
            ));
        }
    };
    let accumulator = match infer(&c.accu_init, scope)? {
        // An empty list says nothing of its items yet.
        Ty::List(_) if macros::is_accumulator(&c.accu_var) => Ty::List(Box::new(Ty::Dyn)),
        other => other,
    };
    let depth = scope.len();
    scope.push((c.accu_var.clone(), accumulator.clone()));
    scope.push((c.iter_var.clone(), item));
    let step = infer(&c.loop_cond, scope).and_then(|_| infer(&c.loop_step, scope));
    scope.truncate(depth);
    let step = step?;
    let accumulator = match (&accumulator, step) {
        (Ty::List(_), step @ Ty::List(_)) => step,
        _ => accumulator,
    };
    scope.push((c.accu_var.clone(), accumulator));
    let result = infer(&c.result, scope);
    scope.truncate(depth);
    result
}

fn of_call<'a>(call: &CallExpr, scope: &mut Scope<'a>) -> Result<Ty<'a>, String> {
    let name = call.func_name.as_str();
    if let Some(target) = &call.target {
        if let Expr::Ident(prefix) = &target.expr
            && !scope.iter().any(|(known, _)| known == prefix)
        {
            let qualified = format!("{prefix}.{name}");
            arguments(call, scope)?;
            return functions::result(&qualified, false, &Ty::Dyn)
                .ok_or_else(|| format!("undeclared reference to '{qualified}' (in container '')"));
        }
        let target = infer(target, scope)?;
        let arguments = arguments(call, scope)?;
        let overload = || {
            let shown: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            format!("found no matching overload for '{name}' applied to '{target}.({})'", shown.join(", "))
        };
        let result = functions::result(name, true, &target)
            .ok_or_else(|| format!("undeclared reference to '{name}' (in container '')"))?;
        if functions::is_for_text(name) && !matches!(target, Ty::String | Ty::Dyn) {
            return Err(overload());
        }
        return Ok(match (name, target) {
            ("value" | "orValue", Ty::Optional(held)) => *held,
            ("min" | "max" | "sum", Ty::List(item)) => *item,
            (_, _) => result,
        });
    }
    let arguments = arguments(call, scope)?;
    of_operator(name, &arguments).unwrap_or_else(|| {
        functions::result(name, false, &Ty::Dyn)
            .ok_or_else(|| format!("undeclared reference to '{name}' (in container '')"))
    })
}

fn arguments<'a>(call: &CallExpr, scope: &mut Scope<'a>) -> Result<Vec<Ty<'a>>, String> {
    call.args.iter().map(|argument| infer(argument, scope)).collect()
}

/// The result of an operator; none if the name is no operator's.
fn of_operator<'a>(name: &str, operands: &[Ty<'a>]) -> Option<Result<Ty<'a>, String>> {
    let overload = || {
        let shown: Vec<String> = operands.iter().map(ToString::to_string).collect();
        Err(format!("found no matching overload for '{name}' applied to '({})'", shown.join(", ")))
    };
    let boolean = |ty: &Ty<'_>| matches!(ty, Ty::Bool | Ty::Dyn);
    Some(match (name, operands) {
        (operators::CONDITIONAL, [condition, then, otherwise]) => {
            if !boolean(condition) || !then.fits(otherwise) {
                return Some(overload());
            }
            Ok(if matches!(then, Ty::Dyn | Ty::Null) { otherwise.clone() } else { then.clone() })
        }
        (operators::LOGICAL_AND | operators::LOGICAL_OR, [a, b]) => {
            if boolean(a) && boolean(b) {
                Ok(Ty::Bool)
            } else {
                overload()
            }
        }
        (operators::LOGICAL_NOT, [a]) => {
            if boolean(a) {
                Ok(Ty::Bool)
            } else {
                overload()
            }
        }
        (operators::NOT_STRICTLY_FALSE, _) => Ok(Ty::Bool),
        (operators::EQUALS | operators::NOT_EQUALS, [a, b]) => {
            if a.fits(b) {
                Ok(Ty::Bool)
            } else {
                overload()
            }
        }
        (operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS, [a, b]) => {
            let scalar = |ty: &Ty<'_>| !matches!(ty, Ty::List(_) | Ty::Map(_) | Ty::Object(_) | Ty::Null);
            let comparable = (a.fits(b) || (a.is_number() && b.is_number())) && scalar(a) && scalar(b);
            if comparable { Ok(Ty::Bool) } else { overload() }
        }
        (operators::IN, [item, list]) => match list {
            Ty::List(known) if !known.fits(item) => overload(),
            Ty::List(_) | Ty::Map(_) | Ty::Object(_) | Ty::Dyn => Ok(Ty::Bool),
            _ => overload(),
        },
        (operators::INDEX, [target, index]) => match (target, index) {
            (Ty::List(item), Ty::Int | Ty::Uint | Ty::Dyn) => Ok((**item).clone()),
            (Ty::Map(value), Ty::String | Ty::Dyn) => Ok((**value).clone()),
            (Ty::Dyn | Ty::Object(_) | Ty::Optional(_), _) => Ok(Ty::Dyn),
            _ => overload(),
        },
        (operators::OPT_INDEX | operators::OPT_SELECT, _) => Ok(Ty::Optional(Box::new(Ty::Dyn))),
        (operators::NEGATE, [a]) => {
            if a.is_number() || matches!(a, Ty::Dyn) {
                Ok(a.clone())
            } else {
                overload()
            }
        }
        (operators::ADD, [a, b]) => arithmetic(a, b).map_or_else(overload, Ok),
        (operators::SUBSTRACT, [a, b]) => match (a, b) {
            (Ty::Timestamp, Ty::Timestamp) => Ok(Ty::Duration),
            (Ty::String | Ty::Bytes | Ty::List(_), _) => overload(),
            _ => arithmetic(a, b).map_or_else(overload, Ok),
        },
        (operators::MULTIPLY | operators::DIVIDE | operators::MODULO, [a, b]) => match (a, b) {
            (Ty::Dyn, other) | (other, Ty::Dyn) => Ok(other.clone()),
            (a, b) if a.is_number() && a.fits(b) => Ok(a.clone()),
            _ => overload(),
        },
        _ => return None,
    })
}

fn arithmetic<'a>(a: &Ty<'a>, b: &Ty<'a>) -> Option<Ty<'a>> {
    match (a, b) {
        (Ty::Dyn, other) | (other, Ty::Dyn) => Some(other.clone()),
        (Ty::Timestamp, Ty::Duration) | (Ty::Duration, Ty::Timestamp) => Some(Ty::Timestamp),
        (Ty::List(known), Ty::List(other)) => {
            Some(Ty::List(if matches!(**known, Ty::Dyn) { other.clone() } else { known.clone() }))
        }
        (a, b) if a.fits(b) && (a.is_number() || matches!(a, Ty::String | Ty::Bytes | Ty::Duration)) => Some(a.clone()),
        _ => None,
    }
}
