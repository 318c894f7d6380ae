//! What the API server said to a step, held against what the step expects it to say.

use kube::api::DynamicObject;
use serde_json::Value;

use super::chain;
use super::trouble::Trouble;
use crate::scenario::model::ExpectError;

/// What the API server said.
pub(super) struct Answer {
    /// What was asked of it.
    pub(super) what: String,
    /// Its refusal.
    pub(super) error: Option<kube::Error>,
}

impl Answer {
    pub(super) fn of(verb: &str, manifest: &Value, answer: Result<DynamicObject, kube::Error>) -> Self {
        let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        Self { what: format!("{verb} {} {}", text("/kind"), text("/metadata/name")), error: answer.err() }
    }
}

/// Holds the server's answer against what was expected of it.
pub(super) fn judge(answer: Result<Answer, Trouble>, expected: Option<&ExpectError>) -> Result<(), Trouble> {
    let Answer { what, error } = answer?;
    match (error, expected) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(Trouble::new(format!("{what}: the API server accepted what it was expected to refuse"))),
        (Some(kube::Error::Api(status)), Some(expected)) => {
            let mut wrong = Vec::new();
            if expected.code.is_some_and(|code| code != status.code) {
                wrong.push(format!("the code was {}", status.code));
            }
            if expected.reason.as_ref().is_some_and(|reason| *reason != status.reason) {
                wrong.push(format!("the reason was {}", status.reason));
            }
            for part in expected.message.as_ref().map(|message| message.missing(&status.message)).unwrap_or_default() {
                wrong.push(format!("the message did not contain {part:?}"));
            }
            if wrong.is_empty() {
                return Ok(());
            }
            let message = format!("{what}: the API server refused, but not as expected: {}", wrong.join(", "));
            Err(Trouble::new(message).with("the message", status.message.lines().map(str::to_owned).collect()))
        }
        (Some(error), _) => Err(Trouble::new(format!("{what}: {}", chain(&error)))),
    }
}
