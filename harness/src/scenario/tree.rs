//! A YAML document as a tree in which every value and every key knows where it stands in its file.
//!
//! Everything a person wrote is kept in this form until it has been checked, so that every complaint can point at its
//! cause. Places are found again by JSON pointer.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_yaml::{Location, Spanned};

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Bytes in the file.
    pub span: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order it was written.
    Map(Vec<Entry>),
}

/// An entry of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The key's bytes in the file.
    pub key_span: Range<usize>,
    /// The value.
    pub value: Node,
}

/// Why a text is no YAML.
#[derive(Debug)]
pub struct SyntaxError {
    /// Where.
    pub span: Range<usize>,
    /// What the parser says.
    pub message: String,
}

/// Reads every document of a file. Empty documents are left out.
///
/// # Errors
/// [`SyntaxError`] at the first place that is no YAML.
pub fn parse(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let documents: Vec<Node> = serde_yaml::from_multiple(text).map_err(|error| {
        let message = error.without_snippet().to_string();
        let message = message.lines().next().unwrap_or_default();
        // The place is ours to show.
        let message = message.rfind(" at line ").map_or(message, |end| &message[..end]);
        SyntaxError {
            span: error.location().map_or(0..0, |location| position(text, &location)),
            message: message.to_owned(),
        }
    })?;
    Ok(documents.into_iter().filter(|node| node.kind != Kind::Null).collect())
}

impl Node {
    /// The value at a JSON pointer.
    pub fn at(&self, pointer: &str) -> Option<&Self> {
        pointer.split('/').skip(1).try_fold(self, |node, token| match &node.kind {
            Kind::List(items) => items.get(token.parse::<usize>().ok()?),
            Kind::Map(_) => node.get(&token.replace("~1", "/").replace("~0", "~")),
            _ => None,
        })
    }

    /// The place of the nearest value there is on the way to a JSON pointer.
    pub fn place(&self, pointer: &str) -> Range<usize> {
        let mut pointer = pointer;
        loop {
            if let Some(node) = self.at(pointer) {
                return node.span.clone();
            }
            match pointer.rfind('/') {
                Some(end) => pointer = &pointer[..end],
                None => return self.span.clone(),
            }
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The entries, where this is a map; none otherwise.
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The text, where this is text.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value without places.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(value) => Value::Number(value.clone()),
            Kind::Text(text) => Value::String(text.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Kind::Map(entries) => Value::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// A value without places of its own: all of it stands where `span` says.
    pub fn from_json(value: Value, span: &Range<usize>) -> Self {
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(value) => Kind::Bool(value),
            Value::Number(value) => Kind::Number(value),
            Value::String(text) => Kind::Text(text),
            Value::Array(items) => Kind::List(items.into_iter().map(|item| Self::from_json(item, span)).collect()),
            Value::Object(map) => Kind::Map(
                map.into_iter()
                    .map(|(key, value)| Entry { key, key_span: span.clone(), value: Self::from_json(value, span) })
                    .collect(),
            ),
        };
        Self { span: span.clone(), kind }
    }

    /// What this is, as a person would call it.
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::Bool(value) => format!("the truth value `{value}`"),
            Kind::Number(value) => format!("the number `{value}`"),
            Kind::Text(text) if text.len() <= 40 && !text.contains('\n') => format!("the text `{text}`"),
            Kind::Text(_) => "a text".to_owned(),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a map".to_owned(),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Kind>::deserialize(deserializer)?;
        Ok(Self { span: bytes(&spanned.referenced), kind: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Kind, E> {
        // `.inf` and `.nan` have no place in JSON; as text they are refused wherever a number is wanted.
        Ok(Number::from_f64(value).map_or_else(|| Kind::Text(value.to_string()), Kind::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Kind, E> {
        Ok(Kind::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Kind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Kind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Kind, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let key_span = bytes(&key.referenced);
            entries.push(Entry { key: key.value, key_span, value: access.next_value()? });
        }
        Ok(Kind::Map(entries))
    }
}

/// The place of an error, for which the parser knows only line and column.
fn position(text: &str, location: &Location) -> Range<usize> {
    let line = usize::try_from(location.line()).unwrap_or(1).max(1);
    let column = usize::try_from(location.column()).unwrap_or(1).max(1);
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = text[start..].lines().next().unwrap_or_default();
    let within: usize = rest.chars().take(column - 1).map(char::len_utf8).sum();
    start + within..start + within + rest[within..].chars().next().map_or(0, char::len_utf8)
}

fn bytes(location: &Location) -> Range<usize> {
    let span = location.span();
    let start = span.byte_offset().unwrap_or_default();
    let len = span.byte_len().unwrap_or_default();
    let start = usize::try_from(start).unwrap_or_default();
    start..start + usize::try_from(len).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_and_key_knows_its_bytes_in_the_file() {
        let text = "# é is two bytes\na: 1\nb:\n  - x: 'quoted text'\n  - {c: [true, null]}\n---\nsecond: doc\n";
        let documents = parse(text).unwrap();
        assert_eq!(documents.len(), 2);
        let place = |pointer: &str| &text[documents[0].at(pointer).unwrap().span.clone()];
        assert_eq!(place("/a"), "1");
        assert_eq!(place("/b/0/x"), "'quoted text'");
        assert_eq!(place("/b/1/c/0"), "true");
        let entry = &documents[0].at("/b/0").unwrap().entries()[0];
        assert_eq!(&text[entry.key_span.clone()], "x");
        let second = documents[1].at("/second").unwrap();
        assert_eq!(&text[second.span.clone()], "doc");
        assert_eq!(
            documents[0].to_json(),
            serde_json::json!({"a": 1, "b": [{"x": "quoted text"}, {"c": [true, null]}]})
        );
    }

    #[test]
    fn quoting_decides_between_text_and_number() {
        let documents = parse("a: \"1\"\nb: 0x10\nc: 1.5\nd: ~\ne: 11.11.11.33\nf: fa:16:3e:f3:b0:3f\n").unwrap();
        assert_eq!(
            documents[0].to_json(),
            serde_json::json!({"a": "1", "b": 16, "c": 1.5, "d": null, "e": "11.11.11.33", "f": "fa:16:3e:f3:b0:3f"})
        );
    }

    #[test]
    fn a_syntax_error_says_where() {
        let text = "a: 1\nb: [1, 2\nc: 3\n";
        let error = parse(text).unwrap_err();
        assert_eq!(&text[error.span.clone()], ":", "{error:?}");
        assert!(!error.message.is_empty() && !error.message.contains("line"), "{error:?}");
        assert!(parse("a: 1\na: 2\n").is_err(), "a key given twice is an error");
    }
}
