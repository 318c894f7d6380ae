//! Kubernetes' relaxed `JSONPath`, as printer columns are written in it.
//!
//! `.spec.x`, `.metadata.labels.app\.kubernetes\.io/name`, `['a']`, `[0]`, `[-1:]`, `[*]`, `..name`, `['a','b']` and
//! filters like `[?(@.type=="Ready")]`. A path is parsed once and evaluated without a schema; what is missing is no
//! error, what cannot be asked (a filter of something that is no list) is.

use std::cmp::Ordering;

use serde_json::Value;

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    /// Every field of an object or item of a list.
    Wildcard,
    /// The value and everything below it.
    Recursive,
    Slice {
        start: Option<i64>,
        end: Option<i64>,
        step: i64,
    },
    Union(Vec<JsonPath>),
    Filter(Filter),
}

#[derive(Clone, Debug, PartialEq)]
struct Filter {
    left: Operand,
    compare: Option<(Comparison, Operand)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    /// From the item (`@`).
    Path(JsonPath),
    Literal(Value),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
}

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Something other than a step, at this byte.
    #[error("unexpected character at {0}")]
    Unexpected(usize),
    /// A bracket that is not closed.
    #[error("unterminated bracket")]
    Unterminated,
    /// What stands in brackets is neither index, slice, name nor filter.
    #[error("invalid array index {0}")]
    Index(String),
    /// A filter without sense.
    #[error("invalid filter {0}")]
    Filter(String),
}

/// Why a path cannot be evaluated on this value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError {
    /// An index or a filter of something that is no list.
    #[error("not a list")]
    NotAList,
    /// An index beyond the list.
    #[error("list index out of bounds")]
    OutOfBounds,
    /// A filter that compares values of two types, or several values.
    #[error("values cannot be compared")]
    Incomparable,
}

impl JsonPath {
    /// Parses a path.
    ///
    /// # Errors
    /// See [`PathError`].
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let mut steps = Vec::new();
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            at += match c {
                '$' | '@' => 1,
                '.' if text[at..].starts_with("..") => {
                    steps.push(Step::Recursive);
                    // A name may follow at once.
                    let (name, length) = field(&text[at + 2..]);
                    steps.extend((!name.is_empty()).then(|| named(name)));
                    2 + length
                }
                '.' => {
                    let (name, length) = field(&text[at + 1..]);
                    // A dot before a bracket or at the end says nothing.
                    steps.extend((!name.is_empty()).then(|| named(name)));
                    1 + length
                }
                '[' => {
                    let inside = brackets(&text[at..])?;
                    steps.push(bracket(inside)?);
                    inside.len() + 2
                }
                _ => return Err(PathError::Unexpected(at)),
            };
        }
        Ok(Self { steps })
    }

    /// The values the path leads to, in order; none if they are not there.
    ///
    /// # Errors
    /// See [`EvaluateError`].
    pub fn find<'a>(&self, root: &'a Value) -> Result<Vec<&'a Value>, EvaluateError> {
        let mut values = vec![root];
        for step in &self.steps {
            let mut next = Vec::new();
            for value in values {
                step.evaluate(value, &mut next)?;
            }
            values = next;
        }
        Ok(values)
    }
}

impl Step {
    fn evaluate<'a>(&self, value: &'a Value, out: &mut Vec<&'a Value>) -> Result<(), EvaluateError> {
        match self {
            Self::Field(name) => out.extend(value.as_object().and_then(|fields| fields.get(name))),
            Self::Wildcard => match value {
                Value::Object(fields) => out.extend(fields.values()),
                Value::Array(items) => out.extend(items),
                _ => {}
            },
            Self::Recursive => below(value, out),
            Self::Slice { start, end, step } => {
                if !value.is_null() {
                    slice(value.as_array().ok_or(EvaluateError::NotAList)?, *start, *end, *step, out)?;
                }
            }
            Self::Union(paths) => {
                for path in paths {
                    out.extend(path.find(value)?);
                }
            }
            Self::Filter(filter) => {
                if !value.is_null() {
                    for item in value.as_array().ok_or(EvaluateError::NotAList)? {
                        if filter.keeps(item)? {
                            out.push(item);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

impl Filter {
    fn keeps(&self, item: &Value) -> Result<bool, EvaluateError> {
        let left = self.left.values(item)?;
        let Some((comparison, right)) = &self.compare else { return Ok(!left.is_empty()) };
        let right = right.values(item)?;
        let (left, right) = match (left.as_slice(), right.as_slice()) {
            ([], _) | (_, []) => return Ok(false),
            ([left], [right]) => (*left, *right),
            _ => return Err(EvaluateError::Incomparable),
        };
        let order = match (left, right) {
            (Value::String(a), Value::String(b)) => a.cmp(b),
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Number(a), Value::Number(b)) => {
                a.as_f64().partial_cmp(&b.as_f64()).ok_or(EvaluateError::Incomparable)?
            }
            _ => return Err(EvaluateError::Incomparable),
        };
        Ok(match comparison {
            Comparison::Less => order == Ordering::Less,
            Comparison::LessOrEqual => order != Ordering::Greater,
            Comparison::Equal => order == Ordering::Equal,
            Comparison::NotEqual => order != Ordering::Equal,
            Comparison::GreaterOrEqual => order != Ordering::Less,
            Comparison::Greater => order == Ordering::Greater,
        })
    }
}

impl Operand {
    fn values<'a>(&'a self, item: &'a Value) -> Result<Vec<&'a Value>, EvaluateError> {
        match self {
            Self::Path(path) => path.find(item),
            Self::Literal(value) => Ok(vec![value]),
        }
    }

    fn parse(text: &str) -> Result<Self, PathError> {
        let wrong = || PathError::Filter(text.to_owned());
        match text.chars().next() {
            Some('@' | '$' | '.' | '[') => JsonPath::parse(text).map(Self::Path),
            Some(quote @ ('"' | '\'')) => {
                let inner = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)).ok_or_else(wrong)?;
                Ok(Self::Literal(unescape(inner).into()))
            }
            _ => match serde_json::from_str(text) {
                Ok(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Self::Literal(value)),
                _ => Err(wrong()),
            },
        }
    }
}

fn below<'a>(value: &'a Value, out: &mut Vec<&'a Value>) {
    out.push(value);
    match value {
        Value::Object(fields) => fields.values().for_each(|field| below(field, out)),
        Value::Array(items) => items.iter().for_each(|item| below(item, out)),
        _ => {}
    }
}

fn slice<'a>(
    items: &'a [Value],
    start: Option<i64>,
    end: Option<i64>,
    step: i64,
    out: &mut Vec<&'a Value>,
) -> Result<(), EvaluateError> {
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let from_behind = |index: i64| if index < 0 { index.saturating_add(length) } else { index };
    let (start, end) = (from_behind(start.unwrap_or(0)), from_behind(end.unwrap_or(length)));
    if start < 0 || end < 0 || start > length || end > length {
        return Err(EvaluateError::OutOfBounds);
    }
    let index = |at: i64| usize::try_from(at).unwrap_or_default();
    if start < end {
        out.extend(items[index(start)..index(end)].iter().step_by(index(step.max(1))));
    }
    Ok(())
}

/// A name up to what ends it, with its escapes resolved, and how long it is in the text.
fn field(text: &str) -> (String, usize) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}' | ' ' | '\t' | '\n' => return (name, at),
            c => name.push(c),
        }
    }
    (name, text.len())
}

fn named(name: String) -> Step {
    if name == "*" { Step::Wildcard } else { Step::Field(name) }
}

/// What stands between `[` and the `]` that belongs to it.
fn brackets(text: &str) -> Result<&str, PathError> {
    let mut depth = 0_usize;
    for at in outside_quotes(text) {
        match text.as_bytes().get(at) {
            Some(b'[') => depth += 1,
            Some(b']') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Ok(&text[1..at]);
                }
            }
            _ => {}
        }
    }
    Err(PathError::Unterminated)
}

fn bracket(text: &str) -> Result<Step, PathError> {
    let wrong = || PathError::Index(text.to_owned());
    if let Some(filter) = text.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
        return parse_filter(filter).map(Step::Filter);
    }
    let parts = split_outside_quotes(text, ',');
    if parts.len() > 1 {
        let part = |part: &&str| JsonPath::parse(&format!("[{}]", part.trim()));
        return parts.iter().map(part).collect::<Result<_, _>>().map(Step::Union);
    }
    for quote in ['\'', '"'] {
        if let Some(name) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return Ok(Step::Field(unescape(name)));
        }
    }
    if text == "*" {
        return Ok(Step::Slice { start: None, end: None, step: 1 });
    }
    let numbers: Vec<&str> = text.split(':').collect();
    let number = |text: &str| -> Result<Option<i64>, PathError> {
        if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(|_| wrong()) }
    };
    match numbers.as_slice() {
        [""] => Err(wrong()),
        [index] => {
            let index = number(index)?.ok_or_else(wrong)?;
            // The item before the first from behind is the last.
            let end = if index == -1 { None } else { Some(index + 1) };
            Ok(Step::Slice { start: Some(index), end, step: 1 })
        }
        [start, end] => Ok(Step::Slice { start: number(start)?, end: number(end)?, step: 1 }),
        [start, end, step] => {
            Ok(Step::Slice { start: number(start)?, end: number(end)?, step: number(step)?.unwrap_or(1) })
        }
        _ => Err(wrong()),
    }
}

fn parse_filter(text: &str) -> Result<Filter, PathError> {
    const OPERATORS: [(&str, Comparison); 6] = [
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("==", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];
    for at in outside_quotes(text) {
        for (operator, comparison) in OPERATORS {
            if let Some(right) = text[at..].strip_prefix(operator) {
                let left = Operand::parse(text[..at].trim())?;
                return Ok(Filter { left, compare: Some((comparison, Operand::parse(right.trim())?)) });
            }
        }
    }
    Ok(Filter { left: Operand::parse(text.trim())?, compare: None })
}

fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut from = 0;
    for at in outside_quotes(text) {
        if text[at..].starts_with(separator) {
            parts.push(&text[from..at]);
            from = at + separator.len_utf8();
        }
    }
    parts.push(&text[from..]);
    parts
}

/// Where the characters that are not quoted begin.
fn outside_quotes(text: &str) -> impl Iterator<Item = usize> {
    let (mut quote, mut escaped) = (None, false);
    let each = text.char_indices().filter_map(move |(at, c)| {
        let was_escaped = std::mem::take(&mut escaped);
        if was_escaped {
            return None;
        }
        match (c, quote) {
            ('\\', _) => escaped = true,
            (c, Some(open)) => quote = (c != open).then_some(open),
            ('\'' | '"', None) => quote = Some(c),
            _ => return Some(at),
        }
        None
    });
    each.collect::<Vec<_>>().into_iter()
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\\' { out.extend(chars.next()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn paths_of_the_wild_lead_where_kubectl_finds_them() {
        let object = json!({
            "spec": {"size": 3, "name": "n", "list": [{"a": 1}, {"a": 2}, {"a": 3}]},
            "metadata": {"labels": {"app.kubernetes.io/name": "x"}},
            "status": {"conditions": [
                {"type": "Ready", "status": "True", "n": 1},
                {"type": "Done", "status": "False", "n": 2, "x": null},
            ]},
        });
        let table = [
            (".spec.size", json!([3])),
            ("$.spec.size", json!([3])),
            (".spec['size']", json!([3])),
            (r".metadata.labels.app\.kubernetes\.io/name", json!(["x"])),
            (".metadata.labels['app.kubernetes.io/name']", json!(["x"])),
            (r".metadata.labels['app\.kubernetes\.io/name']", json!(["x"])),
            (r#".status.conditions[?(@.type=="Ready")].status"#, json!(["True"])),
            (".status.conditions[?(@.type=='Done')].status", json!(["False"])),
            (r#".status.conditions[?( @.type != "Ready" )].n"#, json!([2])),
            (".status.conditions[?(@.n >= 2)].type", json!(["Done"])),
            (".status.conditions[?(@.x)].type", json!(["Done"])),
            (".status.conditions[?(@.absent==1)].type", json!([])),
            (".spec.list[0].a", json!([1])),
            (".spec.list[-1].a", json!([3])),
            (".spec.list[-2].a", json!([2])),
            (".spec.list[*].a", json!([1, 2, 3])),
            (".spec.list[1:].a", json!([2, 3])),
            (".spec.list[:1].a", json!([1])),
            (".spec.list[::2].a", json!([1, 3])),
            (".spec.list[0,2].a", json!([1, 3])),
            (".spec['size','name']", json!([3, "n"])),
            (".spec.*", json!([[{"a": 1}, {"a": 2}, {"a": 3}], "n", 3])),
            ("..a", json!([1, 2, 3])),
            (".absent.x", json!([])),
            (".", json!([object])),
        ];
        for (path, want) in table {
            let path = JsonPath::parse(path).expect(path);
            let found: Vec<Value> = path.find(&object).expect("evaluates").into_iter().cloned().collect();
            assert_eq!(json!(found), want, "{path:?}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_an_error() {
        let object = json!({"a": {"b": 1}, "l": [{"x": "s"}, 1]});
        let table = [
            (".a[0]", EvaluateError::NotAList),
            (".a[?(@.b==1)]", EvaluateError::NotAList),
            (".l[7]", EvaluateError::OutOfBounds),
            (".l[-7]", EvaluateError::OutOfBounds),
            (".l[?(@.x==1)]", EvaluateError::Incomparable),
        ];
        for (path, error) in table {
            assert_eq!(JsonPath::parse(path).expect(path).find(&object), Err(error), "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        let bad = ["spec.x", ".a[", ".a[]", ".a[x]", ".a[1:2:3:4]", ".a[?(@.x==)]", ".a[?(x)]", ".a]", ".a b"];
        for path in bad {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fall_over(text in r#"[.$@\[\]?()='",:*a0 \\{}é-]{0,16}"#) {
            if let Ok(path) = JsonPath::parse(&text) {
                let _ = path.find(&json!({"a": [{"a": 0}, "é"], "": null}));
            }
        }
    }
}
