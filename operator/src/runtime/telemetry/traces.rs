//! Traces: a span a reconcile, and one an API request with the reconcile as its parent, sent by OTLP over HTTP.
//!
//! Spans are collected and sent in batches by a thread of their own; what cannot be sent is lost, which is said once, and
//! the operator goes on.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use opentelemetry::trace::TracerProvider;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use crate::kit::error::chain;

/// How long the collector may take. Longer than that, and the next batch is waiting.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a collector takes traces, below its endpoint.
const TRACES_PATH: &str = "v1/traces";

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The client cannot be made.
    #[error("failed to set up a client")]
    Client(#[source] reqwest::Error),
    /// The exporter refuses the endpoint.
    #[error("failed to set up the exporter")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
}

/// Collects spans and sends them.
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Sends to the collector at `endpoint`, like `http://collector:4318`.
    ///
    /// # Errors
    /// When the endpoint cannot be used.
    pub fn to(endpoint: &str) -> Result<Self, TraceError> {
        // It fails only where one is chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(EXPORT_TIMEOUT).build().map_err(TraceError::Client)?;
        Self::through(endpoint, Arc::new(client))
    }

    fn through(endpoint: &str, client: Arc<dyn HttpClient>) -> Result<Self, TraceError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/{TRACES_PATH}", endpoint.trim_end_matches('/')))
            .with_timeout(EXPORT_TIMEOUT)
            .with_http_client(OnRuntime { client, runtime: Handle::current(), failing: Arc::default() })
            .build()
            .map_err(TraceError::Exporter)?;
        let resource = Resource::builder_empty()
            .with_service_name(env!("CARGO_PKG_NAME"))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        Ok(Self { provider })
    }

    /// The layer that collects. Only the operator's own spans: those of libraries are many, and say less.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME")).build();
        let tracer: SdkTracer = self.provider.tracer_with_scope(scope);
        let ours = Targets::new().with_target("slipway_operator", LevelFilter::INFO);
        OpenTelemetryLayer::new(tracer).with_location(false).with_threads(false).with_filter(ours)
    }

    /// Sends what has not been sent yet.
    pub async fn flush(self) {
        // It waits for its thread, which waits for this runtime.
        let done = tokio::task::spawn_blocking(move || self.provider.shutdown()).await;
        if let Ok(Err(error)) = done {
            tracing::warn!(%error, "some traces could not be sent");
        }
    }
}

/// Sends on the operator's runtime: the thread that collects has none.
struct OnRuntime {
    client: Arc<dyn HttpClient>,
    runtime: Handle,
    /// Whether the last batch was lost, so that a collector that is away is told of once.
    failing: Arc<AtomicBool>,
}

impl fmt::Debug for OnRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnRuntime").finish_non_exhaustive()
    }
}

impl HttpClient for OnRuntime {
    // What `async_trait` makes of an async function.
    fn send_bytes<'a, 'b>(&'a self, request: Request<Bytes>) -> BoxFuture<'b, Result<Response<Bytes>, HttpError>>
    where
        'a: 'b,
        Self: 'b,
    {
        let (client, failing) = (Arc::clone(&self.client), Arc::clone(&self.failing));
        let sent = self.runtime.spawn(async move {
            let sent = client.send_bytes(request).await;
            let lost = lost(&sent);
            match (&lost, failing.swap(lost.is_some(), Ordering::Relaxed)) {
                (Some(error), false) => tracing::warn!(error, "traces cannot be sent"),
                (None, true) => tracing::info!("traces are sent again"),
                _ => {}
            }
            sent
        });
        async { sent.await.unwrap_or_else(|lost| Err(lost.into())) }.boxed()
    }
}

/// Why a batch has not arrived.
fn lost(sent: &Result<Response<Bytes>, HttpError>) -> Option<String> {
    match sent {
        Ok(answer) if answer.status().is_success() => None,
        Ok(answer) => Some(format!("the collector answers {}", answer.status())),
        Err(error) => Some(chain(error.as_ref()).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use prost::Message;
    use tracing::instrument::WithSubscriber;
    use tracing_subscriber::EnvFilter;

    use super::super::{LogFormat, subscriber};
    use super::*;
    use crate::kit::clock::Clock;

    /// A collector in this process.
    #[derive(Debug, Default)]
    struct Collector(Mutex<Vec<(String, ExportTraceServiceRequest)>>);

    impl HttpClient for Collector {
        fn send_bytes<'a, 'b>(&'a self, request: Request<Bytes>) -> BoxFuture<'b, Result<Response<Bytes>, HttpError>>
        where
            'a: 'b,
            Self: 'b,
        {
            let decoded = ExportTraceServiceRequest::decode(request.body().as_ref()).unwrap();
            assert_eq!(request.headers()["content-type"], "application/x-protobuf");
            self.0.lock().unwrap().push((request.uri().to_string(), decoded));
            async { Ok(Response::new(Bytes::new())) }.boxed()
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_request_is_a_child_of_the_reconcile_that_sent_it() {
        let collector = Arc::new(Collector::default());
        let traces = Traces::through("http://collector:4318/", Arc::clone(&collector) as Arc<dyn HttpClient>).unwrap();
        let filter = EnvFilter::new("off");
        let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        let subscriber = subscriber(LogFormat::Json, filter, clock, Arc::new(|_| ()), Some(&traces));
        crate::kit::controller::reconcile_that_asks_once(clock).with_subscriber(subscriber).await;
        traces.flush().await;

        let sent = collector.0.lock().unwrap();
        assert!(sent.iter().all(|(uri, _)| uri == "http://collector:4318/v1/traces"), "{sent:?}");
        let spans: Vec<&Span> = sent
            .iter()
            .flat_map(|(_, request)| &request.resource_spans)
            .flat_map(|of_resource| &of_resource.scope_spans)
            .flat_map(|of_scope| &of_scope.spans)
            .collect();
        let reconcile = spans.iter().find(|span| span.name == "reconcile").expect("a span of the reconcile");
        let request = spans.iter().find(|span| span.name.ends_with("/configmaps/asked")).expect("one of the request");
        assert_eq!(request.parent_span_id, reconcile.span_id);
        assert_eq!(request.trace_id, reconcile.trace_id);
        assert_eq!(request.name, "GET /api/v1/namespaces/ns/configmaps/asked");
        let attribute = |span: &Span, key: &str| {
            let found = span.attributes.iter().find(|attribute| attribute.key == key);
            found.map(|attribute| format!("{:?}", attribute.value))
        };
        assert!(attribute(reconcile, "object.name").unwrap().contains("\"a\""));
        assert!(attribute(request, "http.response.status_code").unwrap().contains("200"));
        let list = spans.iter().find(|span| span.name == "GET /api/v1/configmaps").expect("one of the list");
        assert!(list.parent_span_id.is_empty(), "nobody reconciled then");
    }
}
