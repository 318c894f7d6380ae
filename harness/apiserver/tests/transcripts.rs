//! Replays what a real Kubernetes 1.36 answered, and expects the same answers.
//!
//! `transcripts/*.json` are recordings: requests in order, with the real server's responses where they were kept. A
//! step without a response is sent all the same, because later steps build on it. Values that differ from server to
//! server are replaced by first-seen placeholders (`normal`), on both sides alike.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod hook;
mod normal;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use hook::Hook;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use normal::Normal;
use regex::Regex;
use serde_json::{Map, Value, json};
use slipway_apiserver::access::user::MASTERS;
use slipway_apiserver::clock::Clock;
use slipway_apiserver::service::{ApiServer, Config, User};
use tower::ServiceExt;

const TOKEN: &str = "admintoken";
/// The day of the recordings: tables say how long ago something was.
const RECORDED: &str = "2026-11-21T12:00:00Z";
/// How the recordings name the webhooks.
const HOOK_URL: &str = "${hook}";

/// Each test is one recording, on a server of its own, in virtual time.
macro_rules! transcripts {
    ($($name:ident: $what:literal,)*) => {$(
        #[doc = $what]
        #[tokio::test(start_paused = true)]
        async fn $name() {
            replay(stringify!($name), include_str!(concat!("transcripts/", stringify!($name), ".json"))).await;
        }
    )*};
}

transcripts! {
    admission_policy: "Admission policies judge in CEL as on a real server.",
    access: "Rights are granted and refused as by a real server.",
    apply: "Server-side apply merges, owns and conflicts as on a real server.",
    conversion: "Custom resources are converted by webhooks as by those of a real server.",
    crd: "Custom resources are served, validated, defaulted and pruned as by a real server.",
    crud: "Objects are created, read, updated and deleted as by a real server.",
    deletion: "Finalizers, grace periods, eviction and binding behave as on a real server.",
    jobs: "Jobs are defaulted and validated as by a real server.",
    lists: "Selectors, pages and tables are as a real server's.",
    namespaces: "Namespaces come to life and terminate as on a real server.",
    patches: "Patches of every type do what they do on a real server.",
    pods: "Pods are defaulted and validated as by a real server.",
    serviceaccounts: "Service accounts get tokens, and speak with them, as on a real server.",
    watch: "Watches tell what a real server's tell.",
    webhook_config: "Configurations of webhooks are defaulted as by a real server.",
    webhooks_mutating: "Webhooks change objects as on a real server, and are asked the same.",
    webhooks_validating: "Webhooks refuse, warn, fail and are passed over as on a real server.",
    workloads: "Workloads, budgets and roles are defaulted and validated as by a real server.",
}

async fn replay(name: &str, text: &str) {
    let transcript: Value = serde_json::from_str(text).unwrap();
    let tokens = vec![(TOKEN.to_owned(), User::new("admin", [MASTERS]))];
    let clock = Clock::starting_at(RECORDED.parse().unwrap());
    let server = ApiServer::new(Config { clock, tokens, ..Config::default() });
    let hook = Arc::new(Hook::default());
    server.set_service_dialer(hook.clone());
    if text.contains(HOOK_URL) {
        let service = json!({"metadata": {"name": "hook"}, "spec": {"ports": [{"port": 443}]}});
        let (status, ..) =
            send(&server, &json!({"method": "POST", "path": "/api/v1/namespaces/default/services", "body": service}))
                .await;
        assert_eq!(status, 201);
    }
    let (mut variables, mut normal) = (HashMap::new(), Normal::default());
    let mut report = String::new();
    let (mut equal, mut total) = (0, 0);
    for (i, step) in transcript["steps"].as_array().unwrap().iter().enumerate() {
        let mut request = substitute(&step["request"], &variables);
        behind_service(&mut request);
        let got = if request["method"] == "REVIEWS" {
            reviews(step, hook.take(), &mut normal)
        } else {
            run(&server, step, &request, &mut variables, &mut normal).await
        };
        let Some(want) = step.get("response") else { continue };
        total += 1;
        if same(want, &got) {
            equal += 1;
        } else {
            let what = format!("{} {}", request["method"], request["path"]);
            writeln!(report, "step {i} {what}\n  want {want}\n  got  {got}").unwrap();
        }
    }
    assert_eq!(equal, total, "{name}: {equal} of {total} answers are equal\n{report}");
}

/// Lets a webhook that is reached by URL be reached through its Service, wherever a body names it.
fn behind_service(value: &mut Value) {
    match value {
        Value::String(text) if text.contains(HOOK_URL) => {
            // A patch is a text.
            let mut patch: Value = serde_json::from_str(text).unwrap();
            behind_service(&mut patch);
            *text = patch.to_string();
        }
        Value::Object(fields) => {
            let path = fields.get("url").and_then(Value::as_str).and_then(|url| url.strip_prefix(HOOK_URL));
            if let Some(path) = path.map(str::to_owned) {
                fields.remove("url");
                fields.insert("service".to_owned(), json!({"namespace": "default", "name": "hook", "path": path}));
            }
            fields.values_mut().for_each(behind_service);
        }
        Value::Array(items) => items.iter_mut().for_each(behind_service),
        _ => {}
    }
}

/// What the webhooks were asked, in the recorded form.
fn reviews(step: &Value, seen: Vec<Value>, normal: &mut Normal) -> Value {
    let mut body = Value::Array(Vec::new());
    for review in seen {
        // The uid of a review comes first in it.
        normal.value(&review["body"]["request"]["uid"]);
        body.as_array_mut().unwrap().push(normal.value(&review));
    }
    if let Some(only) = step["only"].as_array() {
        let picked = only.iter().filter_map(Value::as_str);
        body = picked.map(|p| (p.to_owned(), body.pointer(p).cloned().unwrap_or_default())).collect();
    }
    json!({"status": 0, "body": body})
}

/// Sends a step's request and brings the answer into the recorded form.
async fn run(
    server: &ApiServer,
    step: &Value,
    request: &Value,
    variables: &mut HashMap<String, Value>,
    normal: &mut Normal,
) -> Value {
    let (status, warnings, mut body) = send(server, request).await;
    if let Some(events) = body.as_array_mut() {
        events.iter_mut().filter(|e| e["type"] == "BOOKMARK").for_each(shorten_bookmark);
    }
    for (name, pointer) in step["capture"].as_object().into_iter().flatten() {
        let value = body.pointer(pointer.as_str().unwrap()).cloned().unwrap_or_else(|| "MISSING".into());
        variables.insert(name.clone(), value);
    }
    let mut body = normal.value(&body);
    sort_causes(&mut body);
    let pointers = |name: &str| step[name].as_array().map(|p| p.iter().filter_map(Value::as_str).collect::<Vec<_>>());
    if let Some(only) = pointers("only") {
        let picked = only.iter().map(|p| ((*p).to_owned(), body.pointer(p).cloned().unwrap_or_default()));
        body = Value::Object(picked.collect());
    }
    for pointer in pointers("drop").unwrap_or_default() {
        let (parent, leaf) = pointer.rsplit_once('/').unwrap();
        if let Some(parent) = body.pointer_mut(parent).and_then(Value::as_object_mut) {
            parent.remove(leaf);
        }
    }
    let mut out = json!({"status": status, "body": body});
    if !warnings.is_empty() {
        out["warnings"] = json!(warnings);
    }
    out
}

async fn send(server: &ApiServer, request: &Value) -> (u16, Vec<String>, Value) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut headers: Map<String, Value> = Map::new();
    headers.insert("accept".to_owned(), "application/json".into());
    headers.insert("authorization".to_owned(), format!("Bearer {TOKEN}").into());
    let body = match &request["body"] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        object => {
            headers.insert("content-type".to_owned(), "application/json".into());
            object.to_string()
        }
    };
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        headers.insert(name.to_lowercase(), value.clone());
    }
    // The recordings spell some parameters with characters that an URI has to escape.
    let path = text(&request["path"]).replace(' ', "%20");
    let mut builder = Request::builder().method(text(&request["method"]).as_str()).uri(&path);
    for (name, value) in headers.iter().filter(|(_, value)| value.is_string()) {
        builder = builder.header(name, text(value));
    }
    let response = server.clone().oneshot(builder.body(Full::from(body)).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let warnings = response.headers().get_all(header::WARNING).iter().map(|w| w.to_str().unwrap().to_owned()).collect();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let answer = String::from_utf8(bytes.to_vec()).unwrap().replace(hook::AUTHORITY, "hook");
    let watched = (path.contains("watch=") || path.contains("/watch/")) && status == 200;
    let body = if watched {
        answer.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect()
    } else {
        serde_json::from_str(&answer).unwrap_or_else(|_| answer.into())
    };
    (status, warnings, body)
}

fn shorten_bookmark(event: &mut Value) {
    let object = &event["object"];
    event["object"] = json!({
        "kind": object["kind"], "apiVersion": object["apiVersion"], "annotations": object["metadata"]["annotations"],
    });
}

/// The order of several causes is not fixed, so neither is the message that lists them.
fn sort_causes(body: &mut Value) {
    let Some(causes) = body.pointer_mut("/details/causes").and_then(Value::as_array_mut) else { return };
    if causes.len() < 2 {
        return;
    }
    causes.sort_by_key(|c| (c["field"].to_string(), c["message"].to_string()));
    body["message"] = "several causes".into();
}

/// Equal, but for messages that quote the real server's own parsers.
fn same(want: &Value, got: &Value) -> bool {
    match (want, got) {
        (Value::Object(want), Value::Object(got)) => {
            want.len() == got.len()
                && want.iter().all(|(name, want)| {
                    let any = matches!(name.as_str(), "message" | "/message") && want == "(any)";
                    got.get(name).is_some_and(|got| (any && got.is_string()) || same(want, got))
                })
        }
        (Value::Array(want), Value::Array(got)) => {
            want.len() == got.len() && want.iter().zip(got).all(|(want, got)| same(want, got))
        }
        (want, got) => want == got,
    }
}

/// Puts captured values in for `${name}` and `${name:int}`.
fn substitute(value: &Value, variables: &HashMap<String, Value>) -> Value {
    static VARIABLE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$\{(\w+)\}").unwrap());
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\$\{(\w+):int\}$").unwrap());
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::String(s) => match NUMBER.captures(s) {
            Some(found) => text(&variables[&found[1]]).parse::<i64>().unwrap().into(),
            None => VARIABLE
                .replace_all(s, |found: &regex::Captures<'_>| {
                    let known =
                        if &found[1] == "ca" { Some(String::new()) } else { variables.get(&found[1]).map(text) };
                    known.unwrap_or_else(|| found[0].to_owned())
                })
                .into_owned()
                .into(),
        },
        Value::Array(items) => items.iter().map(|item| substitute(item, variables)).collect(),
        Value::Object(fields) => fields.iter().map(|(k, v)| (k.clone(), substitute(v, variables))).collect(),
        other => other.clone(),
    }
}
