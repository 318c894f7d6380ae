//! A definition's conversion webhook: what it is asked, and what its answer may be.

use std::time::Duration;

use serde_json::{Value, json};

use crate::dial::client::{self, ClientConfig};
use crate::field::quote;
use crate::lifecycle::{meta, metadata};
use crate::resources::value::{items, text};
use crate::service::ApiServer;
use crate::status::ApiError;

/// How long a conversion may take.
const TIMEOUT: Duration = Duration::from_secs(30);
const GROUP: &str = "apiextensions.k8s.io";

/// Who converts the objects of a definition.
#[derive(Clone, Debug)]
pub struct Webhook {
    client: Option<ClientConfig>,
    /// The first version of `ConversionReview` that both sides know.
    review: Option<&'static str>,
}

impl Webhook {
    /// From the `conversion` of a definition; none where it needs nobody.
    pub fn from_conversion(conversion: &Value) -> Option<Self> {
        (conversion["strategy"] == "Webhook").then_some(())?;
        let webhook = &conversion["webhook"];
        let review = items(webhook, "conversionReviewVersions").iter().find_map(|version| match version.as_str() {
            Some("v1") => Some("v1"),
            Some("v1beta1") => Some("v1beta1"),
            _ => None,
        });
        Some(Self { client: ClientConfig::from_object(&webhook["clientConfig"]), review })
    }

    /// Objects in another version, in their order. Metadata stays, but for labels and annotations.
    ///
    /// # Errors
    /// 500 with the words of a real server when the webhook fails, or breaks its contract.
    pub(crate) async fn convert(
        &self,
        server: &ApiServer,
        version: &str,
        objects: &[&Value],
    ) -> Result<Vec<Value>, ApiError> {
        let (Some(review), Some(config)) = (self.review, &self.client) else {
            return Err(ApiError::unclassified("no supported conversion review versions"));
        };
        let Some(first) = objects.first() else { return Ok(Vec::new()) };
        let about = match text(first, "apiVersion").split_once('/') {
            Some((group, version)) => format!("{group}/{version}, Kind={}", text(first, "kind")),
            None => format!("/{}, Kind={}", text(first, "apiVersion"), text(first, "kind")),
        };
        let failed = |why: String| ApiError::unclassified(format!("conversion webhook for {about} {why}"));
        let uid = server.0.entropy.uid();
        let question = json!({
            "kind": "ConversionReview", "apiVersion": format!("{GROUP}/{review}"),
            "request": {"uid": uid, "desiredAPIVersion": version, "objects": objects},
        });
        let answer = client::post(server, config, question.to_string(), TIMEOUT).await;
        let converted = answer.and_then(|answer| verify(review, &uid, answer));
        let converted = converted.map_err(|why| failed(format!("failed: {why}")))?;
        if converted.len() != objects.len() {
            return Err(failed(format!("returned {} objects, expected {}", converted.len(), objects.len())));
        }
        let pairs = objects.iter().zip(converted).enumerate();
        pairs.map(|(at, (object, converted))| accept(at, object, converted, version).map_err(&failed)).collect()
    }
}

/// The objects in an answer.
///
/// # Errors
/// What is wrong with it, or why the webhook could not convert.
fn verify(review: &str, uid: &str, mut answer: Value) -> Result<Vec<Value>, String> {
    if review == "v1"
        && (text(&answer, "apiVersion") != "apiextensions.k8s.io/v1" || answer["kind"] != "ConversionReview")
    {
        return Err(format!(
            "expected webhook response of {GROUP}/v1, Kind=ConversionReview, got {}, Kind={}",
            text(&answer, "apiVersion"),
            text(&answer, "kind")
        ));
    }
    let response = &mut answer["response"];
    if !response.is_object() {
        return Err("no response provided".to_owned());
    }
    if review == "v1" && text(response, "uid") != uid {
        return Err(format!("expected response.uid={}, got {}", quote(uid), quote(text(response, "uid"))));
    }
    let result = &response["result"];
    if result["status"] != "Success" {
        return Err(match text(result, "message") {
            "" => format!("response.result.status was '{}', not 'Success'", text(result, "status")),
            message => message.to_owned(),
        });
    }
    match response["convertedObjects"].take() {
        Value::Array(objects) => Ok(objects),
        _ => Ok(Vec::new()),
    }
}

/// A converted object with the metadata of the one it was made from.
fn accept(at: usize, object: &Value, mut converted: Value, version: &str) -> Result<Value, String> {
    let invalid = |why: String| format!("returned invalid converted object at index {at}: {why}");
    let (expected, got) = (version, text(&converted, "apiVersion"));
    if expected != got {
        return Err(invalid(format!("invalid groupVersion (expected {expected}, received {got})")));
    }
    let (expected, got) = (text(object, "kind"), text(&converted, "kind"));
    if expected != got {
        return Err(invalid(format!("invalid kind (expected {expected}, received {got})")));
    }
    if !converted["metadata"].is_object() {
        return Err(format!("returned invalid metadata in object at index {at}: missing metadata in converted object"));
    }
    for (field, name) in [("name", "name"), ("namespace", "namespace"), ("uid", "UID")] {
        let (expected, got) = (meta(object, field), meta(&converted, field));
        if expected != got {
            return Err(invalid(format!("must have the same {name}: {expected} != {got}")));
        }
    }
    let mut kept = object["metadata"].clone();
    for field in ["labels", "annotations"] {
        match converted["metadata"].get(field).filter(|given| !given.is_null()) {
            Some(given) => kept[field] = given.clone(),
            None => drop(kept.as_object_mut().and_then(|kept| kept.remove(field))),
        }
    }
    if let Some(kept) = kept.as_object() {
        metadata(&mut converted).clone_from(kept);
    }
    Ok(converted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(version: &str, metadata: &Value) -> Value {
        json!({"apiVersion": format!("g/{version}"), "kind": "K", "metadata": metadata})
    }

    #[test]
    fn a_converted_object_keeps_who_it_is_and_may_change_its_labels() {
        let before = object("v1", &json!({"name": "n", "uid": "u", "labels": {"a": "1"}, "finalizers": ["f"]}));
        let after = object("v2", &json!({"name": "n", "uid": "u", "annotations": {"b": "2"}}));
        let accepted = accept(0, &before, after, "g/v2").unwrap();
        let wanted = json!({"name": "n", "uid": "u", "annotations": {"b": "2"}, "finalizers": ["f"]});
        assert_eq!(accepted["metadata"], wanted);
        let invalid = "returned invalid converted object at index 0: ";
        let cases = [
            (object("v1", &json!({"name": "n", "uid": "u"})), "invalid groupVersion (expected g/v2, received g/v1)"),
            (object("v2", &json!({"name": "m", "uid": "u"})), "must have the same name: n != m"),
            (object("v2", &json!({"name": "n", "uid": "v"})), "must have the same UID: u != v"),
        ];
        for (after, why) in cases {
            assert_eq!(accept(0, &before, after, "g/v2").unwrap_err(), format!("{invalid}{why}"));
        }
    }

    #[test]
    fn an_answer_that_is_no_success_says_why() {
        let answer = |response: Value| json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": response});
        let cases = [
            (answer(json!({"uid": "u", "result": {"status": "Failure", "message": "cannot"}})), "cannot"),
            (answer(json!({"uid": "u", "result": {}})), "response.result.status was '', not 'Success'"),
            (answer(json!({"uid": "v", "result": {}})), "expected response.uid=\"u\", got \"v\""),
            (answer(Value::Null), "no response provided"),
        ];
        for (answer, why) in cases {
            assert_eq!(verify("v1", "u", answer).unwrap_err(), why);
        }
    }
}
