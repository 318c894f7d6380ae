//! Field selectors, after apimachinery's `fields` package.

use std::fmt;

use super::Malformed;
use crate::field::quote;

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
