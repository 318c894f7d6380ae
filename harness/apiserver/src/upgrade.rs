//! Connections in memory, for requests of this process that end as something other than HTTP.
//!
//! A service without a socket has no connection that could be handed over, and hyper makes none by hand. So a request
//! that asks for an upgrade goes through a connection of its own: two ends of a pipe, HTTP/1.1 on both. No socket and no
//! time is used, so it works in virtual time.

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use crate::handle::reply::error_response;
use crate::service::{Body, UserService};
use crate::status::ApiError;

/// Bytes that may be under way in each direction: what a pipe holds on Linux.
const PIPE_BYTES: usize = 64 * 1024;

/// Whether a request asks for its connection to become something else.
pub(crate) fn is_asked(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
}

/// Sends a request through a connection in memory to the service that it was made to.
pub(crate) async fn through_memory<B>(service: UserService, mut request: Request<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let answer = service_fn(move |request: Request<Incoming>| service.answer(request));
    let server = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), answer);
    tokio::spawn(async move {
        if let Err(error) = server.with_upgrades().await {
            tracing::debug!(%error, "a connection in memory broke off");
        }
    });
    if let Some(origin) = request.uri().path_and_query().cloned() {
        *request.uri_mut() = origin.into();
    }
    request.headers_mut().entry(header::HOST).or_insert(HeaderValue::from_static("kubernetes.default.svc"));
    let sent = async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection in memory broke off");
            }
        });
        sender.send_request(request.map(|body| body.map_err(Into::into).boxed_unsync())).await
    };
    match sent.await {
        Ok(response) => response.map(stream_of),
        Err(error) => error_response(&ApiError::internal(&format!("a connection in memory broke off: {error}"))),
    }
}

/// The rest of a body, as far as it comes.
pub(crate) fn stream_of(body: Incoming) -> Body {
    let pieces = stream::unfold(body, |mut body| async move {
        loop {
            match body.frame().await? {
                // Trailers have no place here.
                Ok(frame) => {
                    if let Ok(piece) = frame.into_data() {
                        return Some((piece, body));
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "an answer broke off");
                    return None;
                }
            }
        }
    });
    Body::stream(pieces.boxed())
}
