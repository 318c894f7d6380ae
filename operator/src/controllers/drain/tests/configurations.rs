//! How the configuration is followed while the API server does not do as it is asked.

use std::convert::Infallible;
use std::sync::Mutex;
use std::time::Duration;

use futures::StreamExt;
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use tokio::sync::mpsc;

use crate::controllers::drain::Settings;
use crate::controllers::drain::configured::{Configured, follow};
use crate::controllers::drain::measures::Measures;
use crate::kit::clock::Clock;
use crate::kit::health::State;
use crate::kit::manager::Manager;

use super::*;

/// An API server that answers each list with the next of these, and the last of them from then on. Nothing changes
/// while it is watched; Events are told of by their reasons.
fn api_server(answers: Vec<(u16, Value)>) -> (Client, mpsc::UnboundedReceiver<String>) {
    let (events, told) = mpsc::unbounded_channel();
    let answers = Arc::new(Mutex::new(answers));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (answers, events) = (Arc::clone(&answers), events.clone());
        async move {
            let (parts, body) = request.into_parts();
            let (code, answer) = if parts.method == Method::POST {
                let event: Value = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap();
                let _ = events.send(event["reason"].as_str().unwrap_or_default().to_owned());
                (201, json!({ "metadata": {}, "involvedObject": {} }))
            } else if parts.uri.query().unwrap_or_default().contains("watch=") {
                // It expires after a minute, and everything is listed again.
                tokio::time::sleep(Duration::from_mins(1)).await;
                (200, json!({ "type": "ERROR", "object": status(410, "Expired") }))
            } else {
                let mut answers = answers.lock().unwrap();
                if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() }
            };
            let body = Body::from(answer.to_string().into_bytes());
            Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
        }
    });
    (Client::new(service, "default"), told)
}

fn status(code: u16, reason: &str) -> Value {
    json!({ "kind": "Status", "status": "Failure", "message": format!("it is {reason}"), "reason": reason, "code": code })
}

fn listed(grace: &str) -> (u16, Value) {
    let map = json!({
        "metadata": { "name": "vpa-graceful-drain-config", "namespace": "slipway-system", "uid": "m" },
        "data": { "gracePeriodSeconds": grace },
    });
    (200, json!({ "metadata": { "resourceVersion": "1" }, "items": [map] }))
}

#[tokio::test(start_paused = true)]
async fn a_configuration_is_in_force_through_every_trouble_and_the_trouble_is_told_of() {
    let (client, mut told) = api_server(vec![
        (403, status(403, "Forbidden")),
        listed("7"),
        (504, status(504, "Timeout")),
        listed("soon"),
        listed("8"),
        (403, status(403, "Forbidden")),
    ]);
    let manager = Manager::new(client, Clock::starting_at(now()), std::future::pending());
    let (sender, configured) = Configured::channel();
    let following = follow(manager.clone(), Settings::default(), Measures::new(&manager.metrics), sender);
    let watching = async {
        let mut seen = Vec::new();
        let mut changes = Box::pin(configured.changes());
        while seen.len() < 5 {
            changes.next().await.unwrap();
            let Standing { configuration, is_chosen, trouble } = configured.now().unwrap();
            let health = manager.health.report().state("drain-configuration").cloned();
            assert_eq!(health == Some(State::Ready), trouble.is_none(), "{health:?}");
            seen.push((configuration.terms.grace.as_secs(), is_chosen, trouble.is_some()));
        }
        seen
    };
    let seen = tokio::select! {
        seen = watching => seen,
        () = following => panic!("it ends only when it is dropped"),
    };
    let expected = [
        (30, false, true), // nobody may read it: the defaults for who is held already, and nobody new
        (7, true, false),  // a good one; that its watch expires and the API server is away for a moment is no news
        (7, true, true),   // a bad one: the last good one stays
        (8, true, false),  // a better one
        (8, true, true),   // nobody may read it any more: the last good one stays
    ];
    assert_eq!(seen, expected);
    let mut reasons = Vec::new();
    while let Ok(reason) = told.try_recv() {
        reasons.push(reason);
    }
    let (bad, read) = ("BadConfiguration", "ConfigurationRead");
    assert_eq!(reasons, [bad, read, bad, read, bad]);
    assert!(manager.health.report().is_ready(), "a bad configuration is no reason to take the operator out of service");
}
