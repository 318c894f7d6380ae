//! The controller's decisions as tables, and its edges against a mock API server.

mod api_errors;
mod decisions;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use crate::api::hello::Hello;

use super::FINALIZER;

/// The moment every test happens at.
fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

/// An object that nobody has looked at yet.
fn hello(foo: Option<&str>) -> Hello {
    let mut hello: Hello = serde_json::from_value(json!({
        "apiVersion": "demo.example.com/v1alpha1",
        "kind": "Hello",
        "metadata": { "name": "world", "namespace": "demo", "uid": "u", "generation": 1, "resourceVersion": "7" },
        "spec": {},
    }))
    .unwrap();
    hello.spec.foo = foo.map(str::to_owned);
    hello
}

fn held(mut hello: Hello) -> Hello {
    hello.metadata.finalizers = Some(vec!["example.com/other".to_owned(), FINALIZER.to_owned()]);
    hello
}

fn deleted(mut hello: Hello) -> Hello {
    hello.metadata.deletion_timestamp = Some(Time(now()));
    hello
}
