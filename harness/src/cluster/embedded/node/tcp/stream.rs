//! One end of a connection.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;

use super::Entry;

/// One end of a connection. Dropping it closes the connection.
#[derive(Debug)]
pub struct Stream {
    pipe: Pipe,
    peer: SocketAddr,
    _entry: Entry,
}

#[derive(Debug)]
enum Pipe {
    Memory(DuplexStream),
    Socket(TcpStream),
}

impl Stream {
    pub(super) fn memory(pipe: DuplexStream, peer: SocketAddr, entry: Entry) -> Self {
        Self { pipe: Pipe::Memory(pipe), peer, _entry: entry }
    }

    pub(super) fn socket(socket: TcpStream, peer: SocketAddr, entry: Entry) -> Self {
        Self { pipe: Pipe::Socket(socket), peer, _entry: entry }
    }

    /// The other end.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.pipe {
            Pipe::Memory(pipe) => Pin::new(pipe).poll_read(cx, buf),
            Pipe::Socket(socket) => Pin::new(socket).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.pipe {
            Pipe::Memory(pipe) => Pin::new(pipe).poll_write(cx, buf),
            Pipe::Socket(socket) => Pin::new(socket).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.pipe {
            Pipe::Memory(pipe) => Pin::new(pipe).poll_flush(cx),
            Pipe::Socket(socket) => Pin::new(socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.pipe {
            Pipe::Memory(pipe) => Pin::new(pipe).poll_shutdown(cx),
            Pipe::Socket(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}
