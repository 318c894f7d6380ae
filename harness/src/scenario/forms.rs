//! Values that may be written in more than one form: one text or several, a number or a comparison, one manifest or a
//! list.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// One text or several, read from either form.
fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(vec![text]),
        several => serde_json::from_value(several).map_err(serde::de::Error::custom),
    }
}

macro_rules! texts {
    ($(#[$doc:meta])* $name:ident, $title:literal, $description:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        pub struct $name(pub Vec<String>);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                one_or_several(deserializer).map(Self)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                $title.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "description": $description,
                    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
                })
            }
        }
    };
}

texts!(
    /// CEL expressions that must all hold.
    Expressions,
    "Expressions",
    "One CEL expression, or several that must all hold."
);

texts!(
    /// Texts that must all be contained.
    Pattern,
    "Pattern",
    "One text, or several that must all be contained."
);

texts!(
    /// Texts, one after the other.
    Texts,
    "Texts",
    "One text, or several."
);

impl Pattern {
    /// Those that are not contained.
    pub fn missing<'a>(&'a self, text: &str) -> Vec<&'a str> {
        self.0.iter().map(String::as_str).filter(|part| !text.contains(part)).collect()
    }
}

/// One manifest, or a list of them, as written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Manifest(pub Value);

impl JsonSchema for Manifest {
    fn schema_name() -> Cow<'static, str> {
        "Manifest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A Kubernetes object, or a list of them.",
            "anyOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}],
        })
    }
}

/// A list that must be as given, whatever the order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Exactly<T>(pub Vec<T>);

/// How many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    comparison: Comparison,
    number: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    AtLeast,
    AtMost,
    More,
    Less,
}

/// Longer signs stand before those they begin with.
const SIGNS: [(&str, Comparison); 5] = [
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    ("==", Comparison::Equal),
    (">", Comparison::More),
    ("<", Comparison::Less),
];

/// Why a text is no count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a count; write a number, like `3`, or a comparison, like `\">=2\"`")]
pub struct NotACount(String);

impl Count {
    /// At least one.
    pub const SOME: Self = Self { comparison: Comparison::AtLeast, number: 1 };

    /// Whether a number of objects is what is wanted.
    pub fn accepts(self, found: usize) -> bool {
        match self.comparison {
            Comparison::Equal => found == self.number,
            Comparison::AtLeast => found >= self.number,
            Comparison::AtMost => found <= self.number,
            Comparison::More => found > self.number,
            Comparison::Less => found < self.number,
        }
    }

    /// Reads a count.
    ///
    /// # Errors
    /// [`NotACount`].
    pub fn parse(text: &str) -> Result<Self, NotACount> {
        let (comparison, number) = SIGNS
            .iter()
            .find_map(|(sign, comparison)| Some((*comparison, text.trim().strip_prefix(sign)?)))
            .unwrap_or((Comparison::Equal, text.trim()));
        let number = number.trim().parse().map_err(|_| NotACount(text.to_owned()))?;
        Ok(Self { comparison, number })
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.comparison {
            Comparison::Equal => "exactly ",
            Comparison::AtLeast => "at least ",
            Comparison::AtMost => "at most ",
            Comparison::More => "more than ",
            Comparison::Less => "fewer than ",
        };
        write!(f, "{words}{}", self.number)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Value::deserialize(deserializer)? {
            Value::String(text) => text,
            other => other.to_string(),
        };
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sign = SIGNS.iter().find(|(_, comparison)| *comparison == self.comparison).map_or("", |(sign, _)| sign);
        serializer.collect_str(&format_args!("{sign}{}", self.number))
    }
}

impl JsonSchema for Count {
    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of objects, or a comparison with one.",
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "format": super::check::FORMAT_COUNT, "pattern": "^(>=|<=|==|>|<)? *[0-9]+$"},
            ],
            "examples": [3, ">=2"],
        })
    }
}

/// Whether a name is as a pattern says, in which `*` stands for anything.
pub fn glob(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).any(|skipped| rest.get(skipped..).is_some_and(|rest| glob(after, rest)))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_a_number_or_a_comparison() {
        let cases: [(&str, &[usize], &[usize]); 6] = [
            ("2", &[2], &[0, 1, 3]),
            ("==2", &[2], &[1, 3]),
            (">=2", &[2, 3], &[0, 1]),
            ("<= 1", &[0, 1], &[2]),
            (">0", &[1, 9], &[0]),
            ("<1", &[0], &[1]),
        ];
        for (text, yes, no) in cases {
            let count = Count::parse(text).unwrap();
            assert!(yes.iter().all(|n| count.accepts(*n)), "{text}");
            assert!(no.iter().all(|n| !count.accepts(*n)), "{text}");
        }
        for bad in ["", "two", ">", "-1", "=>2", "1.5"] {
            assert!(Count::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn texts_are_written_alone_or_in_a_list() {
        let one: Pattern = serde_json::from_str("\"a\"").unwrap();
        let several: Pattern = serde_json::from_str("[\"a\", \"b\"]").unwrap();
        assert_eq!(one.0, ["a"]);
        assert_eq!(several.missing("xax"), ["b"]);
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name, expected) in [
            ("9*-m*.yaml", "91-m1.yaml", true),
            ("*", "", true),
            ("a*", "ba", false),
            ("a", "a", true),
            ("*é*", "xéy", true),
        ] {
            assert_eq!(glob(pattern, name), expected, "{pattern} {name}");
        }
    }
}
