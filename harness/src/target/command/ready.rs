//! How an operator is known to be at work: by a URL, by its words, by a Lease. It is asked again and again, since none of
//! these can be watched from here, and what it said last is told where the time was not enough.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use tokio::net::TcpStream;

use super::output::Output;
use crate::chain::chain;
use crate::scenario::duration::Span;
use crate::scenario::operator::{Ready, Sign};

/// From one look to the next.
const EVERY: Duration = Duration::from_millis(50);

/// How long one answer may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Who is asked.
pub(super) struct Witnesses {
    /// The cluster, for Leases.
    pub(super) client: Client,
    /// The scenario's namespace.
    pub(super) namespace: String,
    /// What the operator writes.
    pub(super) output: Output,
}

/// Waits for the sign.
pub(super) fn wait(ready: &Ready, witnesses: Witnesses) -> BoxFuture<'static, Result<(), String>> {
    let Ready { by, within } = ready.clone();
    async move {
        let mut last = String::new();
        let seen = async {
            match &by {
                Sign::Url(url) => answers(url, &mut last).await,
                Sign::Log(text) => {
                    last = format!("it has not written {text:?}");
                    witnesses.output.sign().await;
                }
                Sign::Lease(lease) => {
                    let namespace = lease.namespace(&witnesses.namespace);
                    renews(&Api::namespaced(witnesses.client.clone(), namespace), &lease.name, &mut last).await;
                }
            }
        };
        let seen = tokio::time::timeout(within, seen).await;
        seen.map_err(|_| format!("the operator was not ready within {}: {last}", Span(within)))
    }
    .boxed()
}

/// Waits until a URL answers with success.
async fn answers(url: &str, last: &mut String) {
    loop {
        *last = match tokio::time::timeout(ANSWERS_WITHIN, ask(url)).await {
            Ok(Ok(status)) if status.is_success() => return,
            Ok(Ok(status)) => format!("{url} answers {status}"),
            Ok(Err(why)) => format!("{url} does not answer: {why}"),
            Err(_) => format!("{url} takes longer than {} to answer", Span(ANSWERS_WITHIN)),
        };
        tokio::time::sleep(EVERY).await;
    }
}

async fn ask(url: &str) -> Result<StatusCode, String> {
    let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
    let host = uri.host().unwrap_or_default();
    let address = format!("{host}:{}", uri.port_u16().unwrap_or(80));
    let socket = TcpStream::connect(&address).await.map_err(|error| error.to_string())?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path).header(header::HOST, address).body(Empty::<Bytes>::new());
    let answer = sender.send_request(request.map_err(|error| error.to_string())?).await;
    connection.abort();
    answer.map(|answer| answer.status()).map_err(|error| error.to_string())
}

/// Waits until a Lease is held and renewed: one that somebody who is gone has left behind stays as it is.
pub(in crate::target) async fn renews(leases: &Api<Lease>, name: &str, last: &mut String) {
    let mut before = None;
    loop {
        match leases.get_opt(name).await {
            Ok(found) => {
                let spec = found.and_then(|lease| lease.spec);
                let held =
                    spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).is_some_and(|by| !by.is_empty());
                let renewed = spec.as_ref().and_then(|spec| spec.renew_time.clone());
                let first = *before.get_or_insert(renewed.clone()) == renewed;
                if held && !first {
                    return;
                }
                *last = match (spec, held) {
                    (None, _) => format!("there is no Lease {name}"),
                    (Some(_), false) => format!("nobody holds the Lease {name}"),
                    (Some(_), true) => format!("nobody has renewed the Lease {name} since"),
                };
            }
            Err(error) => *last = format!("the Lease {name} cannot be read: {}", chain(&error)),
        }
        tokio::time::sleep(EVERY).await;
    }
}
