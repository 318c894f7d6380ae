//! Admission reviews: `AdmissionReview` of `admission.k8s.io/v1` in and out, one path for each reviewer.
//!
//! What is no review is refused with the reason, so that the API server's error says what is wrong; its failure policy
//! then decides. A review that the API server will not wait for any longer is dropped.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionReview, META_API_VERSION_V1, META_KIND};
use serde_json::json;
use tokio::time::Instant;

use crate::kit::admission::Reviewer;
use crate::kit::metrics::WebhookSeries;

/// A review holds an object twice, and the API server takes objects of 3 MiB.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The API server's own default, and the most it can be told to wait.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(30);

pub(in crate::runtime) fn router(reviewers: Vec<Arc<dyn Reviewer>>, series: &WebhookSeries) -> Router {
    let routes = reviewers.into_iter().fold(Router::new(), |router, reviewer| {
        let path = reviewer.path();
        router.route(path, post(review).with_state((reviewer, series.clone())))
    });
    routes.layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

async fn review(
    State((reviewer, series)): State<(Arc<dyn Reviewer>, WebhookSeries)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let path = reviewer.path();
    let began = Instant::now();
    let under_way = UnderWay::new(series.in_flight.with_label_values(&[path]));
    let response = match answer(&*reviewer, query.as_deref(), &headers, body).await {
        Ok(answer) => answer,
        Err(refusal) => {
            tracing::warn!(path, error = %refusal, "admission review refused");
            (refusal.status(), refusal.to_string()).into_response()
        }
    };
    drop(under_way);
    series.time.with_label_values(&[path]).observe(began.elapsed().as_secs_f64());
    series.total.with_label_values(&[path, response.status().as_str()]).inc();
    response
}

/// A review that is counted as under way until this is dropped, answered or not.
struct UnderWay(prometheus::IntGauge);

impl UnderWay {
    fn new(in_flight: prometheus::IntGauge) -> Self {
        in_flight.inc();
        Self(in_flight)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Why something is no review that can be answered.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the content type is {0:?}, and only application/json can be read")]
    ContentType(String),
    #[error("{}", .0.body_text())]
    Body(BytesRejection),
    #[error("the body is no AdmissionReview: {0}")]
    Unreadable(serde_json::Error),
    #[error("the body is {kind} of {version}, and only AdmissionReview of admission.k8s.io/v1 can be answered")]
    Version { kind: String, version: String },
    #[error("the AdmissionReview holds no request")]
    NoRequest,
    #[error("no decision within {0:?}")]
    TimedOut(Duration),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::ContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(rejection) => rejection.status(),
            Self::Unreadable(_) | Self::Version { .. } | Self::NoRequest => StatusCode::BAD_REQUEST,
            Self::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

async fn answer(
    reviewer: &dyn Reviewer,
    query: Option<&str>,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.split(';').next().unwrap_or_default().trim() != "application/json" {
        return Err(Refusal::ContentType(content_type.to_owned()));
    }
    let request = request(&body.map_err(Refusal::Body)?)?;
    let (uid, patience) = (request.uid.clone(), patience(query));
    let decided = tokio::time::timeout(patience, reviewer.review(request)).await;
    let mut response = decided.map_err(|_| Refusal::TimedOut(patience))?;
    response.uid = uid;
    let review = json!({ "apiVersion": META_API_VERSION_V1, "kind": META_KIND, "response": response });
    Ok(([(header::CONTENT_TYPE, "application/json")], review.to_string()).into_response())
}

fn request(body: &[u8]) -> Result<AdmissionRequest<DynamicObject>, Refusal> {
    let review: AdmissionReview<DynamicObject> = serde_json::from_slice(body).map_err(Refusal::Unreadable)?;
    if review.types.kind != META_KIND || review.types.api_version != META_API_VERSION_V1 {
        return Err(Refusal::Version { kind: review.types.kind, version: review.types.api_version });
    }
    review.try_into().map_err(|_| Refusal::NoRequest)
}

/// How long the API server waits, which it says in the query.
fn patience(query: Option<&str>) -> Duration {
    let timeout = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("timeout="));
    let said = timeout.and_then(|timeout| crate::kit::duration::parse(timeout).ok());
    said.map_or(TIMEOUT_DEFAULT, |said| said.min(TIMEOUT_MAX))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use futures::FutureExt;
    use futures::future::BoxFuture;
    use http_body_util::BodyExt;
    use kube::core::admission::AdmissionResponse;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    /// Denies Pods called `no`, and never decides about those called `slow`.
    struct Judge;

    impl Reviewer for Judge {
        fn path(&self) -> &'static str {
            "/judge"
        }

        fn review(&self, request: AdmissionRequest<DynamicObject>) -> BoxFuture<'_, AdmissionResponse> {
            async move {
                let mut response = AdmissionResponse::from(&request);
                match request.name.as_str() {
                    "no" => {
                        response = response.deny("not now");
                        response.result.code = 429;
                    }
                    "slow" => std::future::pending().await,
                    _ => {}
                }
                response
            }
            .boxed()
        }
    }

    fn body(name: &str) -> Value {
        let kind = json!({ "group": "policy", "version": "v1", "kind": "Eviction" });
        let resource = json!({ "group": "", "version": "v1", "resource": "pods" });
        json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u1", "kind": kind, "resource": resource, "subResource": "eviction", "name": name,
            "namespace": "default", "operation": "CREATE", "userInfo": { "username": "someone" },
            "object": { "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": name } },
        }})
    }

    async fn ask(path: &str, content_type: &str, body: String) -> (u16, String) {
        let request = Request::post(path).header("content-type", content_type).body(Body::from(body)).unwrap();
        let answer = router(vec![Arc::new(Judge)], &crate::kit::metrics::Metrics::new().webhooks)
            .oneshot(request)
            .await
            .unwrap();
        let status = answer.status().as_u16();
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(text.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_verdict_comes_back_as_a_review_of_the_same_request() {
        for (name, allowed, code) in [("yes", true, None), ("no", false, Some(429))] {
            let (status, text) =
                ask("/judge?timeout=5s", "application/json; charset=utf-8", body(name).to_string()).await;
            let review: Value = serde_json::from_str(&text).unwrap();
            assert_eq!((status, &review["kind"]), (200, &json!("AdmissionReview")), "{text}");
            assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
            assert_eq!(review["response"]["uid"], "u1");
            assert_eq!(review["response"]["allowed"], allowed);
            assert_eq!(review["response"]["status"].get("code").and_then(Value::as_u64), code, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_review_is_refused_with_the_reason() {
        let (mut old, mut empty) = (body("yes"), body("yes"));
        old["apiVersion"] = "admission.k8s.io/v1beta1".into();
        empty.as_object_mut().unwrap().remove("request");
        let json = "application/json";
        let large = "x".repeat(BODY_BYTES_MAX + 1);
        for (content_type, text, status, reason) in [
            ("text/plain", body("yes").to_string(), 415, "only application/json can be read"),
            (json, "{".to_owned(), 400, "the body is no AdmissionReview"),
            (json, old.to_string(), 400, "AdmissionReview of admission.k8s.io/v1beta1, and only"),
            (json, empty.to_string(), 400, "holds no request"),
            (json, large, 413, "length limit exceeded"),
            (json, body("slow").to_string(), 504, "no decision within 5s"),
        ] {
            let (answered, said) = ask("/judge?timeout=5s", content_type, text).await;
            assert_eq!(answered, status, "{said}");
            assert!(said.contains(reason), "{said}");
        }
        assert_eq!(ask("/other", json, body("yes").to_string()).await.0, 404);
    }

    #[test]
    fn the_api_servers_patience_is_read_from_its_query() {
        for (query, seconds) in
            [(None, 10), (Some("timeout=3s"), 3), (Some("a=b&timeout=1m"), 30), (Some("timeout=soon"), 10)]
        {
            assert_eq!(patience(query), Duration::from_secs(seconds), "{query:?}");
        }
    }
}
