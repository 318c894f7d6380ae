//! A layer around the client: every request to the API server is counted, timed, put into a span of its own, and, where
//! there is a fence, held to it.
//!
//! Spans and logs carry the method, the path and the status: no header, no query, no body, so no token and no secret.

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use tokio::time::Instant;
use tower::BoxError;
use tracing::Instrument;

use super::fence::Fence;
use super::metrics::Metrics;

/// Stands for a status where there was no answer.
const NO_ANSWER: &str = "<error>";

/// A client that talks through `client`. `host` is the API server's, for the label of that name.
pub fn observed(client: &Client, host: &str, metrics: &Metrics, fence: Option<Fence>) -> Client {
    let namespace = client.default_namespace().to_owned();
    let (client, host, metrics) = (client.clone(), host.to_owned(), metrics.clone());
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, host, metrics, fence) = (client.clone(), host.clone(), metrics.clone(), fence.clone());
        async move {
            // Made in here, because this is what whoever sends the request waits for: its span is the current one.
            let span = tracing::info_span!(
                "api request",
                otel.name = format!("{} {}", request.method(), request.uri().path()),
                otel.kind = "client",
                otel.status_code = tracing::field::Empty,
                http.request.method = request.method().as_str(),
                url.path = request.uri().path(),
                server.address = host,
                http.response.status_code = tracing::field::Empty,
            );
            send(client, host, metrics, fence, request).instrument(span).await
        }
    });
    Client::new(service, namespace)
}

async fn send(
    client: Client,
    host: String,
    metrics: Metrics,
    fence: Option<Fence>,
    request: Request<Body>,
) -> Result<Response<Body>, BoxError> {
    let method = request.method().clone();
    if let Some(fence) = fence.filter(|_| is_write(&method)) {
        fence.check()?;
    }
    let began = Instant::now();
    let answer = client.send(request).await;
    let series = &metrics.requests;
    series.time.with_label_values(&[method.as_str(), &host]).observe(began.elapsed().as_secs_f64());
    let code = answer.as_ref().map_or(NO_ANSWER.to_owned(), |answer| answer.status().as_str().to_owned());
    series.total.with_label_values(&[code.as_str(), method.as_str(), &host]).inc();
    let span = tracing::Span::current();
    match &answer {
        Ok(answer) => {
            let status = answer.status();
            span.record("http.response.status_code", status.as_u16());
            if status.is_client_error() || status.is_server_error() {
                span.record("otel.status_code", "ERROR");
            }
        }
        Err(_) => {
            span.record("otel.status_code", "ERROR");
        }
    }
    Ok(answer?)
}

fn is_write(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Api;
    use kube::api::PostParams;
    use serde_json::json;

    use super::super::fence::NotLeading;
    use super::*;

    /// An API server in which everything is there, but for what is called `missing`.
    fn api_server() -> Client {
        let service = tower::service_fn(async |request: Request<Body>| {
            let missing = request.uri().path().ends_with("missing");
            let status =
                json!({ "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": "" });
            let body = if missing { status } else { json!({ "metadata": { "name": "there" } }) };
            let answer = Response::builder().status(if missing { 404 } else { 200 });
            Ok::<_, Infallible>(answer.body(Body::from(body.to_string().into_bytes())).unwrap())
        });
        Client::new(service, "ns")
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_counted_by_what_became_of_them() {
        let metrics = Metrics::new();
        let client = observed(&api_server(), "api:443", &metrics, None);
        assert_eq!(client.default_namespace(), "ns");
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        maps.get("there").await.unwrap();
        maps.get("there").await.unwrap();
        maps.get("missing").await.unwrap_err();
        maps.create(&PostParams::default(), &ConfigMap::default()).await.unwrap();
        let text = metrics.text().unwrap();
        for line in [
            r#"rest_client_requests_total{code="200",host="api:443",method="GET"} 2"#,
            r#"rest_client_requests_total{code="404",host="api:443",method="GET"} 1"#,
            r#"rest_client_requests_total{code="200",host="api:443",method="POST"} 1"#,
            r#"rest_client_request_duration_seconds_count{host="api:443",verb="GET"} 3"#,
        ] {
            assert!(text.contains(line), "no {line} in\n{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_does_not_lead_reads_and_does_not_write() {
        let metrics = Metrics::new();
        let fence = Fence::closed();
        let maps: Api<ConfigMap> =
            Api::default_namespaced(observed(&api_server(), "api", &metrics, Some(fence.clone())));
        maps.get("there").await.unwrap();
        let create = || async { maps.create(&PostParams::default(), &ConfigMap::default()).await };
        let kube::Error::Service(error) = create().await.unwrap_err() else { panic!("not refused by the layer") };
        assert_eq!(error.downcast_ref(), Some(&NotLeading));
        assert!(!metrics.text().unwrap().contains("POST"), "it never left");
        fence.open_until(Instant::now() + std::time::Duration::from_secs(1));
        create().await.unwrap();
    }
}
