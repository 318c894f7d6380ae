//! Paths that are no resources: health, version, discovery, schemas, keys.

use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::json;

use super::reply::{text_response, value_response};
use crate::access::token;
use crate::body::Body;
use crate::service::ApiServer;

/// The release whose behaviour the server has.
const VERSION: &str = "v1.36.0";

/// Answers a request for a path; 404 for one that is not there.
pub(crate) fn answer(server: &ApiServer, method: &Method, path: &str, headers: &http::HeaderMap) -> Response<Body> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return not_found();
    }
    match path.trim_end_matches('/') {
        "/healthz" | "/livez" | "/readyz" | "/healthz/ping" | "/livez/ping" | "/readyz/ping" => {
            text_response(StatusCode::OK, "ok")
        }
        "/.well-known/openid-configuration" => value_response(StatusCode::OK, &token::discovery(), false),
        "/openid/v1/jwks" => {
            let mut keys = value_response(StatusCode::OK, &server.0.signer.key_set(), false);
            let kind = HeaderValue::from_static("application/jwk-set+json");
            keys.headers_mut().insert(header::CONTENT_TYPE, kind);
            keys
        }
        "/version" => value_response(StatusCode::OK, &version(), false),
        _ => crate::discovery::answer(server, path, headers).unwrap_or_else(not_found),
    }
}

/// 404 as the outermost handler says it.
pub(crate) fn not_found() -> Response<Body> {
    text_response(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn version() -> serde_json::Value {
    json!({
        "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36", "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35", "gitVersion": format!("{VERSION}+slipway"),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}
