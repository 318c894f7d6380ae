//! Label and field selectors: parsing and matching.

use std::fmt;

use serde_json::Value;

use crate::field::{FieldError, quote};

/// Why a selector cannot be parsed; `Display` is what the client is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the operators of the grammar")]
pub enum Operator {
    Exists,
    DoesNotExist,
    Equals,
    NotEquals,
    In,
    NotIn,
    GreaterThan,
    LessThan,
}

/// One requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what; sorted, each once.
    pub values: Vec<String>,
}

impl Requirement {
    fn matches(&self, label: Option<&str>) -> bool {
        let listed = |value: &str| self.values.iter().any(|v| v == value);
        let number = |text: &str| text.parse::<i64>().ok();
        let bound = || self.values.first().and_then(|v| number(v));
        match (self.operator, label) {
            (Operator::Exists, label) => label.is_some(),
            (Operator::DoesNotExist, label) => label.is_none(),
            (Operator::Equals | Operator::In, Some(value)) => listed(value),
            (Operator::NotEquals | Operator::NotIn, Some(value)) => !listed(value),
            (Operator::NotEquals | Operator::NotIn, None) => true,
            (Operator::GreaterThan, Some(value)) => number(value).zip(bound()).is_some_and(|(v, b)| v > b),
            (Operator::LessThan, Some(value)) => number(value).zip(bound()).is_some_and(|(v, b)| v < b),
            (_, None) => false,
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.values.join(",");
        match self.operator {
            Operator::Exists => write!(f, "{}", self.key),
            Operator::DoesNotExist => write!(f, "!{}", self.key),
            Operator::Equals => write!(f, "{}={values}", self.key),
            Operator::NotEquals => write!(f, "{}!={values}", self.key),
            Operator::In => write!(f, "{} in ({values})", self.key),
            Operator::NotIn => write!(f, "{} notin ({values})", self.key),
            Operator::GreaterThan => write!(f, "{}>{values}", self.key),
            Operator::LessThan => write!(f, "{}<{values}", self.key),
        }
    }
}

/// Requirements on an object's labels, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector(pub Vec<Requirement>);

impl LabelSelector {
    /// Parses the form of the `labelSelector` parameter.
    ///
    /// # Errors
    /// [`Malformed`] in the words of apimachinery's parser.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        Parser { tokens: lex(text), at: 0 }.selector().map(Self)
    }

    /// Whether an object's labels are selected.
    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|r| r.matches(object["metadata"]["labels"][&r.key].as_str()))
    }

    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&parts.join(","))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Comma,
    Open,
    Close,
    Not,
    Equals,
    DoubleEquals,
    NotEquals,
    Greater,
    Less,
    In,
    NotIn,
    Identifier,
    Error,
    End,
}

fn lex(text: &str) -> Vec<(Token, String)> {
    const SPECIAL: [char; 7] = ['=', '!', '(', ')', ',', '>', '<'];
    let symbol = |s: &str| match s {
        "," => Some(Token::Comma),
        "(" => Some(Token::Open),
        ")" => Some(Token::Close),
        "!" => Some(Token::Not),
        "=" => Some(Token::Equals),
        "==" => Some(Token::DoubleEquals),
        "!=" => Some(Token::NotEquals),
        ">" => Some(Token::Greater),
        "<" => Some(Token::Less),
        _ => None,
    };
    let blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(blank);
    while let Some(first) = rest.chars().next() {
        let (token, length) = if SPECIAL.contains(&first) {
            // The longest symbol wins, so `==` is one token and `=(` are two.
            let two = rest.get(..2).and_then(symbol).map(|token| (token, 2));
            two.or_else(|| symbol(&rest[..1]).map(|token| (token, 1))).unwrap_or((Token::Error, 1))
        } else {
            let end = rest.find(|c| blank(c) || SPECIAL.contains(&c)).unwrap_or(rest.len());
            let token = match &rest[..end] {
                "in" => Token::In,
                "notin" => Token::NotIn,
                _ => Token::Identifier,
            };
            (token, end)
        };
        tokens.push((token, rest[..length].to_owned()));
        rest = rest[length..].trim_start_matches(blank);
    }
    tokens.push((Token::End, String::new()));
    tokens
}

struct Parser {
    tokens: Vec<(Token, String)>,
    at: usize,
}

impl Parser {
    /// The token here; `in` and `notin` are operators only where an operator stands.
    fn peek(&self, operator: bool) -> (Token, &str) {
        let (token, text) = self.tokens.get(self.at).map_or((Token::End, ""), |(t, s)| (*t, s.as_str()));
        let token = if !operator && matches!(token, Token::In | Token::NotIn) { Token::Identifier } else { token };
        (token, text)
    }

    fn take(&mut self, operator: bool) -> (Token, String) {
        let (token, text) = self.peek(operator);
        let found = (token, text.to_owned());
        self.at += 1;
        found
    }

    fn selector(mut self) -> Result<Vec<Requirement>, Malformed> {
        let mut requirements = Vec::new();
        loop {
            match self.peek(false) {
                (Token::Identifier | Token::Not, _) => {
                    let requirement =
                        self.requirement().map_err(|e| Malformed(format!("unable to parse requirement: {e}")))?;
                    requirements.push(requirement);
                    match self.take(false) {
                        (Token::End, _) => break,
                        (Token::Comma, _) => {
                            let (token, text) = self.peek(false);
                            if !matches!(token, Token::Identifier | Token::Not) {
                                return expected(text, "identifier after ','");
                            }
                        }
                        (_, text) => return expected(&text, "',' or 'end of string'"),
                    }
                }
                (Token::End, _) => break,
                (_, text) => return expected(text, "!, identifier, or 'end of string'"),
            }
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(requirements)
    }

    fn requirement(&mut self) -> Result<Requirement, Malformed> {
        let (mut token, mut key) = self.take(false);
        let negated = token == Token::Not;
        if negated {
            (token, key) = self.take(false);
        }
        if token != Token::Identifier {
            return expected(&key, "identifier");
        }
        check(label_key_problem(&key), &key)?;
        if negated {
            return Ok(Requirement { key, operator: Operator::DoesNotExist, values: Vec::new() });
        }
        if matches!(self.peek(false).0, Token::End | Token::Comma) {
            return Ok(Requirement { key, operator: Operator::Exists, values: Vec::new() });
        }
        let operator = match self.take(true) {
            (Token::In, _) => Operator::In,
            (Token::NotIn, _) => Operator::NotIn,
            (Token::Equals | Token::DoubleEquals, _) => Operator::Equals,
            (Token::NotEquals, _) => Operator::NotEquals,
            (Token::Greater, _) => Operator::GreaterThan,
            (Token::Less, _) => Operator::LessThan,
            (_, text) => return expected(&text, "in, notin, =, ==, !=, gt, lt"),
        };
        let mut values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact()?],
        };
        values.sort();
        values.dedup();
        if matches!(operator, Operator::GreaterThan | Operator::LessThan) && values[0].parse::<i64>().is_err() {
            let text = "for 'Gt', 'Lt' operators, the value must be an integer";
            return Err(Malformed(FieldError::invalid("values[0]", values[0].as_str(), text).to_string()));
        }
        for value in &values {
            check(label_value_problem(value), value)?;
        }
        Ok(Requirement { key, operator, values })
    }

    fn values(&mut self) -> Result<Vec<String>, Malformed> {
        let (token, text) = self.take(false);
        if token != Token::Open {
            return Err(Malformed(format!("found '{text}' expected: '('")));
        }
        match self.peek(false) {
            (Token::Identifier | Token::Comma, _) => {}
            (Token::Close, _) => {
                self.at += 1;
                return Ok(vec![String::new()]);
            }
            (_, text) => return expected(text, "',', ')' or identifier"),
        }
        let mut values = Vec::new();
        loop {
            match self.take(false) {
                (Token::Identifier, text) => {
                    values.push(text);
                    match self.peek(false) {
                        (Token::Comma, _) => {}
                        (Token::Close, _) => break,
                        (_, text) => return expected(text, "',' or ')'"),
                    }
                }
                (Token::Comma, _) => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    match self.peek(false).0 {
                        Token::Close => {
                            values.push(String::new());
                            break;
                        }
                        Token::Comma => values.push(String::new()),
                        _ => {}
                    }
                }
                (_, text) => return expected(&text, "',', or identifier"),
            }
        }
        self.at += 1;
        Ok(values)
    }

    fn exact(&mut self) -> Result<String, Malformed> {
        if matches!(self.peek(false).0, Token::End | Token::Comma) {
            return Ok(String::new());
        }
        match self.take(false) {
            (Token::Identifier, text) => Ok(text),
            (_, text) => expected(&text, "identifier"),
        }
    }
}

fn expected<T>(found: &str, what: &str) -> Result<T, Malformed> {
    Err(Malformed(format!("found '{found}', expected: {what}")))
}

fn check(problem: Option<String>, value: &str) -> Result<(), Malformed> {
    match problem {
        // The parser's errors stand at no field, which Go prints as `<nil>`.
        Some(detail) => Err(Malformed(FieldError::invalid("<nil>", value, detail).to_string())),
        None => Ok(()),
    }
}

/// The rule of a label's name part and of its value.
const NAME_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                         alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
                         validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

fn is_name(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(text.chars().next())
        && edge(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn is_subdomain(text: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn label_key_problem(key: &str) -> Option<String> {
    let (prefix, name) = match key.split('/').collect::<Vec<_>>().as_slice() {
        [name] => (None, *name),
        [prefix, name] => (Some(*prefix), *name),
        _ => {
            return Some(format!(
                "a valid label key {NAME_RULE} with an optional DNS subdomain prefix and '/' (e.g. \
                 'example.com/MyName')"
            ));
        }
    };
    match prefix {
        Some("") => return Some("prefix part must be non-empty".to_owned()),
        Some(prefix) if !is_subdomain(prefix) => {
            return Some(
                "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' \
                 or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for \
                 validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
                    .to_owned(),
            );
        }
        _ => {}
    }
    if name.is_empty() {
        return Some("name part must be non-empty".to_owned());
    }
    if name.len() > 63 {
        return Some("name part must be no more than 63 bytes".to_owned());
    }
    (!is_name(name)).then(|| format!("name part {NAME_RULE}"))
}

fn label_value_problem(value: &str) -> Option<String> {
    if value.len() > 63 {
        return Some("must be no more than 63 bytes".to_owned());
    }
    (!value.is_empty() && !is_name(value))
        .then(|| format!("a valid label must be an empty string or {}", NAME_RULE.trim_start_matches("must ")))
}

/// One term of a field selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTerm {
    /// The field, like `spec.nodeName`.
    pub field: String,
    /// Whether it is to differ.
    pub negated: bool,
    /// The value it is compared with.
    pub value: String,
}

/// Terms on an object's fields, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector(pub Vec<FieldTerm>);

impl FieldSelector {
    /// Parses the form of the `fieldSelector` parameter.
    ///
    /// # Errors
    /// [`Malformed`] in the words of apimachinery's parser.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let mut parts = split_terms(text);
        parts.sort_unstable();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let at = part.find('=').map(|at| if part[..at].ends_with('!') { at - 1 } else { at });
            let unreadable = || Malformed(format!("invalid selector: '{text}'; can't understand '{part}'"));
            let at = at.ok_or_else(unreadable)?;
            let (field, rest) = part.split_at(at);
            let (negated, value) = match rest.strip_prefix("!=") {
                Some(value) => (true, value),
                None => (false, rest.strip_prefix("==").or_else(|| rest.strip_prefix('=')).unwrap_or(rest)),
            };
            terms.push(FieldTerm { field: field.to_owned(), negated, value: unescape(value)? });
        }
        Ok(Self(terms))
    }

    /// The value a field must have, where the selector fixes it.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|t| t.field == field && !t.negated).map(|t| t.value.as_str())
    }

    /// Whether an object is selected; `value_of` gives the value of one of its fields.
    pub fn matches(&self, value_of: impl Fn(&str) -> String) -> bool {
        self.0.iter().all(|term| (value_of(&term.field) == term.value) != term.negated)
    }

    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, term) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let operator = if term.negated { "!=" } else { "=" };
            let value = term.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{}{operator}{value}", term.field)?;
        }
        Ok(())
    }
}

fn split_terms(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn unescape(text: &str) -> Result<String, Malformed> {
    let sequence = |s: &str| Malformed(format!("invalid field selector: invalid escape sequence: {s}"));
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(other) => return Err(sequence(&format!("\\{other}"))),
                None => return Err(sequence("\\")),
            },
            ',' | '=' => {
                let code = u32::from(c);
                return Err(Malformed(format!("invalid field selector: unescaped character in value: {code}")));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

/// The message for a field that kinds without selectable fields of their own do not know.
pub fn unknown_field(field: &str) -> String {
    format!("{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"", quote(field))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn selects(selector: &str, labels: &Value) -> bool {
        LabelSelector::parse(selector).unwrap().matches(&json!({"metadata": {"labels": labels}}))
    }

    #[test]
    fn a_label_selector_selects_what_kubernetes_says() {
        let labels = json!({"app": "x", "tier": "3", "empty": ""});
        let cases = [
            ("", true),
            ("app", true),
            ("!app", false),
            ("nosuch", false),
            ("!nosuch", true),
            ("app=x", true),
            ("app==x,tier=3", true),
            ("app!=x", false),
            ("nosuch!=x", true),
            ("app in (x, y)", true),
            ("app in (y)", false),
            ("app notin (y)", true),
            ("nosuch notin (y)", true),
            ("nosuch in (y)", false),
            ("tier>2", true),
            ("tier<3", false),
            ("app>2", false),
            ("empty=", true),
            ("empty in ()", true),
            ("in in (in)", false),
            ("example.com/a", false),
        ];
        for (selector, expected) in cases {
            assert_eq!(selects(selector, &labels), expected, "{selector}");
        }
    }

    #[test]
    fn a_malformed_selector_is_explained_as_kubernetes_explains_it() {
        let cases = [
            ("app=x=y", "found '=', expected: ',' or 'end of string'"),
            ("app in x", "unable to parse requirement: found 'x' expected: '('"),
            ("app in (x", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("app,", "found '', expected: identifier after ','"),
            (",app", "found ',', expected: !, identifier, or 'end of string'"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            ("app x", "unable to parse requirement: found 'x', expected: in, notin, =, ==, !=, gt, lt"),
        ];
        for (selector, expected) in cases {
            assert_eq!(LabelSelector::parse(selector).unwrap_err().to_string(), expected, "{selector}");
        }
        let key = LabelSelector::parse("a/b/c").unwrap_err().to_string();
        assert!(key.starts_with("unable to parse requirement: <nil>: Invalid value: \"a/b/c\": "), "{key}");
    }

    #[test]
    fn a_field_selector_compares_whole_values() {
        let object = |field: &str| if field == "spec.nodeName" { "n=1,2".to_owned() } else { String::new() };
        let cases =
            [("spec.nodeName=n\\=1\\,2", true), ("spec.nodeName!=x", true), ("spec.nodeName==", false), ("", true)];
        for (selector, expected) in cases {
            assert_eq!(FieldSelector::parse(selector).unwrap().matches(object), expected, "{selector}");
        }
        for (selector, message) in [
            ("a", "invalid selector: 'a'; can't understand 'a'"),
            ("a=\\x", "invalid field selector: invalid escape sequence: \\x"),
            ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ] {
            assert_eq!(FieldSelector::parse(selector).unwrap_err().to_string(), message);
        }
    }

    fn requirement() -> impl Strategy<Value = Requirement> {
        let key = "([a-z]{1,5}\\.[a-z]{2,3}/)?[A-Za-z][A-Za-z0-9_.-]{0,8}[a-z0-9]";
        let value = "([A-Za-z0-9]([A-Za-z0-9_.-]{0,6}[A-Za-z0-9])?)?";
        let list = proptest::collection::btree_set(value, 1..4);
        (key, 0usize..8, list, any::<i64>()).prop_map(|(key, operator, values, number)| {
            let mut values: Vec<String> = values.into_iter().collect();
            let operator = match operator {
                0 => Operator::Exists,
                1 => Operator::DoesNotExist,
                2 => Operator::Equals,
                3 => Operator::NotEquals,
                4 => Operator::In,
                5 => Operator::NotIn,
                6 => Operator::GreaterThan,
                _ => Operator::LessThan,
            };
            match operator {
                Operator::Exists | Operator::DoesNotExist => values.clear(),
                Operator::Equals | Operator::NotEquals => values.truncate(1),
                Operator::GreaterThan | Operator::LessThan => values = vec![number.unsigned_abs().to_string()],
                Operator::In | Operator::NotIn => {}
            }
            Requirement { key, operator, values }
        })
    }

    proptest! {
        #[test]
        fn a_selector_that_is_written_is_read_as_the_same(mut all in proptest::collection::vec(requirement(), 0..4)) {
            all.retain(|r| !matches!(r.operator, Operator::GreaterThan | Operator::LessThan) || r.values[0].parse::<i64>().is_ok());
            all.sort_by(|a, b| a.key.cmp(&b.key));
            let selector = LabelSelector(all);
            prop_assert_eq!(LabelSelector::parse(&selector.to_string()).unwrap(), selector);
        }

        #[test]
        fn a_field_selector_that_is_written_is_read_as_the_same(
            terms in proptest::collection::vec(("[a-z][a-z.]{0,8}", any::<bool>(), "[a-z=,\\\\]{0,6}"), 0..4),
        ) {
            let mut terms: Vec<FieldTerm> =
                terms.into_iter().map(|(field, negated, value)| FieldTerm { field, negated, value }).collect();
            terms.sort_by_key(|t| FieldSelector(vec![t.clone()]).to_string());
            let selector = FieldSelector(terms);
            prop_assert_eq!(FieldSelector::parse(&selector.to_string()).unwrap(), selector);
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC*") {
            let _ = LabelSelector::parse(&text);
            let _ = FieldSelector::parse(&text);
        }
    }
}
