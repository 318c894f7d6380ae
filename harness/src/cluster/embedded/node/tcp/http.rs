//! One HTTP/1.1 request over a connection of its own, as probes and hooks make it.

use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::{Bytes, BytesMut};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use thiserror::Error;

use super::Tcp;

/// Why a request came to nothing.
#[derive(Debug, Error)]
pub enum Failed {
    /// Nobody listens, or nobody can be reached.
    #[error("dial tcp {to}: connect: {}", if source.kind() == io::ErrorKind::ConnectionRefused { "connection refused".to_owned() } else { source.to_string() })]
    Connect {
        /// Where to.
        to: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The connection ended before the answer did.
    #[error("EOF")]
    Broken(#[source] hyper::Error),
}

/// As much of an answer as is read: probes and hooks go by its status.
const ANSWER_BYTES_MAX: usize = 10 * 1024;

/// Sends a request and reads the answer, the first 10 KiB of it.
///
/// # Errors
/// See [`Failed`].
pub async fn send(
    tcp: &Tcp,
    from: IpAddr,
    to: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Failed> {
    let stream = tcp.connect(from, to).await.map_err(|source| Failed::Connect { to, source })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(Failed::Broken)?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        Ok((status, beginning(response.into_body()).await?))
    };
    let (mut answer, mut connection) = (std::pin::pin!(answer), std::pin::pin!(connection));
    tokio::select! {
        biased;
        answer = &mut answer => answer.map_err(Failed::Broken),
        ended = &mut connection => match ended {
            Ok(()) => answer.await.map_err(Failed::Broken),
            Err(error) => Err(Failed::Broken(error)),
        },
    }
}

/// The beginning of a body; the rest is left unread, and ends with the connection.
async fn beginning(mut body: Incoming) -> Result<Bytes, hyper::Error> {
    let mut bytes = BytesMut::new();
    while bytes.len() < ANSWER_BYTES_MAX
        && let Some(frame) = body.frame().await
    {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    bytes.truncate(ANSWER_BYTES_MAX);
    Ok(bytes.freeze())
}
