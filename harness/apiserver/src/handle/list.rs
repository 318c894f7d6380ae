//! Lists: selectors, pages, old revisions.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::get::{revision, wait_for};
use super::{Call, Reply};
use crate::field::FieldError;
use crate::selector::{FieldSelector, LabelSelector, unknown_field};
use crate::status::ApiError;
use crate::store::{Compacted, Snapshot, Stored};

/// Which objects of a collection are meant.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Filter {
    /// From the request's selectors; a name in the path counts as one.
    pub(crate) fn of(call: &Call) -> Result<Self, ApiError> {
        let malformed = |e: crate::selector::Malformed| ApiError::bad_request(e.to_string());
        let labels = LabelSelector::parse(call.query.get("labelSelector").unwrap_or_default()).map_err(malformed)?;
        let mut fields =
            FieldSelector::parse(call.query.get("fieldSelector").unwrap_or_default()).map_err(malformed)?;
        for term in &fields.0 {
            check_field(call, &term.field)?;
        }
        if call.target.named {
            if fields.exact("metadata.name").is_some_and(|name| name != call.target.name) {
                let why = "fieldSelector metadata.name doesn't match requested name";
                return Err(ApiError::bad_request(why));
            }
            let (field, value) = ("metadata.name".to_owned(), call.target.name.clone());
            fields.0.push(crate::selector::FieldTerm { field, negated: false, value });
        }
        Ok(Self { labels, fields })
    }

    /// Whether everything is meant.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether an object is meant.
    pub(crate) fn matches(&self, call: &Call, object: &Value) -> bool {
        self.labels.matches(object) && self.fields.matches(|field| field_value(call, object, field))
    }
}

fn check_field(call: &Call, field: &str) -> Result<(), ApiError> {
    let resource = &call.resource;
    let known = matches!(field, "metadata.name" | "metadata.namespace")
        || resource.selectable_fields.iter().any(|f| f.trim_start_matches('.') == field)
        || resource.rules.field(&json!({}), field).is_some();
    if known {
        return Ok(());
    }
    let own = resource.definition.is_some() || !resource.selectable_fields.is_empty();
    Err(ApiError::bad_request(if own { format!("field label not supported: {field}") } else { unknown_field(field) }))
}

fn field_value(call: &Call, object: &Value, field: &str) -> String {
    if let Some(value) = call.resource.rules.field(object, field) {
        return value;
    }
    let value = field.trim_start_matches('.').split('.').fold(object, |value, name| &value[name]);
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Refuses list and watch parameters that contradict each other.
pub(crate) fn check_options(call: &Call, watch: bool) -> Result<(), ApiError> {
    let query = &call.query;
    let field = "resourceVersionMatch";
    let matching = query.text(field);
    let has_continue = query.text("continue").is_some();
    let initial = query.get("sendInitialEvents");
    let mut errors = Vec::new();
    if watch && initial.is_some() && matching != Some("NotOlderThan") {
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        errors.push(FieldError::forbidden(field, why));
    }
    if let Some(matching) = matching {
        if watch && initial.is_none() {
            let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            errors.push(FieldError::forbidden(field, why));
        }
        if !watch && query.text("resourceVersion").is_none() {
            let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            errors.push(FieldError::forbidden(field, why));
        }
        let supported: &[&str] = if watch { &["NotOlderThan"] } else { &["Exact", "NotOlderThan", ""] };
        if has_continue && !watch {
            errors.push(FieldError::forbidden(field, "resourceVersionMatch is forbidden when continue is provided"));
        }
        if !supported.contains(&matching) {
            errors.push(FieldError::not_supported(field, matching, supported));
        }
        if has_continue && watch {
            errors.push(FieldError::forbidden(field, "resourceVersionMatch is forbidden when continue is provided"));
        }
        if !watch && matching == "Exact" && query.get("resourceVersion") == Some("0") {
            let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            errors.push(FieldError::forbidden(field, why));
        }
    }
    if !watch && initial.is_some() {
        errors.push(FieldError::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", &errors)) }
}

pub(super) async fn list(call: &Call) -> Result<Reply, ApiError> {
    let limit = usize::try_from(call.query.number("limit")?.unwrap_or_default()).unwrap_or_default();
    call.query.number("timeoutSeconds")?;
    check_options(call, false)?;
    let filter = Filter::of(call)?;
    let start = match call.query.text("continue") {
        Some(token) => Some(Token::decode(token)?),
        None => None,
    };
    let snapshot = snapshot(call, start.as_ref(), limit).await?;
    let page = page(call, &filter, snapshot.objects, start.as_ref(), limit);
    let mut metadata = json!({"resourceVersion": snapshot.revision.to_string()});
    if let Some(last) = page.last {
        let start = format!("{last}\0");
        metadata["continue"] = Token { revision: Some(snapshot.revision), start }.encode().into();
        if filter.is_empty() {
            metadata["remainingItemCount"] = page.remaining.into();
        }
    }
    Ok(Reply::List(metadata, page.objects))
}

async fn snapshot(call: &Call, start: Option<&Token>, limit: usize) -> Result<Snapshot, ApiError> {
    let revision = revision(call)?;
    let at = match (start, revision, call.query.text("resourceVersionMatch")) {
        (Some(_), Some(1..), _) => {
            return Err(ApiError::bad_request("specifying resource version is not allowed when using continue"));
        }
        (Some(token), ..) => token.revision,
        (None, None | Some(0), _) => None,
        (None, Some(revision), matching) => {
            wait_for(call, revision).await?;
            // Before there was a way to say so, a page of a given revision meant exactly that.
            let exact = matching == Some("Exact") || (matching.is_none() && limit > 0);
            exact.then_some(revision)
        }
    };
    let namespace = (!call.target.namespace.is_empty()).then_some(call.target.namespace.as_str());
    call.store().list(&call.collection(), namespace, at).map_err(|Compacted { .. }| match start {
        Some(token) => continue_expired(token),
        None => ApiError::expired("The resourceVersion for the provided list is too old."),
    })
}

struct Page {
    objects: Vec<Arc<Stored>>,
    /// Where the page ended, if anything follows.
    last: Option<String>,
    remaining: usize,
}

fn page(call: &Call, filter: &Filter, all: Vec<Arc<Stored>>, start: Option<&Token>, limit: usize) -> Page {
    let position = |object: &Stored| match call.target.namespace.as_str() {
        "" if call.resource.namespaced => {
            format!("{}/{}", crate::lifecycle::meta(&object.value, "namespace"), name(object))
        }
        _ => name(object).to_owned(),
    };
    let mut objects = Vec::new();
    let mut rest = all.into_iter().skip_while(|o| start.is_some_and(|t| position(o) < t.start)).peekable();
    while let Some(object) = rest.next() {
        if !filter.matches(call, &object.value) {
            continue;
        }
        objects.push(object);
        if limit > 0 && objects.len() == limit {
            let last = rest.peek().and_then(|_| objects.last()).map(|o| position(o));
            return Page { objects, last, remaining: rest.count() };
        }
    }
    Page { objects, last: None, remaining: 0 }
}

fn name(object: &Stored) -> &str {
    crate::lifecycle::meta(&object.value, "name")
}

/// Where a paged list goes on.
#[derive(Debug, PartialEq, Eq)]
struct Token {
    /// The revision all pages are of; none goes on with whatever is there now.
    revision: Option<u64>,
    /// The first position of the next page.
    start: String,
}

impl Token {
    fn encode(&self) -> String {
        let revision = self.revision.and_then(|r| i64::try_from(r).ok()).unwrap_or(-1);
        let token = json!({"v": "meta.k8s.io/v1", "rv": revision, "start": self.start});
        URL_SAFE_NO_PAD.encode(token.to_string())
    }

    fn decode(text: &str) -> Result<Self, ApiError> {
        let invalid = |why: &str| ApiError::bad_request(format!("continue key is not valid: {why}"));
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|e| invalid(&e.to_string()))?;
        let token: Value = serde_json::from_slice(&bytes).map_err(|e| invalid(&e.to_string()))?;
        if token["v"] != "meta.k8s.io/v1" {
            return Err(invalid("server does not recognize this encoded version"));
        }
        let revision = token["rv"].as_i64().unwrap_or_default();
        if revision == 0 {
            return Err(invalid("incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
        }
        match token["start"].as_str().unwrap_or_default() {
            "" => Err(invalid("encoded start key empty (version meta.k8s.io/v1)")),
            start => Ok(Self { revision: u64::try_from(revision).ok(), start: start.to_owned() }),
        }
    }
}

/// 410 with a token that goes on regardless.
fn continue_expired(token: &Token) -> ApiError {
    let message = "The provided continue parameter is too old to display a consistent list result. You can start a \
                   new list without the continue parameter, or use the continue token in this response to retrieve \
                   the remainder of the results. Continuing with the provided token results in an inconsistent list - \
                   objects that were created, modified, or deleted between the time the first chunk was returned and \
                   now may show up in the list.";
    let token = Token { revision: None, start: token.start.clone() };
    ApiError { continuation: Some(token.encode()), ..ApiError::expired(message) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_continue_token_leads_back_to_where_it_was_made(revision in 1u64..=i64::MAX as u64, start in "[a-z./\0]{1,40}") {
            let token = Token { revision: Some(revision), start };
            prop_assert_eq!(Token::decode(&token.encode()).unwrap(), token);
        }

        #[test]
        fn garbage_is_refused_as_a_continue_token(text in "\\PC*") {
            let _ = Token::decode(&text);
        }
    }

    #[test]
    fn a_token_without_revision_goes_on_with_what_is_there_now() {
        let token = Token { revision: None, start: "a".to_owned() };
        assert_eq!(Token::decode(&token.encode()).unwrap(), token);
    }
}
