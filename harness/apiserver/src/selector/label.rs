//! Label selectors, after apimachinery's `labels` package.

use std::fmt;

use serde_json::Value;

use super::Malformed;
use crate::field::FieldError;
use crate::resources::names;

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

    /// From the form that objects keep it in, `matchLabels` and `matchExpressions`; none where that makes no sense.
    pub fn from_object(selector: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let labels = selector["matchLabels"].as_object().into_iter().flatten().map(|(key, value)| {
            Some(Requirement { key: key.clone(), operator: Operator::Equals, values: vec![text(value)?] })
        });
        let expressions = selector["matchExpressions"].as_array().into_iter().flatten().map(|expression| {
            let operator = match expression["operator"].as_str()? {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                _ => return None,
            };
            let mut values =
                expression["values"].as_array().into_iter().flatten().map(text).collect::<Option<Vec<_>>>()?;
            values.sort();
            values.dedup();
            let listed = matches!(operator, Operator::In | Operator::NotIn);
            (listed != values.is_empty()).then_some(())?;
            Some(Requirement { key: text(&expression["key"])?, operator, values })
        });
        labels.chain(expressions).collect::<Option<Vec<_>>>().map(Self)
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
        refuse_all(&named("<nil>", &key, &names::qualified(&key)))?;
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
        let mut errors = Vec::new();
        if matches!(operator, Operator::GreaterThan | Operator::LessThan) && values[0].parse::<i64>().is_err() {
            let text = "for 'Gt', 'Lt' operators, the value must be an integer";
            errors.push(FieldError::invalid("values[0]", values[0].as_str(), text));
        }
        for (index, value) in values.iter().enumerate() {
            errors.extend(named(&format!("values[{index}][{key}]"), value, &names::label_value(value)));
        }
        refuse_all(&errors)?;
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

/// One error for all that is wrong with a name. The parser itself stands at no field, which Go prints as `<nil>`.
fn named(field: &str, value: &str, problems: &[String]) -> Vec<FieldError> {
    if problems.is_empty() { Vec::new() } else { vec![FieldError::invalid(field, value, problems.join("; "))] }
}

fn refuse_all(errors: &[FieldError]) -> Result<(), Malformed> {
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    match told.as_slice() {
        [] => Ok(()),
        [one] => Err(Malformed(one.clone())),
        many => Err(Malformed(format!("[{}]", many.join(", ")))),
    }
}
