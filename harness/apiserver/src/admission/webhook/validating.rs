//! Webhooks that may only refuse: all are asked at once.

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use super::hook::Hook;
use super::{invitation, review};
use crate::admission::attributes::Attributes;
use crate::handle::Call;
use crate::status::ApiError;

/// Asks all webhooks that a request concerns. All are heard; of several refusals the first to come counts.
///
/// # Errors
/// The refusal, or 500 where one that matters cannot be asked.
pub(crate) async fn validate(call: &mut Call, hooks: &[Hook], about: &Attributes) -> Result<(), ApiError> {
    let server = call.server.clone();
    let mut invited = Vec::new();
    for hook in hooks {
        if let Some((seen, objects)) = invitation(&server, hook, about).await? {
            invited.push((hook, seen, objects));
        }
    }
    let mut asked: FuturesUnordered<_> = invited
        .iter()
        .map(async |(hook, seen, objects)| {
            let mut warnings = Vec::new();
            let answer = review::ask(&server, hook, about, seen, objects, false, &mut warnings).await;
            (answer.err().and_then(|failure| failure.into_error(hook)), warnings)
        })
        .collect();
    let mut refusal = None;
    while let Some((error, warnings)) = asked.next().await {
        call.warnings.extend(warnings);
        refusal = refusal.or(error);
    }
    refusal.map_or(Ok(()), Err)
}
