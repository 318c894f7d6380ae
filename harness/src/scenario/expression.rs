//! CEL expressions over objects, and `${name}` in texts.
//!
//! A field that is not there yet makes an expression undecided, not wrong: scenarios wait for what is to come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube_cel::KubeCelExt;
use kube_cel::cel::common::ast::{EntryExpr, Expr, IdedExpr};
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{self, Context, ExecutionError, Program};
use serde_json::Value;

/// The variable that stands for the object under test.
pub const SELF: &str = "self";
/// The variable that stands for every selected object.
pub const ALL: &str = "all";

/// Functions and macros people use most, to suggest when a name is misspelt.
const COMMON_FUNCTIONS: [&str; 20] = [
    "all",
    "contains",
    "endsWith",
    "exists",
    "exists_one",
    "filter",
    "format",
    "has",
    "indexOf",
    "int",
    "join",
    "lowerAscii",
    "map",
    "matches",
    "replace",
    "size",
    "split",
    "startsWith",
    "string",
    "timestamp",
];

/// Values by name.
pub type Bindings = BTreeMap<String, Value>;

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Expression(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    source: String,
    program: Program,
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// What is wrong.
    pub message: String,
    /// The byte in the expression where it was noticed.
    pub offset: usize,
    /// What to do about it.
    pub help: Option<String>,
}

/// What an expression says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
    /// It cannot be said: something it needs is not there, or of another type.
    Undecided(String),
}

impl Expression {
    /// Compiles an expression that may use `self`, `all` and the named bindings.
    ///
    /// # Errors
    /// The first [`ExpressionError`]: bad syntax, then a variable or function that does not exist.
    pub fn compile<'a>(source: &str, bindings: impl IntoIterator<Item = &'a str>) -> Result<Self, ExpressionError> {
        let program = Program::compile(source).map_err(|errors| syntax_error(source, &errors))?;
        let names = Names::of(program.expression());
        let known: BTreeSet<&str> = bindings.into_iter().chain([SELF, ALL]).collect();
        if let Some(unknown) = names.variables.iter().find(|name| !known.contains(name.as_str()) && !is_type(name)) {
            return Err(ExpressionError {
                message: format!("unknown variable `{unknown}`"),
                offset: source.find(unknown.as_str()).unwrap_or_default(),
                help: super::diagnostic::nearest(unknown, known),
            });
        }
        if let Some(unknown) = names.functions.iter().find(|name| !function_exists(name)) {
            return Err(ExpressionError {
                message: format!("unknown function `{unknown}`"),
                offset: source.find(unknown.as_str()).unwrap_or_default(),
                help: super::diagnostic::nearest(unknown, COMMON_FUNCTIONS),
            });
        }
        Ok(Self(Arc::new(Compiled { source: source.to_owned(), program })))
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// What the expression says.
    pub fn verdict(&self, scope: &Scope) -> Verdict {
        match self.0.program.execute(&scope.context) {
            Ok(cel::Value::Bool(true)) => Verdict::Holds,
            Ok(cel::Value::Bool(false)) => Verdict::Fails,
            Ok(other) => Verdict::Undecided(format!("it is a {}, not a truth value", other.type_of())),
            Err(error) => Verdict::Undecided(describe(&error)),
        }
    }

    /// The expression's value.
    ///
    /// # Errors
    /// Why there is none.
    pub fn value(&self, scope: &Scope) -> Result<Value, String> {
        let value = self.0.program.execute(&scope.context).map_err(|error| describe(&error))?;
        to_json(&value).ok_or_else(|| format!("a {} cannot be kept", value.type_of()))
    }

    /// What the fields that the expression names have for values, to show why it does not hold.
    pub fn explain(&self, scope: &Scope) -> Vec<(String, String)> {
        let names = Names::of(self.0.program.expression());
        names
            .paths
            .into_iter()
            .filter_map(|path| {
                let program = Program::compile(&path).ok()?;
                let value = match program.execute(&scope.context) {
                    Ok(value) => to_json(&value).map_or_else(|| format!("{value:?}"), |json| json.to_string()),
                    Err(ExecutionError::NoSuchKey(_)) => "not there".to_owned(),
                    Err(error) => describe(&error),
                };
                Some((path, value))
            })
            .collect()
    }
}

/// What expressions are evaluated over.
pub struct Scope {
    context: Context<'static>,
}

impl Scope {
    /// The bindings, with one object as `self` and every selected object as `all`.
    pub fn new(object: Option<&Value>, all: &[&Value], bindings: &Bindings) -> Self {
        let mut context = Context::default().with_all();
        for (name, value) in bindings {
            context.add_variable_from_value(name.as_str(), to_cel(value));
        }
        context.add_variable_from_value(SELF, object.map_or(cel::Value::Null, to_cel));
        let all: Vec<cel::Value> = all.iter().map(|object| to_cel(object)).collect();
        context.add_variable_from_value(ALL, cel::Value::List(Arc::new(all)));
        Self { context }
    }
}

/// JSON as CEL sees it: every whole number is an `int`, as in Kubernetes' own expressions.
fn to_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(value) => cel::Value::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => cel::Value::Int(whole),
            (None, Some(huge)) => cel::Value::UInt(huge),
            (None, None) => cel::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(items) => cel::Value::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (Key::String(Arc::new(key.clone())), to_cel(value)));
            cel::Value::Map(Map { map: Arc::new(fields.collect()) })
        }
    }
}

/// CEL's values that JSON has, too.
fn to_json(value: &cel::Value) -> Option<Value> {
    Some(match value {
        cel::Value::Null => Value::Null,
        cel::Value::Bool(value) => (*value).into(),
        cel::Value::Int(value) => (*value).into(),
        cel::Value::UInt(value) => (*value).into(),
        cel::Value::Float(value) => (*value).into(),
        cel::Value::String(text) => text.as_str().into(),
        cel::Value::List(items) => items.iter().map(to_json).collect::<Option<Value>>()?,
        cel::Value::Map(map) => {
            // A map's order is its keys', so that what is printed repeats.
            let fields: BTreeMap<String, &cel::Value> =
                map.map.iter().map(|(key, value)| (key.to_string(), value)).collect();
            let fields = fields.into_iter().map(|(key, value)| Some((key, to_json(value)?)));
            fields.collect::<Option<serde_json::Map<_, _>>>()?.into()
        }
        _ => return None,
    })
}

fn syntax_error(source: &str, errors: &cel::ParseErrors) -> ExpressionError {
    let Some(error) = errors.errors.first() else {
        return ExpressionError { message: "not an expression".to_owned(), offset: 0, help: None };
    };
    let line = usize::try_from(error.pos.0).unwrap_or(1).max(1);
    let column = usize::try_from(error.pos.1).unwrap_or(1).max(1);
    let start: usize = source.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = source.get(start..).unwrap_or_default();
    let within: usize = rest.chars().take(column - 1).map(char::len_utf8).sum();
    // The generated parser names its tokens; the first line is what a person can use.
    let message = error.msg.lines().next().unwrap_or("not an expression").to_owned();
    ExpressionError { message, offset: (start + within).min(source.len()), help: None }
}

fn describe(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("there is no field `{key}`"),
        other => {
            let text = other.to_string();
            // Some errors carry whole objects; the beginning says which error it is.
            let end = text.char_indices().nth(200).map_or(text.len(), |(end, _)| end);
            text[..end].to_owned()
        }
    }
}

/// Names of types, which CEL takes for variables.
fn is_type(name: &str) -> bool {
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"].contains(&name)
}

/// Asked of the interpreter itself, so that the answer cannot go stale: calling what is not there is an error of its own.
fn function_exists(name: &str) -> bool {
    let Ok(program) = Program::compile(&format!("{name}()")) else { return true };
    let context = Context::default().with_all();
    !matches!(program.execute(&context), Err(ExecutionError::UndeclaredReference(_)))
}

/// The names in an expression.
#[derive(Default)]
struct Names {
    /// Variables that come from outside.
    variables: BTreeSet<String>,
    /// Functions called by name.
    functions: BTreeSet<String>,
    /// Longest paths of fields on variables from outside.
    paths: BTreeSet<String>,
}

impl Names {
    fn of(expression: &IdedExpr) -> Self {
        let mut names = Self::default();
        names.walk(expression, &mut Vec::new());
        names
    }

    fn walk(&mut self, expression: &IdedExpr, local: &mut Vec<String>) {
        if let Some((root, path)) = path(expression)
            && !local.contains(&root)
            && !root.starts_with('@')
        {
            self.variables.insert(root);
            self.paths.insert(path);
            return;
        }
        match &expression.expr {
            Expr::Call(call) => {
                if call.func_name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                    self.call(&call.func_name, call.target.as_deref(), local);
                } else if let Some(target) = &call.target {
                    self.walk(target, local);
                }
                call.args.iter().for_each(|argument| self.walk(argument, local));
            }
            Expr::Comprehension(comprehension) => {
                self.walk(&comprehension.iter_range, local);
                let depth = local.len();
                local.push(comprehension.iter_var.clone());
                local.extend(comprehension.iter_var2.clone());
                local.push(comprehension.accu_var.clone());
                for part in [
                    &comprehension.accu_init,
                    &comprehension.loop_cond,
                    &comprehension.loop_step,
                    &comprehension.result,
                ] {
                    self.walk(part, local);
                }
                local.truncate(depth);
            }
            Expr::List(list) => list.elements.iter().for_each(|element| self.walk(element, local)),
            Expr::Select(select) => self.walk(&select.operand, local),
            Expr::Map(map) => map.entries.iter().for_each(|entry| self.entry(&entry.expr, local)),
            Expr::Struct(fields) => fields.entries.iter().for_each(|entry| self.entry(&entry.expr, local)),
            Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
        }
    }

    /// `math.greatest(…)` looks like a method on a variable `math`, but is a function's whole name.
    fn call(&mut self, function: &str, target: Option<&IdedExpr>, local: &mut Vec<String>) {
        let namespaces = ["math", "sets", "base64", "json", "jsonpatch", "format", "strings", "lists"];
        match target {
            Some(target) if matches!(&target.expr, Expr::Ident(name) if namespaces.contains(&name.as_str())) => {}
            Some(target) => {
                self.functions.insert(function.to_owned());
                self.walk(target, local);
            }
            None => {
                self.functions.insert(function.to_owned());
            }
        }
    }

    fn entry(&mut self, entry: &EntryExpr, local: &mut Vec<String>) {
        match entry {
            EntryExpr::StructField(field) => self.walk(&field.value, local),
            EntryExpr::MapEntry(entry) => {
                self.walk(&entry.key, local);
                self.walk(&entry.value, local);
            }
        }
    }
}

/// `a.b.c` as its first name and its text. `has(a.b.c)` is a path too.
fn path(expression: &IdedExpr) -> Option<(String, String)> {
    match &expression.expr {
        Expr::Ident(name) => Some((name.clone(), name.clone())),
        Expr::Select(select) => {
            let (root, path) = path(&select.operand)?;
            Some((root, format!("{path}.{}", select.field)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(source: &str, object: &Value) -> Verdict {
        let bindings = Bindings::from([("uid".to_owned(), json!("u-1"))]);
        let expression = Expression::compile(source, ["uid"]).unwrap();
        expression.verdict(&Scope::new(Some(object), &[object], &bindings))
    }

    #[test]
    fn expressions_see_the_object_the_others_and_the_bindings() {
        let object = json!({
            "metadata": {"uid": "u-1", "generation": 3, "labels": {"a/b": "c"}},
            "status": {"interfaces": [{"id": 1, "state": "Configured"}, {"id": 2, "state": "Failed"}]},
        });
        let holding = [
            "self.metadata.uid == uid",
            "self.metadata.generation == 3",
            "self.metadata.generation + 1 > 3",
            "self.metadata.labels['a/b'] == 'c'",
            "self.status.interfaces.exists(i, i.state == 'Failed')",
            "self.status.interfaces.filter(i, i.id > 1).map(i, i.state) == ['Failed']",
            "size(all) == 1 && all[0].metadata.uid == uid",
            "has(self.status) && !has(self.spec)",
            "'multinic0'.startsWith('multi') && 'A'.lowerAscii() == 'a'",
            "math.greatest(1, 2) == 2",
            "cidr('11.11.11.0/24').containsIP('11.11.11.33')",
        ];
        for source in holding {
            assert_eq!(verdict(source, &object), Verdict::Holds, "{source}");
        }
        assert_eq!(verdict("self.metadata.generation == 4", &object), Verdict::Fails);
    }

    #[test]
    fn a_field_that_is_not_there_yet_leaves_the_matter_open() {
        for source in ["self.status.state == 'Configured'", "self.a.b.c > 3", "self.list[0].x"] {
            assert!(matches!(verdict(source, &json!({"list": []})), Verdict::Undecided(_)), "{source}");
        }
        assert_eq!(verdict("self", &json!({})), Verdict::Undecided("it is a map, not a truth value".to_owned()));
    }

    #[test]
    fn a_bad_expression_is_refused_with_its_place_and_the_nearest_right_word() {
        let error = |source: &str| Expression::compile(source, ["uid"]).unwrap_err();
        assert!(error("self.a == ").offset >= 8);
        for bad in
            ["", "self.a ==", "(self", "self.a = 1", "'open", "a b", "self..b", "@", "\u{0}", "self.?", "{", "[1,"]
        {
            assert!(!error(bad).message.is_empty(), "{bad:?}");
        }
        let unknown = error("self.a == uidd");
        assert_eq!((unknown.message.as_str(), unknown.offset), ("unknown variable `uidd`", 10));
        assert_eq!(unknown.help.as_deref(), Some("did you mean `uid`?"));
        let unknown = error("siez(self.a) == 1");
        assert_eq!((unknown.message.as_str(), unknown.offset), ("unknown function `siez`", 0));
        assert_eq!(unknown.help.as_deref(), Some("did you mean `size`?"));
    }

    #[test]
    fn an_expression_that_does_not_hold_shows_the_values_it_looked_at() {
        let object = json!({"status": {"state": "Failed"}});
        let expression =
            Expression::compile("self.status.state == 'x' && self.spec.a.exists(i, i.b == 1)", []).unwrap();
        let scope = Scope::new(Some(&object), &[], &Bindings::new());
        assert_eq!(
            expression.explain(&scope),
            [
                ("self.spec.a".to_owned(), "not there".to_owned()),
                ("self.status.state".to_owned(), "\"Failed\"".to_owned())
            ]
        );
    }
}
