//! Probes: `/healthz` says that the process answers, `/readyz` that every check is well.
//!
//! With `?verbose` they say it check by check; a failed `/readyz` always does.

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::routing::get;

use crate::kit::health::Health;

pub(in crate::runtime) fn router(health: Health) -> Router {
    Router::new().route("/healthz", get(alive)).route("/readyz", get(ready)).with_state(health)
}

async fn alive(RawQuery(query): RawQuery) -> String {
    if is_verbose(query.as_deref()) { "[+]ping ok\nhealthz check passed\n".to_owned() } else { "ok".to_owned() }
}

async fn ready(State(health): State<Health>, RawQuery(query): RawQuery) -> (StatusCode, String) {
    let report = health.report();
    match (report.is_ready(), is_verbose(query.as_deref())) {
        (true, false) => (StatusCode::OK, "ok".to_owned()),
        (true, true) => (StatusCode::OK, format!("{report}readyz check passed\n")),
        (false, _) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{report}readyz check failed\n")),
    }
}

/// As the API server reads it: `?verbose`, with or without a value.
fn is_verbose(query: Option<&str>) -> bool {
    query.unwrap_or_default().split('&').any(|pair| pair.split('=').next() == Some("verbose"))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn get(health: &Health, path: &str) -> (u16, String) {
        let answer = router(health.clone()).oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_says_what_it_waits_for_and_liveness_does_not_care() {
        let health = Health::default();
        let lease = health.check("lease");
        lease.waiting("nobody is known to lead");
        assert_eq!(get(&health, "/healthz").await, (200, "ok".to_owned()));
        let failed = "[-]lease failed: nobody is known to lead\nreadyz check failed\n".to_owned();
        assert_eq!(get(&health, "/readyz").await, (500, failed));
        lease.ready();
        assert_eq!(get(&health, "/readyz").await, (200, "ok".to_owned()));
        let verbose = (200, "[+]lease ok\nreadyz check passed\n".to_owned());
        for path in ["/readyz?verbose", "/readyz?verbose=1", "/readyz?x&verbose"] {
            assert_eq!(get(&health, path).await, verbose, "{path}");
        }
        assert_eq!(get(&health, "/elsewhere").await.0, 404);
    }
}
