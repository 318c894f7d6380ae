//! Looks into a Pod through the API server: runs `cat` in it, asks its ports, lists its `EndpointSlice`s. Client required;
//! reads only, so much and no more.

use http_body_util::{BodyExt, Limited};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Status, StatusCause};
use kube::api::{AttachParams, ListParams};
use kube::client::Body;
use kube::{Api, Client, ResourceExt};
use tokio::io::AsyncReadExt;

use super::super::pod::Pod;
use super::sockets::{COMMAND, table};
use super::{Scheme, Unreadable, pod};

/// Tables of tens of thousands of sockets. What is beyond is not needed to know that there are some.
const PRINTED_BYTES_MAX: u64 = 4 << 20;

/// The pages of the most talkative proxies.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Containers that are tried until one has a `cat`.
const CONTAINERS_MAX: usize = 4;

/// `EndpointSlice`s asked for at once.
const PAGE: u32 = 500;

/// What is quoted of what a Pod says, in characters: it goes into an Event.
const QUOTE: usize = 160;

/// The tables of sockets, printed in the first container that can.
pub(super) async fn sockets(client: &Client, pod: &Pod, container: Option<&str>) -> Result<table::Tables, Unreadable> {
    let containers = container.map_or_else(|| pod::running(pod), |container| vec![container.to_owned()]);
    let mut last = Unreadable::NothingRuns;
    for container in containers.into_iter().take(CONTAINERS_MAX) {
        match print(client, pod, &container).await {
            Ok(tables) => return Ok(tables),
            // Whoever may not look into one container may look into none.
            Err(Unreadable::Exec { container, source }) if matches!(&*source, kube::Error::Api(status) if status.is_forbidden()) =>
            {
                return Err(Unreadable::Exec { container, source });
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn print(client: &Client, pod: &Pod, container: &str) -> Result<table::Tables, Unreadable> {
    let pods: Api<core::Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let params = AttachParams::default().stderr(false).container(container);
    let mut process = pods
        .exec(&pod.name_any(), COMMAND, &params)
        .await
        .map_err(|source| Unreadable::Exec { container: container.to_owned(), source: Box::new(source) })?;
    let mut printed = Vec::new();
    if let Some(stdout) = process.stdout() {
        // It ends where the connection does, and what was printed until then is still true: the status tells whether
        // that was all.
        let _ = stdout.take(PRINTED_BYTES_MAX).read_to_end(&mut printed).await;
    }
    let status = match process.take_status() {
        Some(status) if printed.len() as u64 != PRINTED_BYTES_MAX => status.await,
        _ => None,
    };
    match table::Tables::parse(&String::from_utf8_lossy(&printed)) {
        Ok(tables) => Ok(table::Tables { is_cut: tables.is_cut || !ran_through(status.as_ref()), ..tables }),
        Err(source) => {
            let said = status.and_then(|status| status.message).unwrap_or_else(|| "nothing".to_owned());
            Err(Unreadable::Printed { container: container.to_owned(), said: quote(&said), source })
        }
    }
}

/// Whether a `cat` came to its end. It ends with 1 where a file is missing, as on kernels without IPv6; whatever else it
/// ends with, it was ended.
fn ran_through(status: Option<&Status>) -> bool {
    let Some(status) = status else { return false };
    let causes = status.details.as_ref().and_then(|details| details.causes.as_deref()).unwrap_or_default();
    let is_one =
        |cause: &StatusCause| cause.reason.as_deref() == Some("ExitCode") && cause.message.as_deref() == Some("1");
    status.status.as_deref() == Some("Success") || causes.iter().any(is_one)
}

/// What a port of the Pod answers to a GET.
pub(super) async fn get(
    client: &Client,
    pod: &Pod,
    scheme: Scheme,
    port: u16,
    path: &str,
) -> Result<String, Unreadable> {
    let scheme = match scheme {
        Scheme::Http => "",
        Scheme::Https => "https:",
    };
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let failed = |source| Unreadable::Ask { port, source: Box::new(source) };
    let request = http::Request::get(format!("/api/v1/namespaces/{namespace}/pods/{scheme}{name}:{port}/proxy{path}"))
        .header(http::header::ACCEPT, "text/plain, application/json")
        .body(Body::empty())
        .map_err(|error| failed(kube::Error::HttpError(error)))?;
    let answer = client.send(request).await.map_err(failed)?;
    let code = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|_| Unreadable::Broken { port, bytes: ANSWER_BYTES_MAX })?.to_bytes();
    if !code.is_success() {
        // The API server says why it could not ask; what the Pod itself says is its own business.
        let status: Option<Status> = serde_json::from_slice(&body).ok();
        let message = status.and_then(|status| status.message);
        let said = message.map_or_else(String::new, |message| format!(": {}", quote(&message)));
        return Err(Unreadable::Answered { port, code: code.as_u16(), said });
    }
    String::from_utf8(body.to_vec()).map_err(|_| Unreadable::NoText { port })
}

/// The `EndpointSlice`s of the Pod's namespace.
pub(super) async fn slices(client: &Client, pod: &Pod) -> Result<Vec<EndpointSlice>, Unreadable> {
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let mut slices = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await.map_err(|source| Unreadable::Slices(Box::new(source)))?;
        slices.extend(page.items);
        match page.metadata.continue_ {
            Some(token) if !token.is_empty() => params = params.continue_token(&token),
            _ => return Ok(slices),
        }
    }
}

fn quote(text: &str) -> String {
    text.chars().take(QUOTE).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cat_that_was_ended_has_not_printed_everything() {
        let ended = |code: &str| {
            json!({ "status": "Failure", "reason": "NonZeroExitCode",
                "details": { "causes": [{ "reason": "ExitCode", "message": code }] } })
        };
        for (status, expected) in [
            (json!({ "status": "Success" }), true),
            (ended("1"), true),
            (ended("137"), false),
            (ended("143"), false),
            (json!({ "status": "Failure", "reason": "InternalError" }), false),
            (json!({}), false),
        ] {
            let read: Status = serde_json::from_value(status.clone()).unwrap();
            assert_eq!(ran_through(Some(&read)), expected, "{status}");
        }
        assert!(!ran_through(None), "the connection broke off");
    }
}
