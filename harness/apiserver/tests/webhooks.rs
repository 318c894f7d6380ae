//! Webhooks behind Services, asked without a socket: who is asked, about what, and what the client hears.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::fmt;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use slipway_apiserver::dial::{Dialled, ServiceDialer, ServicePort, Unanswered};
use slipway_apiserver::service::{ApiServer, Config, User};
use tower::ServiceExt;

type Answer = Box<dyn Fn(&str, &Value) -> Value + Send + Sync>;

/// Answers a review's request, by the path it is sent to, and remembers what was asked. No answer means that nobody
/// listens.
struct Hooks {
    answer: Answer,
    seen: Mutex<Vec<(String, Value)>>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

impl ServiceDialer for Hooks {
    fn dial(&self, _service: ServicePort, request: Request<Bytes>) -> Dialled {
        let path = request.uri().path().to_owned();
        let review: Value = serde_json::from_slice(request.body()).unwrap();
        self.seen.lock().unwrap().push((path.clone(), review["request"].clone()));
        let mut response = (self.answer)(&path, &review["request"]);
        let answer = if response.is_null() {
            Err(Unanswered("connect: connection refused".to_owned()))
        } else {
            response["uid"] = review["request"]["uid"].clone();
            let body = json!({"kind": review["kind"], "apiVersion": review["apiVersion"], "response": response});
            Ok(Response::new(Bytes::from(body.to_string())))
        };
        Box::pin(async move { answer })
    }
}

struct Cluster {
    server: ApiServer,
    hooks: Arc<Hooks>,
}

impl Cluster {
    async fn new(answer: impl Fn(&str, &Value) -> Value + Send + Sync + 'static) -> Self {
        let server = ApiServer::new(Config::default());
        let hooks = Arc::new(Hooks { answer: Box::new(answer), seen: Mutex::default() });
        server.set_service_dialer(hooks.clone());
        let cluster = Self { server, hooks };
        let service = json!({"metadata": {"name": "hook"}, "spec": {"ports": [{"port": 443}]}});
        cluster.made("/api/v1/namespaces/default/services", &service).await;
        cluster
    }

    async fn send(&self, method: &str, path: &str, media: &str, body: &Value) -> (u16, HeaderMap, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, media);
        let request = request.body(Full::from(body)).unwrap();
        let response = self.server.as_user(User::admin()).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), parts.headers, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn create(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, _, body) = self.send("POST", path, "application/json", body).await;
        (status, body)
    }

    async fn made(&self, path: &str, body: &Value) -> Value {
        let (status, made) = self.create(path, body).await;
        assert_eq!(status, 201, "{made}");
        made
    }

    /// Registers webhooks, each of which is asked at the path of its name.
    async fn register(&self, mutating: bool, name: &str, hooks: &[(&str, Value)]) {
        let hooks: Vec<Value> = hooks.iter().map(|(name, more)| {
            let mut hook = json!({
                "name": format!("{name}.example.com"), "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "clientConfig": {"service": {"namespace": "default", "name": "hook", "path": format!("/{name}")}},
                "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
            });
            hook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            hook
        }).collect();
        let plural = if mutating { "mutatingwebhookconfigurations" } else { "validatingwebhookconfigurations" };
        let configuration = json!({"metadata": {"name": name}, "webhooks": hooks});
        self.made(&format!("/apis/admissionregistration.k8s.io/v1/{plural}"), &configuration).await;
    }

    /// Paths that were asked since the last time, with what `of` finds in each request.
    fn asked(&self, of: &str) -> Vec<String> {
        let seen = std::mem::take(&mut *self.hooks.seen.lock().unwrap());
        let found = |request: &Value| {
            request.pointer(of).map_or(String::new(), |v| v.as_str().map_or(v.to_string(), str::to_owned))
        };
        seen.iter().map(|(path, request)| format!("{path} {}", found(request)).trim().to_owned()).collect()
    }
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"a": "1"}})
}

fn rules(operation: &str, group: &str, version: &str, resource: &str) -> Value {
    json!([{"operations": [operation], "apiGroups": [group], "apiVersions": [version], "resources": [resource]}])
}

fn allowed(_: &str, _: &Value) -> Value {
    json!({"allowed": true})
}

fn patched(path: &str, value: &str) -> Value {
    let operations = json!([{"op": "add", "path": path, "value": value}]).to_string();
    json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(operations)})
}

#[tokio::test(start_paused = true)]
async fn a_webhook_holds_an_eviction_and_the_client_hears_when_to_ask_again() {
    let hold = json!({"allowed": false, "status": {
        "code": 429, "reason": "TooManyRequests", "message": "draining", "details": {"retryAfterSeconds": 7},
    }});
    let cluster = Cluster::new(move |_, _| hold.clone()).await;
    let pod =
        json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}});
    cluster.made("/api/v1/namespaces/default/pods", &pod).await;
    let rules = rules("CREATE", "", "v1", "pods/eviction");
    cluster.register(false, "gate", &[("gate", json!({"rules": rules}))]).await;
    let eviction = json!({"metadata": {"name": "p"}});
    let path = "/api/v1/namespaces/default/pods/p/eviction";
    let (status, headers, body) = cluster.send("POST", path, "application/json", &eviction).await;
    assert_eq!((status, headers[header::RETRY_AFTER].to_str().unwrap()), (429, "7"));
    assert_eq!(body["details"]["retryAfterSeconds"], 7);
    assert_eq!(body["message"], "admission webhook \"gate.example.com\" denied the request: draining");
    let (_, _, pod) = cluster.send("GET", "/api/v1/namespaces/default/pods/p", "", &Value::Null).await;
    assert!(pod["metadata"]["deletionTimestamp"].is_null(), "the pod stays");
    assert!(pod["status"]["conditions"].is_null(), "and nothing is noted on it");
    assert_eq!(cluster.asked("/kind/kind"), ["/gate Eviction"]);
    // An eviction deletes the pod, but it is no deletion that webhooks are asked about.
    let (status, ..) = cluster.send("DELETE", "/api/v1/namespaces/default/pods/p", "", &Value::Null).await;
    assert_eq!((status, cluster.asked("").len()), (200, 0));
}

#[tokio::test(start_paused = true)]
async fn a_webhook_without_its_service_is_not_reached() {
    let cluster = Cluster::new(|_, _| Value::Null).await;
    let client = |name: &str, port: u16| json!({"clientConfig": {"service": {"namespace": "default", "name": name, "port": port}}});
    let cases = [
        ("hook", 443, "connect: connection refused"),
        ("hook", 8443, "no service port 8443 found for service \"hook\""),
        ("gone", 443, "service \"gone\" not found"),
    ];
    for (i, (service, port, why)) in cases.into_iter().enumerate() {
        let name = format!("c{i}");
        cluster.register(false, &name, &[("w", client(service, port))]).await;
        let (status, body) = cluster.create(MAPS, &map("m")).await;
        let url = format!("https://{service}.default.svc:{port}/?timeout=10s");
        let message = format!(
            "Internal error occurred: failed calling webhook \"w.example.com\": failed to call webhook: Post \"{url}\": {why}"
        );
        assert_eq!((status, body["message"].as_str().unwrap()), (500, message.as_str()));
        let path = format!("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{name}");
        assert_eq!(cluster.send("DELETE", &path, "", &Value::Null).await.0, 200);
    }
    let mut ignoring = client("gone", 443);
    ignoring["failurePolicy"] = "Ignore".into();
    cluster.register(false, "ignoring", &[("w", ignoring)]).await;
    cluster.made(MAPS, &map("m")).await;
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_wishes_so_is_asked_again_once_others_changed_the_object() {
    let answer = |path: &str, _: &Value| match path {
        "/later" => patched("/data/later", "yes"),
        _ => json!({"allowed": true}),
    };
    let cluster = Cluster::new(answer).await;
    let again = json!({"reinvocationPolicy": "IfNeeded"});
    let first = [("again", again.clone()), ("once", json!({})), ("later", json!({})), ("last", again)];
    cluster.register(true, "a", &first).await;
    let made = cluster.made(MAPS, &map("m")).await;
    assert_eq!(made["data"], json!({"a": "1", "later": "yes"}));
    let wanted = ["/again null", "/once null", "/later null", "/last \"yes\"", "/again \"yes\""];
    let asked: Vec<String> = cluster
        .asked("/object/data")
        .iter()
        .map(|line| {
            let (path, data) = line.split_once(' ').unwrap();
            let data: Value = serde_json::from_str(data).unwrap();
            format!("{path} {}", data["later"])
        })
        .collect();
    assert_eq!(asked, wanted);
}

#[tokio::test(start_paused = true)]
async fn configurations_are_asked_in_the_order_of_their_names_and_each_sees_what_was_changed_before() {
    let answer = |path: &str, request: &Value| {
        let at = request["object"]["data"]["at"].as_str().unwrap_or_default();
        patched("/data/at", &format!("{at}{path}"))
    };
    let cluster = Cluster::new(answer).await;
    for name in ["c", "a", "b"] {
        cluster.register(true, name, &[(name, json!({}))]).await;
    }
    assert_eq!(cluster.made(MAPS, &map("m")).await["data"]["at"], "/a/b/c");
}

#[tokio::test(start_paused = true)]
async fn what_a_webhook_makes_of_an_object_is_defaulted_and_validated() {
    let cluster = Cluster::new(|_, request| match request["object"]["metadata"]["name"].as_str() {
        Some("bad") => patched("/metadata/labels", "no map"),
        _ => patched("/spec/restartPolicy", "Sometimes"),
    })
    .await;
    let rules = rules("CREATE", "", "v1", "pods");
    cluster.register(true, "pods", &[("w", json!({"rules": rules}))]).await;
    let pod = |name: &str| json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let pods = "/api/v1/namespaces/default/pods";
    let (status, body) = cluster.create(pods, &pod("bad")).await;
    assert_eq!((status, body["reason"].as_str().unwrap()), (500, "InternalError"), "labels are no text: {body}");
    let (status, body) = cluster.create(pods, &pod("wrong")).await;
    assert_eq!((status, body["details"]["causes"][0]["field"].as_str().unwrap()), (422, "spec.restartPolicy"));
}

#[tokio::test(start_paused = true)]
async fn a_webhook_with_side_effects_refuses_trial_runs_and_is_not_asked() {
    let cluster = Cluster::new(allowed).await;
    cluster.register(false, "old", &[("w", json!({"sideEffects": "NoneOnDryRun"}))]).await;
    let (status, _) = cluster.create(&format!("{MAPS}?dryRun=All"), &map("m")).await;
    assert_eq!((status, cluster.asked("/dryRun")), (201, vec!["/w true".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn every_verb_is_put_to_the_webhook_as_what_it_is() {
    let cluster = Cluster::new(allowed).await;
    let all = json!([{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]);
    cluster.register(false, "all", &[("w", json!({"rules": all}))]).await;
    let asked = || {
        let seen = std::mem::take(&mut *cluster.hooks.seen.lock().unwrap());
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        seen.iter()
            .map(|(_, r)| {
                format!(
                    "{} {}/{} {} {} {}",
                    text(&r["operation"]),
                    text(&r["resource"]["resource"]),
                    text(&r["subResource"]),
                    text(&r["kind"]["kind"]),
                    text(&r["name"]),
                    text(&r["options"]["kind"]),
                )
            })
            .collect::<Vec<_>>()
    };
    let deployment = json!({"metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    }});
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    cluster.made(deployments, &deployment).await;
    assert_eq!(asked(), ["CREATE deployments/- Deployment d CreateOptions"]);
    let merge = "application/merge-patch+json";
    let scale = json!({"spec": {"replicas": 3}});
    let (status, ..) = cluster.send("PATCH", &format!("{deployments}/d/scale"), merge, &scale).await;
    assert_eq!((status, asked()), (200, vec!["UPDATE deployments/scale Scale d UpdateOptions".to_owned()]));
    let status_patch = json!({"status": {"replicas": 1}});
    let (status, ..) = cluster.send("PATCH", &format!("{deployments}/d/status"), merge, &status_patch).await;
    assert_eq!((status, asked()), (200, vec!["UPDATE deployments/status Deployment d UpdateOptions".to_owned()]));
    let (status, ..) = cluster.send("DELETE", deployments, "", &Value::Null).await;
    assert_eq!((status, asked()), (200, vec!["DELETE deployments/- Deployment - DeleteOptions".to_owned()]));
    cluster.made("/api/v1/namespaces", &json!({"metadata": {"name": "n"}})).await;
    let review = json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    cluster.made("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await;
    assert_eq!(
        asked(),
        [
            "CREATE namespaces/- Namespace n CreateOptions",
            "CREATE selfsubjectaccessreviews/- SelfSubjectAccessReview - CreateOptions",
        ]
    );
    cluster.register(false, "other", &[("x", json!({}))]).await;
    assert!(asked().is_empty(), "no webhook is asked about webhooks");
}

#[tokio::test(start_paused = true)]
async fn a_rule_for_one_version_catches_the_others_unless_it_is_meant_exactly() {
    let cluster = Cluster::new(allowed).await;
    let rules = rules("CREATE", "events.k8s.io", "v1", "events");
    let hook = |policy: &str| json!({"rules": rules.clone(), "matchPolicy": policy});
    cluster.register(false, "events", &[("equivalent", hook("Equivalent")), ("exact", hook("Exact"))]).await;
    let event =
        json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}, "reason": "r", "type": "Normal"});
    cluster.made("/api/v1/namespaces/default/events", &event).await;
    let seen = std::mem::take(&mut *cluster.hooks.seen.lock().unwrap());
    let [(path, request)] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!(path, "/equivalent");
    assert_eq!(request["kind"], json!({"group": "events.k8s.io", "version": "v1", "kind": "Event"}));
    assert_eq!(request["requestKind"], json!({"group": "", "version": "v1", "kind": "Event"}));
    assert_eq!(request["object"]["apiVersion"], "events.k8s.io/v1");
}

#[tokio::test(start_paused = true)]
async fn all_validating_webhooks_are_heard_and_one_refusal_is_enough() {
    let cluster = Cluster::new(|path, _| match path {
        "/no" => json!({"allowed": false, "warnings": ["too late"]}),
        _ => json!({"allowed": true, "warnings": ["mind the gap"]}),
    })
    .await;
    cluster.register(false, "v", &[("yes", json!({})), ("no", json!({})), ("also", json!({}))]).await;
    let (status, headers, body) = cluster.send("POST", MAPS, "application/json", &map("m")).await;
    let warnings: Vec<&str> = headers.get_all(header::WARNING).iter().map(|w| w.to_str().unwrap()).collect();
    assert_eq!(status, 400);
    assert_eq!(body["message"], "admission webhook \"no.example.com\" denied the request without explanation");
    assert_eq!(warnings, ["299 - \"mind the gap\"", "299 - \"too late\""]);
    assert_eq!(cluster.asked("").len(), 3);
}
