//! Calls to webhooks: by Service through the dialer, by URL over TLS.
//!
//! What goes wrong is told in the words of client-go, since clients of a real server read them in error messages.

use std::collections::HashMap;
use std::error::Error as _;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;

use super::{ServicePort, tls};
use crate::field::quote;
use crate::service::ApiServer;
use crate::store::{GroupResource, Key};

/// The largest answer that is read. Converted lists may be long; nobody needs more than this.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How much of an answer that is no review is quoted.
const QUOTED_BYTES_MAX: usize = 2048;
/// How many sets of authorities keep their connections, as in a real server.
const CLIENTS_MAX: usize = 200;
const CONTENT_TYPE: &str = "application/json";
const DEFAULT_PORT: u16 = 443;

/// Where a webhook is, from a `clientConfig`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientConfig {
    /// Scheme, host and port.
    base: String,
    path: String,
    service: Option<ServicePort>,
    /// The PEM bundle of authorities.
    authorities: Bytes,
}

impl ClientConfig {
    /// From its object; none where it names neither a URL nor a Service, which validation refuses.
    pub(crate) fn from_object(config: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let bundle = config["caBundle"].as_str().and_then(|bundle| STANDARD.decode(bundle).ok()).unwrap_or_default();
        let authorities = Bytes::from(bundle);
        if let Some(url) = config["url"].as_str() {
            let after_scheme = url.find("://").map_or(0, |at| at + 3);
            let path_at = url[after_scheme..].find('/').map_or(url.len(), |at| after_scheme + at);
            let (base, path) = url.split_at(path_at);
            return Some(Self { base: base.to_owned(), path: clean(path), service: None, authorities });
        }
        let service = &config["service"];
        service.is_object().then_some(())?;
        let port = service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
        let port = ServicePort {
            namespace: text(&service["namespace"]),
            name: text(&service["name"]),
            port: port.unwrap_or(DEFAULT_PORT),
        };
        let path = clean(service["path"].as_str().unwrap_or_default());
        Some(Self { base: format!("https://{port}"), path, service: Some(port), authorities })
    }
}

/// A path as it is asked for: rooted, without empty or dotted segments, without a slash at its end.
fn clean(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

/// The connections to webhooks, one client for each set of authorities.
#[derive(Debug, Default)]
pub(crate) struct Clients(Mutex<HashMap<Bytes, reqwest::Client>>);

impl Clients {
    fn trusting(&self, authorities: &Bytes) -> Result<reqwest::Client, String> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(authorities) {
            return Ok(client.clone());
        }
        let tls = tls::trusting(authorities).map_err(|error| tls::words(&error))?;
        let builder = reqwest::Client::builder().tls_backend_preconfigured(tls).http1_only().no_proxy();
        let client = builder.build().map_err(|error| innermost(&error))?;
        if clients.len() >= CLIENTS_MAX {
            clients.clear();
        }
        clients.insert(authorities.clone(), client.clone());
        Ok(client)
    }
}

/// Sends a review and reads the answer, which must come within `timeout`.
///
/// # Errors
/// Why there is no answer that could be read, in client-go's words.
pub(crate) async fn post(
    server: &ApiServer,
    config: &ClientConfig,
    review: String,
    timeout: Duration,
) -> Result<Value, String> {
    let url = format!("{}{}?timeout={}s", config.base, config.path, timeout.as_secs());
    let failed = |why: String| format!("Post {}: {why}", quote(&url));
    let request = Request::post(&url)
        .header(header::CONTENT_TYPE, CONTENT_TYPE)
        .header(header::ACCEPT, "application/json, */*")
        .header(header::USER_AGENT, "kube-apiserver-admission")
        .body(Bytes::from(review))
        .map_err(|error| failed(error.to_string()))?;
    let answer = tokio::time::timeout(timeout, send(server, config, request)).await;
    let answer = answer.map_err(|_| failed("context deadline exceeded".to_owned()))?.map_err(failed)?;
    interpret(&answer)
}

async fn send(server: &ApiServer, config: &ClientConfig, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
    if let Some(service) = &config.service {
        check_service(server, service)?;
        let dialer = server.0.dialer.get().ok_or_else(|| format!("dial tcp: {service}: connect: no route to host"))?;
        return dialer.dial(service.clone(), request).await.map_err(|refusal| refusal.to_string());
    }
    let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    let client = server.0.admission.clients.trusting(&config.authorities)?;
    let (parts, body) = request.into_parts();
    let asked = client.post(parts.uri.to_string()).headers(parts.headers).body(body);
    let answer = asked.send().await.map_err(|error| transport(&error, &host))?;
    let (parts, body) = http::Response::from(answer).into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| format!("the answer cannot be read: {error}"))?.to_bytes();
    Ok(Response::from_parts(parts, body))
}

/// Refuses a Service that is not there, or has no such port.
fn check_service(server: &ApiServer, service: &ServicePort) -> Result<(), String> {
    let key = Key::new(service.namespace.as_str(), service.name.as_str());
    let found = server.0.store.get(&GroupResource::new("", "services"), &key);
    let found = found.ok_or_else(|| format!("service {} not found", quote(&service.name)))?;
    let ports = found.value["spec"]["ports"].as_array();
    if ports.into_iter().flatten().any(|port| port["port"].as_u64() == Some(service.port.into())) {
        return Ok(());
    }
    Err(format!("no service port {} found for service {}", service.port, quote(&service.name)))
}

/// Why a connection failed, as Go's network package would say it.
fn transport(error: &reqwest::Error, host: &str) -> String {
    let mut cause = error.source();
    while let Some(why) = cause {
        if let Some(error) = tls_error(why) {
            return tls::words(error);
        }
        if let Some(io) = why.downcast_ref::<io::Error>().filter(|io| io.get_ref().is_none()) {
            let what = match io.kind() {
                io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
                io::ErrorKind::ConnectionReset => "read: connection reset by peer".to_owned(),
                io::ErrorKind::UnexpectedEof => return "EOF".to_owned(),
                _ => io.to_string(),
            };
            return format!("dial tcp {host}: {what}");
        }
        cause = why.source();
    }
    innermost(error)
}

/// What TLS has against a connection, which may come in the shells of I/O errors.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let within = || tls_error(error.downcast_ref::<io::Error>()?.get_ref()?);
    error.downcast_ref::<rustls::Error>().or_else(within)
}

fn innermost(error: &reqwest::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// The review in an answer.
fn interpret(answer: &Response<Bytes>) -> Result<Value, String> {
    let (status, body) = (answer.status(), answer.body());
    let parsed = serde_json::from_slice::<Value>(body);
    if status.is_success() {
        if body.is_empty() {
            let content_type = content_type(answer.headers());
            return Err(format!(
                "0-length response with status code: {} and content type: {content_type}",
                status.as_u16()
            ));
        }
        let value = parsed.map_err(|error| format!("couldn't get version/kind; json parse error: {error}"))?;
        return match failure(&value) {
            Some(message) => Err(message),
            None if value["kind"].as_str().unwrap_or_default().is_empty() => {
                Err(format!("Object 'Kind' is missing in {}", quote(&String::from_utf8_lossy(body))))
            }
            None => Ok(value),
        };
    }
    if let Some(message) = parsed.ok().as_ref().and_then(failure) {
        return Err(message);
    }
    let content_type = content_type(answer.headers());
    let is_text = content_type.is_empty() || content_type.starts_with("text/");
    let quoted = &body[..body.len().min(QUOTED_BYTES_MAX)];
    let said = if is_text { String::from_utf8_lossy(quoted).trim().to_owned() } else { "unknown".to_owned() };
    Err(generic(status, &said))
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// The message of a `Status` that tells of a failure.
fn failure(value: &Value) -> Option<String> {
    let failed = value["kind"] == "Status" && value["status"] == "Failure";
    failed.then(|| value["message"].as_str().unwrap_or_default().to_owned())
}

/// What client-go makes of an HTTP status without a `Status`.
fn generic(status: StatusCode, said: &str) -> String {
    match status {
        StatusCode::CONFLICT => "the server reported a conflict",
        StatusCode::NOT_FOUND => "the server could not find the requested resource",
        StatusCode::BAD_REQUEST => "the server rejected our request for an unknown reason",
        StatusCode::UNAUTHORIZED => "the server has asked for the client to provide credentials",
        StatusCode::NOT_ACCEPTABLE if said.is_empty() || said == "unknown" => {
            "the server was unable to respond with a content type that the client supports"
        }
        StatusCode::FORBIDDEN | StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::NOT_ACCEPTABLE => said,
        StatusCode::METHOD_NOT_ALLOWED => "the server does not allow this method on the requested resource",
        StatusCode::UNPROCESSABLE_ENTITY => "the server rejected our request due to an error in our request",
        StatusCode::SERVICE_UNAVAILABLE => "the server is currently unable to handle the request",
        StatusCode::GATEWAY_TIMEOUT => {
            "the server was unable to return a response in the time allotted, but may still be processing the request"
        }
        StatusCode::TOO_MANY_REQUESTS => {
            "the server has received too many requests and has asked us to try again later"
        }
        other if other.is_server_error() => {
            return format!("an error on the server ({}) has prevented the request from succeeding", quote(said));
        }
        other => {
            return format!(
                "the server responded with the status code {} but did not return more information",
                other.as_u16()
            );
        }
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_webhook_is_asked_for_where_its_configuration_says() {
        let cases = [
            (json!({"url": "https://h:1/a/b/"}), "https://h:1", "/a/b"),
            (json!({"url": "https://h"}), "https://h", "/"),
            (json!({"service": {"namespace": "n", "name": "s"}}), "https://s.n.svc:443", "/"),
            (
                json!({"service": {"namespace": "n", "name": "s", "port": 8443, "path": "/x//y"}}),
                "https://s.n.svc:8443",
                "/x/y",
            ),
        ];
        for (config, base, path) in cases {
            let parsed = ClientConfig::from_object(&config).unwrap();
            assert_eq!((parsed.base.as_str(), parsed.path.as_str()), (base, path), "{config}");
        }
        assert_eq!(ClientConfig::from_object(&json!({})), None);
    }

    #[test]
    fn an_answer_that_is_no_review_is_explained_as_a_client_would() {
        let answer = |status: u16, content_type: &str, body: &str| {
            let builder = Response::builder().status(status).header(header::CONTENT_TYPE, content_type);
            interpret(&builder.body(Bytes::from(body.to_owned())).unwrap()).unwrap_err()
        };
        let status = r#"{"kind":"Status","status":"Failure","message":"no"}"#;
        let unable =
            |said: &str| format!("an error on the server (\"{said}\") has prevented the request from succeeding");
        let cases = [
            (answer(500, "application/json", "broken"), unable("unknown")),
            (answer(502, "text/plain; charset=utf-8", " broken\n"), unable("broken")),
            (answer(404, "text/plain", "x"), "the server could not find the requested resource".to_owned()),
            (answer(500, "application/json", status), "no".to_owned()),
            (answer(200, "application/json", status), "no".to_owned()),
            (
                answer(200, "text/html", ""),
                "0-length response with status code: 200 and content type: text/html".to_owned(),
            ),
            (answer(200, "application/json", "{}"), "Object 'Kind' is missing in \"{}\"".to_owned()),
        ];
        for (got, expected) in cases {
            assert_eq!(got, expected);
        }
        assert!(
            answer(200, "application/json", "not json").starts_with("couldn't get version/kind; json parse error: ")
        );
    }
}
