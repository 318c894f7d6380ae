//! One HTTP/1.1 request over a connection of its own, as probes and hooks make it.

use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
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

/// Sends a request and reads the whole answer.
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
        Ok((status, response.into_body().collect().await?.to_bytes()))
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
