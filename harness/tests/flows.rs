//! Replays what a real controller manager did, step by step, against the embedded one.
//!
//! The recordings in `data/flows` come from Kubernetes 1.36. `act` is a request, some of which play the kubelet; `see`
//! is a state that was then waited for, and that must be reached here too, to the last managed field. What differs from
//! server to server (uids, resource versions, times, generated names) is compared by first appearance.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use regex::Regex;
use serde_json::{Map, Value, json};
use slipway::cluster::embedded::{Cluster, EmbeddedConfig};
use slipway_apiserver::clock::Clock;
use slipway_apiserver::service::User;
use tokio::time::Instant;

/// How long a state is waited for, in virtual time: longer than any back-off in the recordings.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a state is looked at, in virtual time. The recordings name states, not events.
const LOOK: Duration = Duration::from_millis(200);

macro_rules! flows {
    ($($test:ident: $file:literal,)*) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $test() {
                replay(include_str!(concat!("data/flows/", $file, ".json"))).await;
            }
        )*
    };
}

flows! {
    a_job_that_succeeds_is_counted_completed_and_collected: "job-succeeds",
    a_job_that_fails_says_so_after_its_last_retry: "job-fails",
    a_job_retries_after_a_back_off: "job-retries",
    a_job_runs_as_many_pods_as_it_may: "job-parallel",
    a_job_that_takes_too_long_is_stopped: "job-deadline",
    a_finished_job_goes_when_its_time_to_live_is_over: "job-ttl",
    dependents_go_after_their_owner: "gc-background",
    dependents_go_before_an_owner_that_waits_for_them: "gc-foreground",
    dependents_of_an_owner_that_orphans_them_stay: "gc-orphan",
    dependents_of_an_owner_that_never_was_go: "gc-missing-owner",
    a_deployment_keeps_its_pods_and_follows_its_scale: "deployment",
    a_stateful_set_makes_its_pods_in_order: "statefulset",
    a_budget_lets_one_pod_go_and_holds_the_other: "pdb",
    a_namespace_goes_when_nothing_is_left_in_it: "namespace",
}

async fn replay(recording: &str) {
    let recording: Value = serde_json::from_str(recording).expect("a recording");
    let clock = Clock::starting_at("2030-01-01T00:00:00Z".parse().expect("a time"));
    // The recorded server had its ServiceAccount admission plugin off.
    let config = EmbeddedConfig { service_accounts: false, ..EmbeddedConfig::new(clock, 1) };
    let cluster = Cluster::start(config).await.expect("a cluster");
    // Without a user agent, as the recording's client.
    let client = Client::new(cluster.server().as_user(User::admin()), "default");
    let flow = recording["flow"].as_str().expect("a name");
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": format!("f-{flow}")}});
    call(&client, "POST", "/api/v1/namespaces", &namespace).await;

    let mut run = Run {
        client,
        names: Names::default(),
        uids: BTreeMap::new(),
        known: Norm::default(),
        namespace: format!("f-{flow}"),
        evicted: 0,
    };
    let mut acted = Instant::now();
    for step in recording["steps"].as_array().expect("steps") {
        if step.get("act").is_some() {
            run.act(step).await;
            acted = Instant::now();
        } else {
            run.see(step).await;
            if let Some(seconds) = step["seconds_after_failure"].as_u64() {
                let took = acted.elapsed().as_secs();
                assert!((seconds..=seconds + 1).contains(&took), "after {took} s instead of {seconds} s");
            }
        }
    }
    cluster.stop().await;
}

struct Run {
    client: Client,
    names: Names,
    /// Recorded uid to ours.
    uids: BTreeMap<String, String>,
    known: Norm,
    namespace: String,
    /// How many evictions there have been.
    evicted: usize,
}

/// The Pods of a recording and ours: the first that each names is the same Pod, and so on.
#[derive(Clone, Default)]
struct Names {
    recorded: Vec<String>,
    ours: Vec<String>,
}

impl Run {
    async fn act(&mut self, step: &Value) {
        // The recording keeps only the answers of these: the first Pod is evicted, then the second, and so on.
        if step["act"] == "evict" {
            return self.evict(&step["body"]).await;
        }
        let path = self.our_path(step["path"].as_str().expect("a path"));
        let mut body = step["body"].clone();
        self.our_uids(&mut body);
        if body["kind"] == "Eviction" {
            body["metadata"]["name"] = path.split('/').nth_back(1).into();
        }
        let (status, answer) = call(&self.client, step["method"].as_str().expect("a method"), &path, &body).await;
        assert_eq!(Some(u64::from(status.as_u16())), step["status"].as_u64(), "{}: {answer:#}", step["act"]);
        if let (Some(uid), "owner") = (answer["metadata"]["uid"].as_str(), step["act"].as_str().unwrap_or_default()) {
            self.uids.insert("owner".to_owned(), uid.to_owned());
        }
    }

    async fn evict(&mut self, wanted: &Value) {
        // A real server's controllers see the last eviction before the next is asked for.
        tokio::time::sleep(LOOK).await;
        let pod = &self.names.ours[self.evicted];
        self.evicted += 1;
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", self.namespace);
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}});
        let (_, answer) = call(&self.client, "POST", &path, &eviction).await;
        assert_eq!(&answer, wanted);
    }

    async fn see(&mut self, step: &Value) {
        let path = self.our_path(step["path"].as_str().expect("a path"));
        let wanted = tidy(&step["body"]);
        let began = Instant::now();
        loop {
            let (status, mut answer) = call(&self.client, "GET", &path, &Value::Null).await;
            let mut known = self.known.clone();
            let mut names = self.names.clone();
            names.order_like(&step["body"], &mut answer);
            let seen = known.normal(&answer);
            if Some(u64::from(status.as_u16())) == step["status"].as_u64() && seen == wanted {
                (self.known, self.names) = (known, names);
                return;
            }
            if began.elapsed() > PATIENCE {
                let (wanted, seen) = (format!("{wanted:#}"), format!("{seen:#}"));
                let diff = similar::TextDiff::from_lines(&wanted, &seen).unified_diff().to_string();
                panic!("never seen: {}\n{diff}", step["see"]);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A recorded path with our Pods' names in it.
    fn our_path(&mut self, path: &str) -> String {
        let Some((before, after)) = path.split_once("/pods/") else { return path.to_owned() };
        let (name, rest) = after.split_once('/').map_or((after, String::new()), |(n, rest)| (n, format!("/{rest}")));
        if !self.names.recorded.iter().any(|known| known == name) {
            self.names.recorded.push(name.to_owned());
        }
        let at = self.names.recorded.iter().position(|known| known == name).expect("known");
        let ours = self.names.ours.get(at).expect("as many pods as in the recording");
        format!("{before}/pods/{ours}{rest}")
    }

    /// Owner references name our owner, unless they name one that never was.
    fn our_uids(&self, body: &mut Value) {
        let Some(owners) =
            body.get_mut("metadata").and_then(|meta| meta.get_mut("ownerReferences")).and_then(Value::as_array_mut)
        else {
            return;
        };
        for owner in owners {
            if let Some(uid) = self.uids.get("owner") {
                owner["uid"] = uid.as_str().into();
            }
        }
    }
}

impl Names {
    /// Brings the items of our list into the order of the recorded one: names are random, and lists are sorted by them.
    fn order_like(&mut self, recorded: &Value, ours: &mut Value) {
        let Some(items) = ours.get_mut("items").and_then(Value::as_array_mut) else { return };
        // What was given a name of its own needs none of ours.
        for item in items.iter().filter(|item| item["metadata"]["generateName"].is_string()) {
            let name = item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            if !self.ours.contains(&name) {
                self.ours.push(name);
            }
        }
        let number = |item: &Value| {
            let name = item["metadata"]["name"].as_str().unwrap_or_default();
            self.ours.iter().position(|known| known == name).map_or(0, |at| at + 1)
        };
        let recorded_number = |item: &Value| {
            let name = item["metadata"]["name"].as_str().unwrap_or_default();
            name.rsplit_once("gen-").and_then(|(_, number)| number.parse::<usize>().ok()).unwrap_or(0)
        };
        let order: Vec<usize> = recorded["items"].as_array().into_iter().flatten().map(recorded_number).collect();
        items.sort_by_key(|item| order.iter().position(|wanted| *wanted == number(item)));
    }
}

async fn call(client: &Client, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).expect("JSON") };
    let request = Request::builder().method(method).uri(path).header("content-type", kind);
    let response = client.send(request.body(bytes.into()).expect("a request")).await.expect("an answer");
    let status = response.status();
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

/// Placeholders in the order of first appearance, as the recordings have them.
#[derive(Clone, Default)]
struct Norm {
    uids: Vec<String>,
    versions: Vec<String>,
    names: Vec<(String, String)>,
}

impl Norm {
    fn normal(&mut self, value: &Value) -> Value {
        let normal = self.go(value, None, false);
        tidy(&normal)
    }

    fn go(&mut self, value: &Value, key: Option<&str>, of_list: bool) -> Value {
        match value {
            Value::Object(fields) => self.object(fields, key, of_list),
            Value::Array(items) if key == Some("managedFields") => {
                let mut entries: Vec<Value> = items.iter().map(|item| self.go(item, None, false)).collect();
                let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
                let rank =
                    |entry: &Value| ["operation", "manager", "subresource", "apiVersion"].map(|key| text(entry, key));
                entries.sort_by_key(rank);
                Value::Array(entries)
            }
            Value::Array(items) => items.iter().map(|item| self.go(item, None, false)).collect(),
            Value::String(text) => self.text(text).into(),
            other => other.clone(),
        }
    }

    fn object(&mut self, fields: &Map<String, Value>, key: Option<&str>, of_list: bool) -> Value {
        let meta = &fields.get("metadata").cloned().unwrap_or_default();
        if let (Some(prefix), Some(name)) = (meta["generateName"].as_str(), meta["name"].as_str())
            && name.starts_with(prefix)
            && !self.names.iter().any(|(known, _)| known == name)
        {
            let placeholder = format!("{prefix}gen-{}", self.names.len() + 1);
            self.names.push((name.to_owned(), placeholder));
        }
        // A server writes an object's own uid before its labels and owners.
        if let Some(Value::String(uid)) = fields.get("uid") {
            self.text(uid);
        }
        let is_list = fields.contains_key("items");
        let normal = |(name, value): (&String, &Value)| {
            let value = match (name.as_str(), value) {
                ("resourceVersion", Value::String(_)) if key == Some("metadata") && of_list => "rv-list".into(),
                ("resourceVersion", Value::String(version)) if key == Some("metadata") => {
                    format!("rv-{}", place(&mut self.versions, version)).into()
                }
                _ => self.go(value, Some(name), is_list && name == "metadata"),
            };
            (name.clone(), value)
        };
        Value::Object(fields.iter().map(normal).collect())
    }

    fn text(&mut self, text: &str) -> String {
        if TIME.is_match(text) {
            return "time".to_owned();
        }
        let uids = &mut self.uids;
        let mut text =
            UID.replace_all(text, |found: &regex::Captures<'_>| format!("uid-{}", place(uids, &found[0]))).into_owned();
        for (name, placeholder) in &self.names {
            text = text.replace(name, placeholder);
        }
        text
    }
}

/// A value without what the recordings do not replace: uids in the keys of managed fields.
fn tidy(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let key = |key: &String| UID.replace_all(key, "uid").into_owned();
            Value::Object(fields.iter().map(|(k, v)| (key(k), tidy(v))).collect())
        }
        Value::Array(items) => items.iter().map(tidy).collect(),
        other => other.clone(),
    }
}

/// The number of a value, from 1 in the order of first appearance.
fn place(known: &mut Vec<String>, value: &str) -> usize {
    known.iter().position(|known| known == value).unwrap_or_else(|| {
        known.push(value.to_owned());
        known.len() - 1
    }) + 1
}

static UID: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").expect("a pattern"));

static TIME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$").expect("a pattern"));
