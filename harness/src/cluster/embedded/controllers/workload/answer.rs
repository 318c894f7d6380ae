//! What an API server's refusal means. Pure.

use kube::Error;

/// Whether the object is not there.
pub(in crate::cluster::embedded) fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.is_not_found())
}

/// Whether an object of that name is there already.
pub(in crate::cluster::embedded) fn is_already_exists(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.is_already_exists())
}

/// Whether the namespace goes, so that nothing can be made in it any more.
pub(in crate::cluster::embedded) fn is_namespace_going(error: &Error) -> bool {
    let Error::Api(status) = error else { return false };
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// What the server said, as Events quote it.
pub(in crate::cluster::embedded) fn said(error: &Error) -> String {
    match error {
        Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// An answer for which it is as well that the object is not there.
pub(in crate::cluster::embedded) fn unless_gone<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
