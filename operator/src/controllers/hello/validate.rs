//! Whether there is something to say. Pure.
//!
//! What can be said without knowing anything else is in the definition, and the API server refuses it; this is the rest.

use kube::ResourceExt;

use crate::api::hello::Hello;

/// Something that can be said. Only [`validate`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greeting(String);

impl Greeting {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why nothing can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("spec.foo is blank; leave it out to be greeted by name")]
    Blank,
    #[error("spec.foo has more than one line, or characters that cannot be shown")]
    NotOneLine,
}

impl Refusal {
    /// The reason of the condition.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Blank => "Blank",
            Self::NotOneLine => "NotOneLine",
        }
    }
}

/// Finds out what to say.
pub(super) fn validate(hello: &Hello) -> Result<Greeting, Refusal> {
    match hello.spec.foo.as_deref() {
        None => Ok(Greeting(format!("Hello, {}!", hello.name_any()))),
        Some(text) if text.chars().any(char::is_control) => Err(Refusal::NotOneLine),
        Some(text) if text.trim().is_empty() => Err(Refusal::Blank),
        Some(text) => Ok(Greeting(text.to_owned())),
    }
}
