//! Waits for Events about an object. Other Events may come as well, and in any order.

use std::time::Duration;

use std::pin::pin;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::api::events::v1::Event as NewEvent;
use kube::api::DynamicObject;
use kube::core::ApiResource;
use kube::{Api, Client};
use serde_json::Value;

use super::trouble::{Trouble, within};
use super::watching::{Selection, selections};
use crate::scenario::model::{EventPattern, Regarding};
use crate::scenario::plan::Target;

/// Waits until every one of the Events has been recorded.
pub(super) async fn expect(
    client: &Client,
    namespace: &str,
    regarding: &Regarding,
    events: &[EventPattern],
    limit: Duration,
) -> Result<(), Trouble> {
    let everything = Target { resource: "events".to_owned(), ..Target::default() };
    let api =
        |resource: ApiResource| -> Api<DynamicObject> { Api::namespaced_with(client.clone(), namespace, &resource) };
    let mut last = [Selection::default(), Selection::default()];
    let waiting = async {
        // Two groups serve Events, and not every cluster shows those of one in the other.
        let old = selections(api(ApiResource::erase::<Event>(&())), &everything).map(|next| (0, next));
        let new = selections(api(ApiResource::erase::<NewEvent>(&())), &everything).map(|next| (1, next));
        let mut stream = pin!(futures::stream::select(old, new));
        while let Some((group, next)) = stream.next().await {
            // A watch that is broken off resumes where it was.
            let Ok(selection) = next else { continue };
            last[group] = selection;
            if missing(&last, regarding, events).is_empty() {
                return;
            }
        }
        std::future::pending::<()>().await;
    };
    if let Ok(()) = tokio::time::timeout(limit, waiting).await {
        return Ok(());
    }
    let missing: Vec<String> = missing(&last, regarding, events).into_iter().map(describe).collect();
    let about =
        regarding.name.as_ref().map_or_else(|| regarding.kind.clone(), |name| format!("{}/{name}", regarding.kind));
    let mut recorded: Vec<String> =
        last.iter().flat_map(Selection::objects).filter(|event| is_about(event, regarding)).map(line).collect();
    recorded.sort();
    recorded.dedup();
    Err(Trouble::new(format!("{about} had no Event {} {}", missing.join(", nor "), within(limit)))
        .with(format!("Events about {about}"), recorded))
}

fn missing<'p>(selections: &[Selection], regarding: &Regarding, patterns: &'p [EventPattern]) -> Vec<&'p EventPattern> {
    let recorded: Vec<&Value> = selections.iter().flat_map(Selection::objects).collect();
    patterns
        .iter()
        .filter(|pattern| !recorded.iter().any(|event| is_about(event, regarding) && is_like(event, pattern)))
        .collect()
}

fn is_about(event: &Value, regarding: &Regarding) -> bool {
    let about = event.get("involvedObject").or_else(|| event.get("regarding"));
    let field = |name: &str| about.and_then(|about| about.get(name)).and_then(Value::as_str);
    field("kind") == Some(&regarding.kind) && regarding.name.as_deref().is_none_or(|name| field("name") == Some(name))
}

fn is_like(event: &Value, pattern: &EventPattern) -> bool {
    text(event, "reason") == pattern.reason
        && pattern.severity.as_deref().is_none_or(|severity| text(event, "type") == severity)
        && pattern.message.as_ref().is_none_or(|message| message.missing(note(event)).is_empty())
}

fn text<'e>(event: &'e Value, field: &str) -> &'e str {
    event.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The two groups of the Event API have different names for it.
fn note(event: &Value) -> &str {
    let message = text(event, "message");
    if message.is_empty() { text(event, "note") } else { message }
}

fn line(event: &Value) -> String {
    format!("{} {}: {}", text(event, "type"), text(event, "reason"), note(event))
}

fn describe(pattern: &EventPattern) -> String {
    let severity = pattern.severity.as_deref().map(|severity| format!("{severity} ")).unwrap_or_default();
    let message = pattern.message.as_ref().map(|parts| format!(" with {:?}", parts.0)).unwrap_or_default();
    format!("{severity}{}{message}", pattern.reason)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_known_by_what_it_is_about_and_what_it_says() {
        let event = json!({
            "involvedObject": {"kind": "MultiNicNodeConfig", "name": "worker-1"},
            "type": "Warning", "reason": "NodeGone", "message": "node worker-1 is gone, nothing to clean up",
        });
        let regarding = |name: &str| Regarding {
            kind: "MultiNicNodeConfig".to_owned(),
            name: Some(name.to_owned()),
            ..Regarding::default()
        };
        assert!(is_about(&event, &regarding("worker-1")) && !is_about(&event, &regarding("worker-2")));
        let pattern = |json: Value| serde_json::from_value::<EventPattern>(json).unwrap();
        assert!(is_like(
            &event,
            &pattern(json!({"reason": "NodeGone", "type": "Warning", "message": ["gone", "clean"]}))
        ));
        assert!(!is_like(&event, &pattern(json!({"reason": "NodeGone", "type": "Normal"}))));
        assert!(!is_like(&event, &pattern(json!({"reason": "NodeGone", "message": "other"}))));
    }
}
