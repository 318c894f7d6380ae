//! Connections to ports of Pods over a WebSocket: two streams a port, data and errors, each begun with the port's number.

use std::net::IpAddr;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::channel::{self, Channel, Received};
use super::{authorize_creation, gateway};
use crate::gateway::{Connection, Unreachable};
use crate::handle::{Call, Reply};
use crate::status::ApiError;

/// The most ports of one request: as many as streams have numbers for.
const PORTS_MAX: usize = 100;

/// Bytes read from a port at a time.
const PIECE_BYTES: usize = 16 * 1024;

/// Connects the request's ports and turns the connection into their streams.
pub(super) fn forward(call: &Call) -> Result<Reply, ApiError> {
    authorize_creation(call)?;
    let pod = call.store().get(&call.collection(), &call.key()).ok_or_else(|| call.not_found())?;
    let node = pod.value["spec"]["nodeName"].as_str().unwrap_or_default();
    let address = pod.value["status"]["podIP"].as_str().and_then(|ip| ip.parse::<IpAddr>().ok());
    let Some(address) = address.filter(|_| pod.value["status"]["phase"] == "Running") else {
        let phase = pod.value["status"]["phase"].as_str().unwrap_or("Pending");
        let why = format!("unable to forward port because pod is not running. Current status={phase}");
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "BadRequest", why));
    };
    let ports = ports(call)?;
    let handshake = channel::handshake(call)?;
    gateway(call, node)?;
    let server = call.server.clone();
    let dials = ports.iter().filter_map(|port| Some(server.0.gateway.get()?.dial(address, *port))).collect::<Vec<_>>();
    let (response, opened) = handshake.accept();
    tokio::spawn(async move {
        let dialled = futures::future::join_all(dials).await;
        let Some(channel) = opened.await else { return };
        tokio::select! {
            () = converse(channel, &ports, dialled) => {}
            () = server.0.closing.cancelled() => {}
        }
    });
    Ok(Reply::Raw(response))
}

fn ports(call: &Call) -> Result<Vec<u16>, ApiError> {
    let given = call.query.all("ports");
    let texts: Vec<&str> = given.iter().flat_map(|list| list.split(',')).filter(|text| !text.is_empty()).collect();
    if texts.is_empty() || texts.len() > PORTS_MAX {
        return Err(ApiError::bad_request(format!("query parameter \"ports\" needs 1 to {PORTS_MAX} ports")));
    }
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let all: Option<Vec<u16>> = texts.iter().map(|text| port(text)).collect();
    all.ok_or_else(|| ApiError::bad_request("query parameter \"ports\" holds what is no port"))
}

/// What a port has sent: its place in the request, and the bytes; none for its end.
type Piece = (usize, Option<Vec<u8>>);

async fn converse(mut channel: Channel, ports: &[u16], dialled: Vec<Result<Box<dyn Connection>, Unreachable>>) {
    let (send, mut pieces) = mpsc::channel::<Piece>(ports.len());
    let (mut writers, mut readers) = (Vec::new(), tokio::task::JoinSet::new());
    for (at, (port, connection)) in ports.iter().zip(dialled).enumerate() {
        let (data, errors) = streams(at);
        let hello = port.to_le_bytes();
        if !channel.send(data, &hello).await || !channel.send(errors, &hello).await {
            return;
        }
        match connection {
            Ok(connection) => {
                let (reader, writer) = tokio::io::split(connection);
                readers.spawn(pump(at, reader, send.clone()));
                writers.push(Some(writer));
            }
            Err(why) => {
                writers.push(None);
                if !channel.send(errors, format!("error forwarding port {port}: {why}").as_bytes()).await {
                    return;
                }
            }
        }
    }
    drop(send);
    loop {
        tokio::select! {
            piece = pieces.recv() => match piece {
                Some((at, Some(bytes))) => {
                    if !channel.send(streams(at).0, &bytes).await {
                        return;
                    }
                }
                Some((_, None)) => {}
                None => break,
            },
            received = channel.receive() => {
                let (stream, bytes) = match received {
                    Some(Received::Data(stream, bytes)) => (stream, Some(bytes)),
                    Some(Received::End(stream)) => (stream, None),
                    None => return,
                };
                let writer = writers.get_mut(usize::from(stream / 2)).filter(|_| stream % 2 == 0);
                match (writer.and_then(Option::as_mut), bytes) {
                    (Some(writer), Some(bytes)) => if writer.write_all(&bytes).await.is_err() { return },
                    // The program may have gone; then there is nobody to tell.
                    (Some(writer), None) => drop(writer.shutdown().await),
                    (None, _) => {}
                }
            }
        }
    }
    channel.close().await;
}

/// A port's streams: for data and for errors.
fn streams(at: usize) -> (u8, u8) {
    let data = u8::try_from(2 * at).unwrap_or(u8::MAX - 1);
    (data, data + 1)
}

async fn pump(at: usize, mut reader: impl tokio::io::AsyncRead + Unpin, send: mpsc::Sender<Piece>) {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let piece = match reader.read(&mut buffer).await {
            Ok(0) | Err(_) => None,
            Ok(length) => buffer.get(..length).map(<[u8]>::to_vec),
        };
        let over = piece.is_none();
        if send.send((at, piece)).await.is_err() || over {
            return;
        }
    }
}
