//! Response bodies: nothing, shared pieces, or a stream.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http_body::{Frame, SizeHint};

/// A response's body. Pieces are shared with the store, so a list is never copied together.
pub struct Body(Kind);

enum Kind {
    Pieces(std::vec::IntoIter<Bytes>, u64),
    Stream(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

impl Body {
    /// A body of one piece.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::pieces(vec![bytes.into()])
    }

    /// A body of several pieces.
    pub fn pieces(pieces: Vec<Bytes>) -> Self {
        let length = pieces.iter().map(|p| p.len() as u64).sum();
        Self(Kind::Pieces(pieces.into_iter(), length))
    }

    /// A body that goes on until the stream ends.
    pub fn stream(stream: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        // Whoever asks again after the end is told so again.
        Self(Kind::Stream(Box::pin(stream.fuse())))
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Kind::Pieces(_, length) => write!(f, "Body({length} bytes left)"),
            Kind::Stream(_) => f.write_str("Body(stream)"),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Kind::Pieces(pieces, left) => Poll::Ready(pieces.next().map(|piece| {
                *left -= piece.len() as u64;
                Ok(Frame::data(piece))
            })),
            Kind::Stream(stream) => stream.as_mut().poll_next(cx).map(|next| next.map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.0, Kind::Pieces(pieces, _) if pieces.len() == 0)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Pieces(_, left) => SizeHint::with_exact(*left),
            Kind::Stream(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn a_stream_that_has_ended_stays_ended() {
        let mut body = Body::stream(futures::stream::unfold(1, |left| async move {
            (left > 0).then(|| (Bytes::from_static(b"piece"), left - 1))
        }));
        let mut next = || body.frame().now_or_never().unwrap().is_some();
        assert_eq!([next(), next(), next()], [true, false, false]);
    }
}
