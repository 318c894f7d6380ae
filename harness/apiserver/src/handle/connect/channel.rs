//! The WebSocket protocol of streams: binary messages whose first byte is the stream they belong to.
//!
//! Version 4 ends with a `Status` on the error stream; version 5 can also say that one stream has ended.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{HeaderValue, Response, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, frame::coding::CloseCode};

use super::{Call, upgrade_of};
use crate::body::Body;
use crate::status::ApiError;

/// The protocols that are spoken.
const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

/// The first byte of a message that says that the stream named next has ended.
const CLOSE: u8 = 255;

/// A connection that is to become a WebSocket.
pub(super) struct Handshake {
    upgrade: OnUpgrade,
    accept: HeaderValue,
    protocol: &'static str,
}

/// What a client has sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Data of a stream.
    Data(u8, Bytes),
    /// The end of a stream.
    End(u8),
}

/// An open connection.
pub(super) struct Channel(WebSocketStream<TokioIo<Upgraded>>);

/// What the request needs to become a WebSocket.
///
/// # Errors
/// 400 for a request that does not ask for one, or for one that is not spoken here.
pub(super) fn handshake(call: &Call) -> Result<Handshake, ApiError> {
    match upgrade_of(call).as_deref() {
        Some("websocket") => {}
        Some(other) => {
            let why = format!("unable to upgrade: {other} is not spoken by the embedded API server; use WebSockets");
            return Err(ApiError::bad_request(why));
        }
        None => return Err(ApiError::bad_request("Upgrade request required")),
    }
    let header = |name: header::HeaderName| call.headers.get(name).and_then(|value| value.to_str().ok());
    let key = header(header::SEC_WEBSOCKET_KEY).filter(|key| STANDARD.decode(key).is_ok_and(|key| key.len() == 16));
    let Some(key) = key else {
        return Err(ApiError::bad_request("unable to upgrade: Sec-WebSocket-Key is missing or malformed"));
    };
    let offered = header(header::SEC_WEBSOCKET_PROTOCOL).unwrap_or_default();
    let protocol = offered.split(',').find_map(|offer| PROTOCOLS.into_iter().find(|known| *known == offer.trim()));
    let Some(protocol) = protocol else {
        let why = format!("unable to upgrade: none of the protocols [{offered}] is one of [{}]", PROTOCOLS.join(", "));
        return Err(ApiError::bad_request(why));
    };
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
    match (call.wire.upgrade.clone(), accept) {
        (Some(upgrade), Ok(accept)) => Ok(Handshake { upgrade, accept, protocol }),
        _ => Err(ApiError::bad_request("unable to upgrade: the connection cannot be handed over")),
    }
}

impl Handshake {
    /// The answer, and the connection once the client has it.
    pub(super) fn accept(self) -> (Response<Body>, impl Future<Output = Option<Channel>> + Send) {
        let Self { upgrade, accept, protocol } = self;
        let mut response = Response::new(Body::full(Bytes::new()));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        let opened = async move {
            match upgrade.await {
                Ok(upgraded) => {
                    let stream = TokioIo::new(upgraded);
                    Some(Channel(WebSocketStream::from_raw_socket(stream, Role::Server, None).await))
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection was not handed over");
                    None
                }
            }
        };
        (response, opened)
    }
}

impl Channel {
    /// What the client says next; none once it has gone.
    pub(super) async fn receive(&mut self) -> Option<Received> {
        loop {
            let message = match self.0.next().await? {
                Ok(Message::Binary(bytes)) => bytes,
                Ok(Message::Text(text)) => Bytes::from(text),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
            };
            if let Some(received) = read(&message) {
                return Some(received);
            }
        }
    }

    /// Sends data of a stream; whether the client is still there.
    pub(super) async fn send(&mut self, stream: u8, data: &[u8]) -> bool {
        let mut message = Vec::with_capacity(data.len() + 1);
        message.push(stream);
        message.extend_from_slice(data);
        self.0.send(Message::binary(message)).await.is_ok()
    }

    /// Says goodbye, and waits until the client has done so too.
    pub(super) async fn close(mut self) {
        let farewell = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        // Whoever is gone already needs no goodbye.
        if self.0.close(Some(farewell)).await.is_ok() {
            while self.receive().await.is_some() {}
        }
    }
}

fn read(message: &Bytes) -> Option<Received> {
    match message.as_ref() {
        [] => None,
        [CLOSE, stream, ..] => Some(Received::End(*stream)),
        [stream, ..] => Some(Received::Data(*stream, message.slice(1..))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_says_which_stream_a_message_belongs_to() {
        let cases: [(&'static [u8], Option<Received>); 5] = [
            (b"", None),
            (b"\x00", Some(Received::Data(0, Bytes::new()))),
            (b"\x00abc", Some(Received::Data(0, Bytes::from_static(b"abc")))),
            (b"\xff\x00", Some(Received::End(0))),
            (b"\xff", Some(Received::Data(255, Bytes::new()))),
        ];
        for (message, expected) in cases {
            assert_eq!(read(&Bytes::from_static(message)), expected, "{message:?}");
        }
    }
}
