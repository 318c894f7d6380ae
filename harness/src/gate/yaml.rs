//! YAML as yaml.v3 takes it into typed fields, since policies are written for a tool that reads them so: `yes` and `on` are
//! true where a truth value is wanted, `0x0A`, `0o17` and `1_000` are numbers, quotes make a text, a null changes nothing,
//! and only the first document counts.

use std::collections::HashMap;
use std::sync::LazyLock;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};
use regex::Regex;

/// Aliases may not blow a file up beyond this many nodes.
const NODES_MAX: usize = 100_000;

/// A value with its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its line, from 1.
    pub line: usize,
    /// Its column, from 1.
    pub column: usize,
    kind: Kind,
    tag: Option<String>,
}

#[derive(Clone, Debug)]
enum Kind {
    Scalar { text: String, plain: bool },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// What a value looks like to who wants to write it again.
#[derive(Clone, Copy, Debug)]
pub enum Shape<'a> {
    /// A single value.
    Scalar {
        /// As it is without quotes.
        text: &'a str,
        /// Whether it stood without quotes, and so may be something else than a text.
        plain: bool,
    },
    /// A list.
    List(&'a [Node]),
    /// A map; [`Node::entries`] has what is in it.
    Map,
}

/// Why a text cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    /// It is no YAML.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// A value has another type.
    #[error("line {line}, column {column}: {field} should be {wanted}")]
    Type {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// The field.
        field: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// A key is given twice.
    #[error("line {line}, column {column}: {key:?} is given twice")]
    Twice {
        /// The line of the second, from 1.
        line: usize,
        /// The column of the second, from 1.
        column: usize,
        /// The key.
        key: String,
    },
    /// Aliases multiply.
    #[error("aliases make it larger than {NODES_MAX} values")]
    TooLarge,
}

/// What a plain scalar stands for.
#[derive(Clone, Debug, PartialEq)]
enum Meaning {
    Null,
    Bool(bool),
    Number(f64),
    Text,
}

/// Reads the first document; none where there is nothing in it.
///
/// # Errors
/// [`YamlError::Syntax`], [`YamlError::TooLarge`].
pub fn parse(text: &str) -> Result<Option<Node>, YamlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| YamlError::Syntax {
            line: error.marker().line(),
            column: error.marker().col() + 1,
            message: error.info().clone(),
        })?;
        if matches!(event, Event::DocumentEnd) {
            break;
        }
        builder.take(event, span)?;
    }
    Ok(builder.root)
}

#[derive(Default)]
struct Builder {
    root: Option<Node>,
    /// Collections that are still open, with their anchors and the key that waits for its value.
    open: Vec<(Node, usize, Option<Node>)>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        let node = |kind, tag: Option<std::borrow::Cow<'_, Tag>>| Node {
            line: span.start.line(),
            column: span.start.col() + 1,
            kind,
            tag: tag.map(|tag| short(&tag)),
        };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let kind = Kind::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                self.put(node(kind, tag), anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open.push((node(Kind::List(Vec::new()), tag), anchor, None));
                Ok(())
            }
            Event::MappingStart(_, anchor, tag) => {
                self.open.push((node(Kind::Map(Vec::new()), tag), anchor, None));
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some((node, anchor, _)) => self.put(node, anchor),
                None => Ok(()),
            },
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(mut target) => {
                    (target.line, target.column) = (span.start.line(), span.start.col() + 1);
                    self.put(target, 0)
                }
                // A collection that holds itself.
                None => Err(YamlError::TooLarge),
            },
            _ => Ok(()),
        }
    }

    fn put(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
        self.nodes += node.size();
        if self.nodes > NODES_MAX {
            return Err(YamlError::TooLarge);
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some((Node { kind: Kind::List(items), .. }, ..)) => items.push(node),
            Some((Node { kind: Kind::Map(entries), .. }, _, key)) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => *key = Some(node),
            },
            Some(_) => {}
        }
        Ok(())
    }
}

/// `!!int` for `tag:yaml.org,2002:int`.
fn short(tag: &Tag) -> String {
    let name = format!("{}{}", tag.handle(), tag.suffix());
    name.strip_prefix("tag:yaml.org,2002:").map_or(name.clone(), |core| format!("!!{core}"))
}

impl Node {
    fn size(&self) -> usize {
        match &self.kind {
            Kind::Scalar { .. } => 1,
            Kind::List(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
            Kind::Map(entries) => 1 + entries.iter().map(|(key, value)| key.size() + value.size()).sum::<usize>(),
        }
    }

    fn mismatch(&self, field: &str, wanted: &'static str) -> YamlError {
        YamlError::Type { line: self.line, column: self.column, field: field.to_owned(), wanted }
    }

    /// What a scalar stands for, once its quotes and its tag have had their say.
    fn meaning(&self, field: &str) -> Result<Meaning, YamlError> {
        let Kind::Scalar { text, plain } = &self.kind else { return Err(self.mismatch(field, "a single value")) };
        let tag = self.tag.as_deref().unwrap_or_default();
        if tag == "!!str" || (!plain && matches!(tag, "" | "!")) {
            return Ok(Meaning::Text);
        }
        let meaning = plain_meaning(text);
        let agrees = match tag {
            "" | "!!binary" => true,
            "!!null" => meaning == Meaning::Null,
            "!!bool" => matches!(meaning, Meaning::Bool(_)),
            "!!int" | "!!float" => matches!(meaning, Meaning::Number(_)),
            _ => false,
        };
        if agrees { Ok(meaning) } else { Err(self.mismatch(field, "what its tag says")) }
    }

    /// What it looks like.
    pub fn shape(&self) -> Shape<'_> {
        match &self.kind {
            Kind::Scalar { text, plain } => {
                Shape::Scalar { text, plain: *plain && self.tag.as_deref() != Some("!!str") }
            }
            Kind::List(items) => Shape::List(items),
            Kind::Map(_) => Shape::Map,
        }
    }

    /// Nothing, which leaves a field as it is.
    ///
    /// # Errors
    /// [`YamlError::Type`] where its tag contradicts it.
    pub fn is_null(&self, field: &str) -> Result<bool, YamlError> {
        Ok(matches!(self.kind, Kind::Scalar { .. }) && self.meaning(field)? == Meaning::Null)
    }

    /// A text; whatever is written is one.
    ///
    /// # Errors
    /// [`YamlError::Type`] for lists and maps.
    pub fn text(&self, field: &str) -> Result<Option<String>, YamlError> {
        if self.is_null(field)? {
            return Ok(None);
        }
        match &self.kind {
            Kind::Scalar { text, .. } => Ok(Some(text.clone())),
            _ => Err(self.mismatch(field, "a text")),
        }
    }

    /// A number, not in quotes.
    ///
    /// # Errors
    /// [`YamlError::Type`].
    pub fn number(&self, field: &str) -> Result<Option<f64>, YamlError> {
        match self.meaning(field)? {
            Meaning::Null => Ok(None),
            Meaning::Number(value) => Ok(Some(value)),
            _ => Err(self.mismatch(field, "a number, without quotes")),
        }
    }

    /// A truth value, in any of the spellings of YAML 1.1.
    ///
    /// # Errors
    /// [`YamlError::Type`].
    pub fn truth(&self, field: &str) -> Result<Option<bool>, YamlError> {
        let wrong = || self.mismatch(field, "true or false");
        match (self.meaning(field)?, &self.kind) {
            (Meaning::Null, _) => Ok(None),
            (Meaning::Bool(value), _) => Ok(Some(value)),
            (Meaning::Text, Kind::Scalar { text, .. }) => match text.as_str() {
                "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Ok(Some(true)),
                "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Ok(Some(false)),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }

    /// The items of a list that are something.
    ///
    /// # Errors
    /// [`YamlError::Type`].
    pub fn items(&self, field: &str) -> Result<Vec<&Self>, YamlError> {
        if self.is_null(field)? {
            return Ok(Vec::new());
        }
        match &self.kind {
            Kind::List(items) => {
                let mut kept = Vec::new();
                for item in items {
                    if !item.is_null(field)? {
                        kept.push(item);
                    }
                }
                Ok(kept)
            }
            _ => Err(self.mismatch(field, "a list")),
        }
    }

    /// A list of texts.
    ///
    /// # Errors
    /// [`YamlError::Type`].
    pub fn texts(&self, field: &str) -> Result<Vec<String>, YamlError> {
        self.items(field)?.into_iter().filter_map(|item| item.text(field).transpose()).collect()
    }

    /// The entries of a map by key, with what `<<` merges in after them; none for null.
    ///
    /// # Errors
    /// [`YamlError::Type`], [`YamlError::Twice`].
    pub fn entries(&self, field: &str) -> Result<Vec<(&str, &Self, &Self)>, YamlError> {
        if self.is_null(field)? {
            return Ok(Vec::new());
        }
        let Kind::Map(entries) = &self.kind else { return Err(self.mismatch(field, "a map")) };
        let mut found: Vec<(&str, &Self, &Self)> = Vec::new();
        let mut merged = Vec::new();
        for (key, value) in entries {
            let Kind::Scalar { text, plain } = &key.kind else {
                return Err(key.mismatch(field, "a map with text keys"));
            };
            if *plain && text == "<<" {
                merged.push(value);
            } else if found.iter().any(|(other, ..)| other == text) {
                return Err(YamlError::Twice { line: key.line, column: key.column, key: text.clone() });
            } else {
                found.push((text, key, value));
            }
        }
        for source in merged {
            let sources = match &source.kind {
                Kind::List(items) => items.iter().collect(),
                _ => vec![source],
            };
            for source in sources {
                for entry in source.entries(field)? {
                    if !found.iter().any(|(other, ..)| *other == entry.0) {
                        found.push(entry);
                    }
                }
            }
        }
        Ok(found)
    }

    /// The keys of the outermost map, with their lines; none where this is no map.
    pub fn keys(&self) -> Vec<(&str, &Self)> {
        match &self.kind {
            Kind::Map(entries) => entries
                .iter()
                .map(|(key, _)| match &key.kind {
                    Kind::Scalar { text, .. } => (text.as_str(), key),
                    _ => ("", key),
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}

static FLOAT: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$").ok());

/// What a scalar without quotes stands for.
fn plain_meaning(text: &str) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Null,
        "true" | "True" | "TRUE" => return Meaning::Bool(true),
        "false" | "False" | "FALSE" => return Meaning::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Meaning::Number(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Meaning::Number(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Meaning::Number(f64::NEG_INFINITY),
        _ => {}
    }
    let float = |text: &str| text.parse::<f64>().ok().filter(|value| value.is_finite()).map(Meaning::Number);
    let is_float = |text: &str| FLOAT.as_ref().is_some_and(|pattern| pattern.is_match(text));
    match text.as_bytes().first() {
        Some(b'.') if is_float(text) => float(text).unwrap_or(Meaning::Text),
        Some(b'0'..=b'9' | b'+' | b'-') => {
            let digits = text.replace('_', "");
            integer(&digits)
                .map(Meaning::Number)
                .or_else(|| if is_float(&digits) { float(&digits) } else { None })
                .unwrap_or(Meaning::Text)
        }
        _ => Meaning::Text,
    }
}

/// A whole number in any base that a literal can have; a leading zero means octal.
#[expect(clippy::cast_precision_loss, reason = "that is what a float of the same literal is")]
fn integer(text: &str) -> Option<f64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if !digits.chars().all(|digit| digit.is_digit(base)) {
        return None;
    }
    let value = u64::from_str_radix(digits, base).ok()?;
    match negative {
        false => Some(value as f64),
        // There is no negative zero among whole numbers.
        true if value <= 1 << 63 => Some(0.0 - value as f64),
        true => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Node {
        let root = parse(&format!("a: {text}\n")).unwrap().unwrap();
        root.entries("").unwrap()[0].2.clone()
    }

    #[test]
    fn numbers_come_in_many_spellings_but_not_in_quotes() {
        for (text, expected) in [
            ("5", 5.0),
            ("+5", 5.0),
            ("0x0A", 10.0),
            ("0o17", 15.0),
            ("017", 15.0),
            ("08", 8.0),
            ("0b11", 3.0),
            ("1_000", 1000.0),
            ("1e-05", 1e-5),
            (".5", 0.5),
            ("-0x10", -16.0),
            ("-0", 0.0),
            (".inf", f64::INFINITY),
            ("!!float 3", 3.0),
        ] {
            let number = value(text).number("a").unwrap();
            assert_eq!(number.map(f64::to_bits), Some(f64::to_bits(expected)), "{text}");
        }
        for text in ["\"5\"", "'5'", "5s", "1e400", "true", "[5]", "!!str 5", "!x 5"] {
            assert!(value(text).number("a").is_err(), "{text}");
        }
        assert!(value(".nan").number("a").unwrap().unwrap().is_nan());
        assert_eq!(value("~").number("a").unwrap(), None);
    }

    #[test]
    fn truth_has_the_spellings_of_yaml_1_1() {
        for (text, expected) in [("yes", true), ("on", true), ("\"y\"", true), ("True", true), ("off", false)] {
            assert_eq!(value(text).truth("a").unwrap(), Some(expected), "{text}");
        }
        for text in ["1", "maybe", "[]"] {
            assert!(value(text).truth("a").is_err(), "{text}");
        }
    }

    #[test]
    fn anchors_merges_and_second_documents_are_as_yaml_has_them() {
        let root = parse("x: &t {n: 1, m: 2}\ny: {<<: *t, n: 3}\n---\n[broken").unwrap().unwrap();
        let entries = root.entries("").unwrap();
        let merged: Vec<_> =
            entries[1].2.entries("y").unwrap().iter().map(|(k, _, v)| (*k, v.number("").unwrap())).collect();
        assert_eq!(merged, [("n", Some(3.0)), ("m", Some(2.0))]);
        assert!(parse("a: 1\na: 2\n").unwrap().unwrap().entries("").is_err());
        assert!(parse("a: [1, 2\n").is_err());
    }

    #[test]
    fn aliases_that_multiply_are_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..8 {
            let alias = format!("*a{}", level - 1);
            let items = vec![alias; 10].join(", ");
            text = format!("{text}a{level}: &a{level} [{items}]\n");
        }
        assert!(matches!(parse(&text), Err(YamlError::TooLarge)));
    }
}
