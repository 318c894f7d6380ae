//! JSON as Go's decoder takes it, since that is what wrote the files we read: keys match whatever their case, the last of
//! two wins, what is not known is skipped, `null` leaves things as they are, and half of a surrogate pair is `U+FFFD`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// A value, with the entries of maps in their order.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number of 64 bits.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// A map, doubles included.
    Map(Vec<(String, Json)>),
}

/// Why a text cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// It is no JSON, or half of one.
    #[error("{}", if _0.is_eof() { "it is not complete JSON" } else { "it is no JSON" })]
    Syntax(#[from] serde_json::Error),
    /// A field has another type.
    #[error("{field} should be {wanted}, not {found}")]
    Type {
        /// Its path.
        field: String,
        /// What it should be.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
}

impl Json {
    /// Reads a text.
    ///
    /// # Errors
    /// [`JsonError::Syntax`].
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let text = String::from_utf8_lossy(bytes);
        Ok(serde_json::from_str(&without_lone_surrogates(&text))?)
    }

    /// The value of a key, whatever its case; the last of two.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Map(entries) = self else { return None };
        let key = fold(key);
        entries.iter().rev().find(|(name, _)| fold(name) == key).map(|(_, value)| value)
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        let Self::Map(entries) = self else { return None };
        let key = fold(key);
        entries.iter_mut().rev().find(|(name, _)| fold(name) == key).map(|(_, value)| value)
    }

    /// Gives a key a value; a new one comes last. Nothing where this is no object.
    pub fn set(&mut self, key: &str, value: Self) {
        if let Some(old) = self.get_mut(key) {
            *old = value;
        } else if let Self::Map(entries) = self {
            entries.push((key.to_owned(), value));
        }
    }

    /// Takes a key away, whatever its case.
    pub fn remove(&mut self, key: &str) {
        if let Self::Map(entries) = self {
            let key = fold(key);
            entries.retain(|(name, _)| fold(name) != key);
        }
    }

    fn is(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a truth value",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
        }
    }

    fn mismatch(&self, field: &str, wanted: &'static str) -> JsonError {
        JsonError::Type { field: field.to_owned(), wanted, found: self.is() }
    }

    /// The known fields of an object in the order they were written; none for `null`.
    ///
    /// # Errors
    /// [`JsonError::Type`] where this is neither.
    pub fn fields<'a>(
        &'a self,
        field: &str,
        known: &'a [&'static str],
    ) -> Result<impl Iterator<Item = (&'static str, &'a Json)> + use<'a>, JsonError> {
        let entries: &[(String, Json)] = match self {
            Self::Map(entries) => entries,
            Self::Null => &[],
            other => return Err(other.mismatch(field, "an object")),
        };
        let name = |key: &str| {
            let folded = fold(key);
            known.iter().find(|name| **name == key).or_else(|| known.iter().find(|name| fold(name) == folded))
        };
        Ok(entries.iter().filter_map(move |(key, value)| name(key).map(|name| (*name, value))))
    }

    /// The items of a list; none for `null`.
    ///
    /// # Errors
    /// [`JsonError::Type`].
    pub fn items(&self, field: &str) -> Result<&[Json], JsonError> {
        match self {
            Self::List(items) => Ok(items),
            Self::Null => Ok(&[]),
            other => Err(other.mismatch(field, "a list")),
        }
    }

    /// A text; none for `null`.
    ///
    /// # Errors
    /// [`JsonError::Type`].
    pub fn text(&self, field: &str) -> Result<Option<&str>, JsonError> {
        match self {
            Self::Text(text) => Ok(Some(text)),
            Self::Null => Ok(None),
            other => Err(other.mismatch(field, "a text")),
        }
    }

    /// A number; none for `null`.
    ///
    /// # Errors
    /// [`JsonError::Type`].
    #[expect(clippy::cast_precision_loss, reason = "that is what a float of the same literal is")]
    pub fn number(&self, field: &str) -> Result<Option<f64>, JsonError> {
        match self {
            Self::Integer(value) => Ok(Some(*value as f64)),
            Self::Float(value) => Ok(Some(*value)),
            Self::Null => Ok(None),
            other => Err(other.mismatch(field, "a number")),
        }
    }

    /// A whole number; none for `null`.
    ///
    /// # Errors
    /// [`JsonError::Type`].
    pub fn integer(&self, field: &str) -> Result<Option<i64>, JsonError> {
        match self {
            Self::Integer(value) => Ok(Some(*value)),
            Self::Null => Ok(None),
            other => Err(other.mismatch(field, "a whole number")),
        }
    }

    /// Holds a list of texts against its type.
    ///
    /// # Errors
    /// [`JsonError::Type`].
    pub fn texts(&self, field: &str) -> Result<(), JsonError> {
        self.items(field)?.iter().try_for_each(|item| item.text(field).map(drop))
    }

    /// Holds a map, whose values `check` looks at, against its type.
    ///
    /// # Errors
    /// [`JsonError::Type`].
    pub fn map(&self, field: &str, check: impl Fn(&Json) -> Result<(), JsonError>) -> Result<(), JsonError> {
        match self {
            Self::Map(entries) => entries.iter().try_for_each(|(_, value)| check(value)),
            Self::Null => Ok(()),
            other => Err(other.mismatch(field, "an object")),
        }
    }
}

/// Keys are the same when this is: their case does not matter, and two letters fold into ASCII.
fn fold(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            other => other.to_ascii_lowercase(),
        })
        .collect()
}

/// Replaces escapes of half a surrogate pair, which JSON libraries refuse, by that of `U+FFFD`.
fn without_lone_surrogates(text: &str) -> Cow<'_, str> {
    let unit = |at: usize| -> Option<u16> {
        let escape = text.get(at..at + 6)?;
        u16::from_str_radix(escape.strip_prefix("\\u")?, 16).ok()
    };
    let mut lone = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => at += 12,
            Some(0xd800..=0xdfff) => {
                lone.push(at);
                at += 6;
            }
            _ => at += 2,
        }
    }
    if lone.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut mended = text.to_owned();
    for at in lone {
        mended.replace_range(at..at + 6, "\\ufffd");
    }
    Cow::Owned(mended)
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "too large for a signed number, so it is read as a float")]
    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(i64::try_from(value).map_or(Json::Float(value as f64), Json::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Json::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_match_whatever_their_case_and_unknown_ones_are_skipped() {
        let json = Json::parse(br#"{"ID": "a", "x": [1], "\u017ftatus": "pass", "id": "b"}"#).unwrap();
        let fields: Vec<_> = json.fields("", &["id", "status"]).unwrap().map(|(name, _)| name).collect();
        assert_eq!(fields, ["id", "status", "id"]);
    }

    #[test]
    fn half_a_surrogate_pair_is_a_replacement_character_and_a_whole_one_stays() {
        for (text, expected) in [
            (r#""\ud800""#, "\u{fffd}"),
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\\ud800""#, "\\ud800"),
            (r#""a\udc00b""#, "a\u{fffd}b"),
        ] {
            assert_eq!(Json::parse(text.as_bytes()).unwrap(), Json::Text(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_not_quite_json_is_refused() {
        for text in ["", "{", "{} x", "\u{feff}{}", "[NaN]", "[1e400]", "{'a': 1}"] {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
