//! What errors of the API server mean to a controller, and how errors are shown.

use std::error::Error;
use std::fmt;

/// Shows an error with all its causes.
pub fn chain(error: &dyn Error) -> impl fmt::Display + '_ {
    struct Chain<'a>(&'a dyn Error);
    impl fmt::Display for Chain<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            // kube's errors show their source in their own text; it is not shown twice.
            let mut shown = self.0.to_string();
            write!(f, "{shown}")?;
            let mut source = self.0.source();
            while let Some(cause) = source {
                let text = cause.to_string();
                if !shown.contains(&text) {
                    write!(f, ": {text}")?;
                }
                shown = text;
                source = cause.source();
            }
            Ok(())
        }
    }
    Chain(error)
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
