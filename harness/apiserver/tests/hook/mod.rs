//! The webhooks of the recordings, behind a Service: what they answer is chosen by path, what they were asked is kept.
//!
//! The recordings reach them by URL; here the same is asked of a Service, so that no socket is needed and a webhook that
//! takes too long takes virtual time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use serde_json::{Value, json};
use slipway_apiserver::dial::{Dialled, ServiceDialer, ServicePort};

/// The Service, as requests and messages name it.
pub(crate) const AUTHORITY: &str = "hook.default.svc:443";

/// The webhooks, and what they were asked since they were last looked at.
#[derive(Debug, Default)]
pub(crate) struct Hook {
    seen: Arc<Mutex<Vec<Value>>>,
}

impl Hook {
    /// What was asked since the last time: path and body. Who asked is left out as far as it differs from run to run.
    pub(crate) fn take(&self) -> Vec<Value> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

impl ServiceDialer for Hook {
    fn dial(&self, service: ServicePort, request: Request<Bytes>) -> Dialled {
        assert_eq!(service.to_string(), AUTHORITY);
        let seen = Arc::clone(&self.seen);
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let mut body: Value = serde_json::from_slice(request.body()).unwrap();
            let (status, answer) = answer(&path, &body);
            if let Some(user) = body["request"]["userInfo"].as_object_mut() {
                user.retain(|field, _| field != "uid" && field != "extra");
            }
            seen.lock().unwrap().push(json!({"path": path, "body": body}));
            if path == "/slow" {
                tokio::time::sleep(Duration::from_millis(2500)).await;
            }
            let response = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
            Ok(response.body(Bytes::from(answer)).unwrap())
        })
    }
}

fn answer(path: &str, review: &Value) -> (StatusCode, String) {
    let uid = &review["request"]["uid"];
    let mut response = json!({"uid": uid, "allowed": true});
    let change = |response: &mut Value, patch: &Value| {
        response["patchType"] = "JSONPatch".into();
        response["patch"] = STANDARD.encode(patch.to_string()).into();
    };
    let deny = |response: &mut Value, status: Value| {
        response["allowed"] = false.into();
        response["status"] = status;
    };
    match path {
        "/convert" => response = converted(review),
        "/convert-fails" => {
            response = json!({"uid": uid, "result": {"status": "Failure", "message": "cannot convert"}});
        }
        "/deny" => deny(&mut response, json!({"code": 403, "message": "no means no"})),
        "/deny-plain" => response["allowed"] = false.into(),
        "/deny-429" => deny(
            &mut response,
            json!({
                "code": 429, "reason": "TooManyRequests", "message": "still draining",
                "details": {"retryAfterSeconds": 5},
            }),
        ),
        "/deny-422" => {
            let cause = json!({"field": "data.x", "message": "is bad", "reason": "FieldValueInvalid"});
            let details = json!({"causes": [cause]});
            deny(&mut response, json!({"code": 422, "reason": "Invalid", "message": "bad thing", "details": details}));
        }
        "/warn" => response["warnings"] = json!(["mind the gap"]),
        "/patch" => change(&mut response, &json!([{"op": "add", "path": "/data/hooked", "value": "yes"}])),
        "/patch-bad" => change(&mut response, &json!([{"op": "remove", "path": "/nope"}])),
        "/wrong-uid" => response["uid"] = "other".into(),
        "/http-500" => return (StatusCode::INTERNAL_SERVER_ERROR, "broken".to_owned()),
        "/garbage" => return (StatusCode::OK, "not json".to_owned()),
        _ => {}
    }
    let review = json!({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response});
    (StatusCode::OK, review.to_string())
}

/// `v1` calls `hostname` what other versions call `host`.
fn converted(review: &Value) -> Value {
    let request = &review["request"];
    let version = request["desiredAPIVersion"].as_str().unwrap();
    let (from, to) = if version.ends_with("/v1") { ("host", "hostname") } else { ("hostname", "host") };
    let convert = |object: &Value| {
        let mut object = object.clone();
        object["apiVersion"] = version.into();
        if let Some(value) = object["spec"].as_object_mut().and_then(|spec| spec.remove(from)) {
            object["spec"][to] = value;
        }
        object
    };
    let objects: Vec<Value> = request["objects"].as_array().unwrap().iter().map(convert).collect();
    json!({"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": objects})
}
