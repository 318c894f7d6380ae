//! What the benches have in common: an API server in this process, and requests without a socket.

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use slipway_apiserver::body::Body;
use slipway_apiserver::clock::Clock;
use slipway_apiserver::service::{ApiServer, Config, User, UserService};
use tower::ServiceExt;

/// An administrator at an API server of one's own.
#[derive(Clone, Debug)]
pub struct Admin(UserService);

impl Default for Admin {
    fn default() -> Self {
        let server = ApiServer::new(Config { clock: Clock::system(), seed: 1, ..Config::default() });
        Self(server.as_user(User::admin()))
    }
}

impl Admin {
    /// Asks, and gives what the answer begins with.
    ///
    /// # Panics
    /// When the answer is an error: whatever is measured then, it is not what was meant.
    pub async fn open(&self, method: Method, path: &str, content: &str, body: impl Into<Bytes>) -> Body {
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(header::CONTENT_TYPE, content)
            .body(Full::new(body.into()));
        let Ok(request) = request else { unreachable!("{method} {path} is a request") };
        let Ok(response) = self.0.clone().oneshot(request).await;
        let status = response.status();
        assert!(status == StatusCode::OK || status == StatusCode::CREATED, "{method} {path}: {status}");
        response.into_body()
    }

    /// Asks, and reads all of the answer.
    ///
    /// # Panics
    /// As [`Admin::open`].
    pub async fn ask(&self, method: Method, path: &str, body: &Value) -> Bytes {
        let body = self.open(method, path, "application/json", body.to_string()).await;
        body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default()
    }

    /// Applies by server-side apply, as `manager`.
    ///
    /// # Panics
    /// As [`Admin::open`].
    pub async fn apply(&self, path: &str, manager: &str, object: &Value) -> Bytes {
        let path = format!("{path}?fieldManager={manager}");
        let body = self.open(Method::PATCH, &path, "application/apply-patch+yaml", object.to_string()).await;
        body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default()
    }
}

/// Reads a watch up to the end of an event, which comes in pieces.
///
/// # Panics
/// When the watch ends: then the bench measures nothing any more.
pub async fn line(body: &mut Body) {
    loop {
        let Some(Ok(frame)) = body.frame().await else { unreachable!("the watch has ended") };
        if frame.data_ref().is_some_and(|piece| piece.ends_with(b"\n")) {
            return;
        }
    }
}

/// A runtime for one bench.
///
/// # Panics
/// When there is none to be had.
pub fn runtime() -> tokio::runtime::Runtime {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => unreachable!("a runtime takes no more than memory: {error}"),
    }
}

/// A Pod as clusters have them.
pub fn pod(name: &str) -> Value {
    let settings: Vec<Value> =
        (0..10).map(|at| serde_json::json!({ "name": format!("SETTING_{at}"), "value": "a value" })).collect();
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": { "app": "web", "pod-template-hash": "5d78c9869d" },
            "annotations": { "vpa-managed": "true" },
        },
        "spec": {
            "containers": [{
                "name": "web",
                "image": "registry.example.com/shop/web:1.0",
                "env": settings,
                "resources": { "requests": { "cpu": "10m", "memory": "16Mi" } },
                "ports": [{ "containerPort": 8080 }],
                "readinessProbe": { "httpGet": { "path": "/ready", "port": 8080 } },
                "volumeMounts": [{ "name": "scratch", "mountPath": "/scratch" }],
            }],
            "volumes": [{ "name": "scratch", "emptyDir": {} }],
        },
    })
}
