//! What errors of the API server mean to a controller, and how errors are shown.

use std::error::Error;
use std::fmt;

use kube::core::Status;

/// Shows an error with all its causes, each once. Of what the API server answers, its sentence.
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl fmt::Display + 'a {
    struct Chain<'a>(&'a (dyn Error + 'static));
    impl fmt::Display for Chain<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let mut next = Some(self.0);
            let mut lead = "";
            while let Some(error) = next {
                let (text, cause) = match answer(error) {
                    // Its `Display` is followed by its `Debug`, which is nothing for people.
                    Some(status) => (status.message.clone(), None),
                    None => (own_text(error), error.source()),
                };
                next = cause;
                if !text.is_empty() {
                    write!(f, "{lead}{text}")?;
                    lead = ": ";
                }
            }
            Ok(())
        }
    }
    Chain(error)
}

/// What the API server answered, where this is an answer of its.
fn answer<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Status> {
    let boxed = || error.downcast_ref::<Box<kube::Error>>().map(|error| &**error);
    match error.downcast_ref::<kube::Error>().or_else(boxed) {
        Some(kube::Error::Api(status)) if !status.message.is_empty() => Some(status),
        _ => None,
    }
}

/// What an error says without its cause, which some end with.
fn own_text(error: &(dyn Error + 'static)) -> String {
    let text = error.to_string();
    let own = error.source().and_then(|cause| text.strip_suffix(&cause.to_string()));
    own.map_or_else(|| text.clone(), |own| own.trim_end_matches([':', ' ']).to_owned())
}

/// The object has changed since it was read: read it again.
pub fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_conflict())
}

/// The object is gone.
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}

/// An object of that name is there already.
pub fn is_already_exists(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_already_exists())
}

/// The API server understood the request and will not do it: permissions, quota, admission, or the object itself.
pub fn is_refused(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_forbidden() || status.is_invalid() || status.code == 400)
}

/// What the API server says, without the wrapping.
pub fn message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => chain(other).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{says}")]
    struct Saying {
        says: &'static str,
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    }

    fn saying(says: &'static str, source: impl Error + Send + Sync + 'static) -> Saying {
        Saying { says, source: Some(Box::new(source)) }
    }

    fn answer(message: &str) -> kube::Error {
        kube::Error::Api(Status::failure(message, "Conflict").with_code(409).boxed())
    }

    #[test]
    fn every_cause_is_shown_once_and_nobody_is_shown_a_struct() {
        let rotten = || Saying { says: "it is rotten", source: None };
        for (what, error, expected) in [
            ("a cause", saying("failed to eat", rotten()), "failed to eat: it is rotten"),
            (
                "a cause that is told already",
                saying("failed to eat: it is rotten", rotten()),
                "failed to eat: it is rotten",
            ),
            ("a cause that says it all", saying("it is rotten", rotten()), "it is rotten"),
            ("an answer", saying("failed to apply", answer("it has changed")), "failed to apply: it has changed"),
            ("an answer in a box", saying("failed to apply", Box::new(answer("no"))), "failed to apply: no"),
            (
                "an answer within a watch",
                saying("failed to follow", kube::runtime::watcher::Error::WatchFailed(answer("no"))),
                "failed to follow: watch stream failed: no",
            ),
        ] {
            assert_eq!(chain(&error).to_string(), expected, "{what}");
        }
        assert!(chain(&answer("")).to_string().contains("Conflict"), "an answer without a sentence");
    }
}
