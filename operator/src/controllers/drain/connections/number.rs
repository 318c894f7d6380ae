//! The number of connections in what an application answers: plain, or somewhere in JSON. Pure.

use serde_json::Value;

use super::promtext::count;

/// Why an answer is no number of connections.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// Neither JSON nor a number.
    #[error("the answer is neither a number nor JSON")]
    NotJson,
    /// A JSON document that has nothing there.
    #[error("there is nothing at {field} of the answer")]
    NoField {
        /// Where it should have been.
        field: String,
    },
    /// Something that counts nothing.
    #[error("the answer says {value}, which is no number of connections")]
    NoCount {
        /// What it says.
        value: String,
    },
}

/// Reads an answer. Where it is a JSON object or array, the number is at `field`, a JSON pointer.
pub(super) fn connections(body: &str, field: &str) -> Result<u64, Error> {
    let document: Value = serde_json::from_str(body.trim()).map_err(|_| Error::NotJson)?;
    let found = match &document {
        Value::Object(_) | Value::Array(_) => {
            document.pointer(field).ok_or_else(|| Error::NoField { field: field.to_owned() })?
        }
        other => other,
    };
    found.as_f64().and_then(count).ok_or_else(|| Error::NoCount { value: shortened(found) })
}

/// It goes into an Event.
fn shortened(value: &Value) -> String {
    value.to_string().chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_found_where_it_is_and_nothing_else_counts_as_one() {
        let no_count = |value: &str| Err(Error::NoCount { value: value.to_owned() });
        let no_field = Err(Error::NoField { field: "/connections".to_owned() });
        for (body, field, expected) in [
            ("7", "/connections", Ok(7)),
            (" 0\n", "/connections", Ok(0)),
            ("2.5", "/connections", Ok(3)),
            (r#"{"connections": 4}"#, "/connections", Ok(4)),
            (r#"{"server": {"open": [1, 9]}}"#, "/server/open/1", Ok(9)),
            (r#"{"open": 4}"#, "/connections", no_field.clone()),
            ("[]", "/connections", no_field),
            (r#"{"connections": "4"}"#, "/connections", no_count("\"4\"")),
            ("-1", "/connections", no_count("-1")),
            ("null", "/connections", no_count("null")),
            ("true", "/connections", no_count("true")),
            ("", "/connections", Err(Error::NotJson)),
            ("<html>", "/connections", Err(Error::NotJson)),
            ("NaN", "/connections", Err(Error::NotJson)),
            ("1e400", "/connections", Err(Error::NotJson)),
            (r#"{"connections": 0"#, "/connections", Err(Error::NotJson)),
            ("0 0", "/connections", Err(Error::NotJson)),
            ("1e300", "/connections", no_count("1e+300")),
        ] {
            assert_eq!(connections(body, field), expected, "{body}");
        }
    }

    proptest! {
        #[test]
        fn a_part_of_an_answer_never_says_that_there_is_nothing(count in 1u32.., at in any::<proptest::sample::Index>()) {
            for answer in [count.to_string(), format!("{{\"connections\": {count}}}"), format!("[{{\"connections\":{count}}}]")] {
                let part = &answer[..at.index(answer.len())];
                prop_assert_ne!(connections(part, "/connections"), Ok(0));
                prop_assert_ne!(connections(part, "/0/connections"), Ok(0));
            }
        }

        #[test]
        fn no_answer_panics(body in "\\PC{0,60}", field in "[/a-z0-9~]{0,8}") {
            let _ = connections(&body, &field);
        }
    }
}
