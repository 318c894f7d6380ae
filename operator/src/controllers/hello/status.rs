//! What the status says. Pure; [`render`] gives nothing where nothing is new.

use k8s_openapi::jiff::Timestamp;

use crate::api::conditions::{self, Draft};
use crate::api::hello::{Hello, HelloStatus as Status};

use super::validate::{Greeting, Refusal};

/// It can be said.
const ACCEPTED: &str = "Accepted";
/// It is said.
const GREETED: &str = "Greeted";

/// The status after this verdict, or `None` when it is the same as before.
pub(super) fn render(hello: &Hello, verdict: &Result<Greeting, Refusal>, now: Timestamp) -> Option<Status> {
    let old = hello.status.as_ref();
    let generation = hello.metadata.generation.unwrap_or_default();
    let draft =
        |type_, holds, reason: &str, message: String| Draft { type_, holds, reason: reason.to_owned(), message };
    let drafts = match verdict {
        Ok(_) => vec![
            draft(conditions::ACCEPTED, true, ACCEPTED, "there is something to say".to_owned()),
            draft(conditions::READY, true, GREETED, "it is said".to_owned()),
        ],
        Err(refusal) => vec![
            draft(conditions::ACCEPTED, false, refusal.reason(), refusal.to_string()),
            draft(conditions::READY, false, refusal.reason(), "there is nothing to say".to_owned()),
        ],
    };
    let told = old.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let new = Status {
        observed_generation: Some(generation),
        greeting: verdict.as_ref().ok().map(|greeting| greeting.as_str().to_owned()),
        conditions: conditions::merge(told, drafts, generation, now),
    };
    (old != Some(&new)).then_some(new)
}
