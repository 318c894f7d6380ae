//! What the API server sees of an operator at work, without a word from the operator: how long it takes to react, to
//! settle, to clean up and to drain, and what it asks for meanwhile. Pure: it is told, and keeps count.
//!
//! | observation | what it is |
//! |---|---|
//! | `reconcile` | write of a generation → first status that observes it |
//! | `settle` | write of a generation → `Ready`, or a state that says it failed |
//! | `job` | Job created → Job finished |
//! | `cleanup` | deletion of a custom resource asked for → gone |
//! | `drain` | first eviction or deletion of a Pod → gone |
//! | `held` | first eviction of a Pod that was held → the one that was let through |
//! | `evictions_held` | evictions held at one time |
//! | `calls`, `conflicts`, `throttled`, `server_errors` | requests of the operator, and how they were answered; keeping its Lease is not counted, as it goes by time and not by work |
//! | `idle_writes` | writes of the operator that changed nothing |
//! | `watch_restarts` | watches of the operator that were refused, so that it has to list again |
//! | `work` | generations and deletions that the operator had to look at |

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::exposition::Series;
use super::histogram::Histogram;

/// What leaders are elected by.
const LEASES: &str = "leases.coordination.k8s.io";

/// A request and how it was answered.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Kubernetes' verb.
    pub verb: &'a str,
    /// The resource as `plural.group`, or its plural alone in the core group.
    pub resource: &'a str,
    /// The subresource, empty for the object itself.
    pub subresource: &'a str,
    /// The namespace, empty at cluster scope.
    pub namespace: &'a str,
    /// The object's name, empty for collections.
    pub name: &'a str,
    /// The HTTP status of the answer.
    pub status: u16,
    /// Whether the operator under test asked.
    pub by_operator: bool,
    /// When it was answered.
    pub at: Timestamp,
    /// The server's revision before and after.
    pub revisions: (u64, u64),
}

/// A write to an object, as it was stored.
#[derive(Clone, Debug)]
pub struct Change<'a> {
    /// The resource as `plural.group`, or its plural alone in the core group.
    pub resource: &'a str,
    /// The object before; none when it is new.
    pub before: Option<&'a Value>,
    /// The object after, or its last state when it is gone.
    pub object: &'a Value,
    /// Whether it is gone.
    pub gone: bool,
    /// When.
    pub at: Timestamp,
    /// The revision of the write.
    pub revision: u64,
}

/// What was seen of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observations {
    /// How long things took, by observation and resource.
    pub latencies: Vec<(Series, Histogram)>,
    /// How often things happened.
    pub counts: Vec<Series>,
    /// The most there was at one time.
    pub peaks: Vec<Series>,
}

/// Keeps count while it is told.
#[derive(Debug, Default)]
pub struct Recorder {
    latencies: BTreeMap<(&'static str, String), Histogram>,
    counts: BTreeMap<(&'static str, String, String), u64>,
    /// Generations that have not settled yet, by uid.
    waiting: HashMap<String, Waiting>,
    /// Since when objects are being deleted, and Jobs are at work, by uid.
    deleting: HashMap<String, Timestamp>,
    jobs: HashMap<String, Timestamp>,
    /// Since when Pods are asked to go, and evictions are held, by namespace and name.
    leaving: HashMap<(String, String), Timestamp>,
    held: HashMap<(String, String), Timestamp>,
    held_max: usize,
    /// The revision of the last write to each object.
    written: HashMap<(String, String, String), u64>,
}

#[derive(Debug)]
struct Waiting {
    generation: i64,
    since: Timestamp,
    observed: bool,
}

/// Groups of the server itself; every other one is somebody's own.
fn is_custom(resource: &str) -> bool {
    match resource.split_once('.') {
        None => false,
        Some((_, group)) => !matches!(group, "apps" | "batch" | "autoscaling" | "policy") && !group.ends_with("k8s.io"),
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn generation(object: &Value) -> i64 {
    object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default()
}

fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    object.pointer("/status/conditions")?.as_array()?.iter().find(|condition| condition["type"] == type_)
}

/// The generation that the status is about.
fn observed(object: &Value) -> i64 {
    let told = object.pointer("/status/observedGeneration").and_then(Value::as_i64);
    let by_condition = || condition(object, "Ready")?.get("observedGeneration")?.as_i64();
    told.or_else(by_condition).unwrap_or_default()
}

/// Whether nothing more is to be expected for this generation.
fn is_settled(object: &Value) -> bool {
    let failed = |pointer| matches!(text(object, pointer), "Failed" | "Error");
    condition(object, "Ready").is_some_and(|ready| ready["status"] == "True")
        || failed("/status/state")
        || failed("/status/phase")
}

fn is_finished(job: &Value) -> bool {
    ["Complete", "Failed"].iter().any(|type_| condition(job, type_).is_some_and(|found| found["status"] == "True"))
}

impl Recorder {
    /// A write was stored.
    pub fn change(&mut self, change: &Change<'_>) {
        let (object, at) = (change.object, change.at);
        let name = (text(object, "/metadata/namespace").to_owned(), text(object, "/metadata/name").to_owned());
        let uid = text(object, "/metadata/uid");
        self.written.insert((change.resource.to_owned(), name.0.clone(), name.1.clone()), change.revision);
        let is_deleting = |object: &Value| object.pointer("/metadata/deletionTimestamp").is_some();
        let asked_to_go = is_deleting(object) && !change.before.is_some_and(is_deleting);
        if is_custom(change.resource) {
            self.custom(change, uid, asked_to_go);
        }
        match change.resource {
            "jobs.batch" => {
                if change.before.is_none() {
                    self.jobs.insert(uid.to_owned(), at);
                } else if is_finished(object)
                    && let Some(since) = self.jobs.remove(uid)
                {
                    self.took("job", change.resource, since, at);
                }
                if change.gone {
                    self.jobs.remove(uid);
                }
            }
            "pods" if change.gone => {
                self.held.remove(&name);
                if let Some(since) = self.leaving.remove(&name) {
                    self.took("drain", change.resource, since, at);
                }
            }
            "pods" if asked_to_go => {
                self.leaving.entry(name).or_insert(at);
            }
            _ => {}
        }
    }

    fn custom(&mut self, change: &Change<'_>, uid: &str, asked_to_go: bool) {
        let (object, at) = (change.object, change.at);
        if change.gone {
            self.waiting.remove(uid);
            if let Some(since) = self.deleting.remove(uid) {
                self.took("cleanup", change.resource, since, at);
            }
            return;
        }
        let now = generation(object);
        if asked_to_go {
            self.deleting.insert(uid.to_owned(), at);
            self.waiting.remove(uid);
            self.count("work", "", change.resource);
        } else if change.before.is_none_or(|before| generation(before) < now) && !self.deleting.contains_key(uid) {
            self.waiting.insert(uid.to_owned(), Waiting { generation: now, since: at, observed: false });
            self.count("work", "", change.resource);
        }
        let Some(waiting) = self.waiting.get_mut(uid) else { return };
        if observed(object) < waiting.generation {
            return;
        }
        let since = waiting.since;
        if !std::mem::replace(&mut waiting.observed, true) {
            self.took("reconcile", change.resource, since, at);
        }
        if is_settled(object) {
            self.waiting.remove(uid);
            self.took("settle", change.resource, since, at);
        }
    }

    /// A request was answered.
    pub fn call(&mut self, call: &Call<'_>) {
        if call.resource == "pods" && call.subresource == "eviction" && call.verb == "create" {
            self.eviction(call);
        }
        if !call.by_operator || call.resource.is_empty() || call.resource == LEASES {
            return;
        }
        self.count("calls", call.verb, call.resource);
        match call.status {
            409 => self.count("conflicts", call.verb, call.resource),
            429 => self.count("throttled", call.verb, call.resource),
            500.. => self.count("server_errors", call.verb, call.resource),
            _ => {}
        }
        match call.verb {
            "watch" if call.status >= 400 => self.count("watch_restarts", call.verb, call.resource),
            "update" | "patch" if call.status < 300 => {
                let key = (call.resource.to_owned(), call.namespace.to_owned(), call.name.to_owned());
                let (before, after) = call.revisions;
                let changed = self.written.get(&key).is_some_and(|at| (before + 1..=after).contains(at));
                if !changed {
                    self.count("idle_writes", call.verb, call.resource);
                }
            }
            _ => {}
        }
    }

    fn eviction(&mut self, call: &Call<'_>) {
        let name = (call.namespace.to_owned(), call.name.to_owned());
        match call.status {
            429 => {
                self.held.entry(name.clone()).or_insert(call.at);
                self.leaving.entry(name).or_insert(call.at);
                self.held_max = self.held_max.max(self.held.len());
            }
            200..300 => {
                if let Some(since) = self.held.remove(&name) {
                    self.took("held", "pods", since, call.at);
                }
            }
            _ => {}
        }
    }

    fn took(&mut self, what: &'static str, resource: &str, since: Timestamp, until: Timestamp) {
        let took = Duration::try_from(until.duration_since(since)).unwrap_or_default();
        self.latencies.entry((what, resource.to_owned())).or_default().record(took);
    }

    fn count(&mut self, what: &'static str, verb: &str, resource: &str) {
        *self.counts.entry((what, verb.to_owned(), resource.to_owned())).or_default() += 1;
    }

    /// What was seen so far. Counts that stayed at 0 are there too: nothing happened is an answer.
    #[expect(clippy::cast_precision_loss, reason = "nothing happens 2⁵³ times")]
    pub fn observations(&self) -> Observations {
        let series = |name: &str, verb: &str, resource: &str, value: f64| {
            let labels = [("verb", verb), ("resource", resource)];
            let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
            Series {
                name: name.to_owned(),
                labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
                value,
            }
        };
        Observations {
            latencies: self
                .latencies
                .iter()
                .map(|((what, resource), histogram)| (series(what, "", resource, 0.0), histogram.clone()))
                .collect(),
            counts: self
                .counts
                .iter()
                .map(|((what, verb, resource), count)| series(what, verb, resource, *count as f64))
                .collect(),
            peaks: vec![series("evictions_held", "", "pods", self.held_max as f64)],
        }
    }
}

impl Observations {
    /// Adds those of another scenario: latencies and counts together, of peaks the higher one.
    pub fn merge(&mut self, other: &Self) {
        let same = |one: &Series, other: &Series| one.name == other.name && one.labels == other.labels;
        for (series, histogram) in &other.latencies {
            match self.latencies.iter_mut().find(|(known, _)| same(known, series)) {
                Some((_, known)) => known.merge(histogram),
                None => self.latencies.push((series.clone(), histogram.clone())),
            }
        }
        for series in &other.counts {
            match self.counts.iter_mut().find(|known| same(known, series)) {
                Some(known) => known.value += series.value,
                None => self.counts.push(series.clone()),
            }
        }
        for series in &other.peaks {
            match self.peaks.iter_mut().find(|known| same(known, series)) {
                Some(known) => known.value = known.value.max(series.value),
                None => self.peaks.push(series.clone()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HELLO: &str = "hellos.demo.example.com";

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_767_225_600_000 + millis).unwrap()
    }

    fn hello(generation: i64, observed: i64, ready: &str) -> Value {
        json!({
            "metadata": {"uid": "u1", "name": "one", "namespace": "ns", "generation": generation},
            "status": {"observedGeneration": observed, "conditions": [{"type": "Ready", "status": ready}]},
        })
    }

    fn write(recorder: &mut Recorder, resource: &str, before: Option<&Value>, object: &Value, millis: i64) {
        recorder.change(&Change { resource, before, object, gone: false, at: at(millis), revision: 1 });
    }

    fn quantile(recorder: &Recorder, what: &str) -> Option<(u64, f64)> {
        let seen = recorder.observations();
        let found = seen.latencies.iter().find(|(series, _)| series.name == what)?;
        Some((found.1.count(), found.1.quantile(1.0)?))
    }

    #[test]
    fn a_generation_is_reconciled_when_a_status_observes_it_and_settled_when_it_is_ready() {
        let mut recorder = Recorder::default();
        let states =
            [hello(1, 0, "False"), hello(1, 1, "False"), hello(1, 1, "True"), hello(2, 1, "True"), hello(2, 2, "True")];
        write(&mut recorder, HELLO, None, &states[0], 0);
        for (index, at) in [(1, 20), (2, 500), (3, 1000), (4, 1010)] {
            write(&mut recorder, HELLO, Some(&states[index - 1]), &states[index], at);
        }
        let near = |found: Option<(u64, f64)>, count, seconds: f64| {
            let (n, value) = found.unwrap();
            assert!(n == count && (value - seconds).abs() < seconds / 100.0, "{n} {value}");
        };
        near(quantile(&recorder, "reconcile"), 2, 0.02);
        near(quantile(&recorder, "settle"), 2, 0.5);
        let work: f64 =
            recorder.observations().counts.iter().filter(|one| one.name == "work").map(|one| one.value).sum();
        assert!((work - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn an_eviction_that_is_held_counts_from_its_first_try_until_the_pod_is_gone() {
        let mut recorder = Recorder::default();
        let evict = |status, millis| Call {
            verb: "create",
            resource: "pods",
            subresource: "eviction",
            namespace: "ns",
            name: "one",
            status,
            by_operator: false,
            at: at(millis),
            revisions: (1, 1),
        };
        recorder.call(&evict(429, 0));
        recorder.call(&evict(429, 10_000));
        recorder.call(&evict(201, 20_000));
        let pod = json!({"metadata": {"uid": "p", "name": "one", "namespace": "ns", "deletionTimestamp": "x"}});
        write(&mut recorder, "pods", Some(&json!({})), &pod, 20_000);
        recorder.change(&Change {
            resource: "pods",
            before: Some(&pod),
            object: &pod,
            gone: true,
            at: at(25_000),
            revision: 2,
        });
        let (held, drain) = (quantile(&recorder, "held").unwrap().1, quantile(&recorder, "drain").unwrap().1);
        assert!((held - 20.0).abs() < 0.1 && (drain - 25.0).abs() < 0.1, "{held} {drain}");
        assert!((recorder.observations().peaks[0].value - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_write_that_changes_nothing_is_an_idle_one() {
        let mut recorder = Recorder::default();
        let patch = |revisions| Call {
            verb: "patch",
            resource: HELLO,
            subresource: "status",
            namespace: "ns",
            name: "one",
            status: 200,
            by_operator: true,
            at: at(0),
            revisions,
        };
        recorder.change(&Change {
            resource: HELLO,
            before: None,
            object: &hello(1, 0, "False"),
            gone: false,
            at: at(0),
            revision: 5,
        });
        recorder.call(&patch((4, 5)));
        recorder.call(&patch((5, 5)));
        recorder.call(&patch((5, 9)));
        let idle: f64 =
            recorder.observations().counts.iter().filter(|one| one.name == "idle_writes").map(|one| one.value).sum();
        assert!((idle - 2.0).abs() < f64::EPSILON, "{idle}");
    }
}
