//! One client: a loop of requests.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::endpoints::View;
use super::tally::{Fate, Tally};
use crate::cluster::Cluster;
use crate::scenario::plan::TrafficSpec;

/// The wait after a request that nobody answered, so that a client without luck does not spin.
const AFTER_A_DROP: Duration = Duration::from_millis(50);

/// One client.
pub(super) struct Caller {
    /// Clients begin at different endpoints.
    pub(super) number: u32,
    pub(super) spec: TrafficSpec,
    pub(super) cluster: Arc<dyn Cluster>,
    pub(super) view: watch::Receiver<View>,
    pub(super) tally: Arc<Mutex<Tally>>,
    pub(super) finish: CancellationToken,
}

/// A connection that stands, and how many requests it has carried.
struct Open {
    sender: SendRequest<Full<Bytes>>,
    to: SocketAddr,
    carried: u32,
}

impl Caller {
    /// Sends requests until it is to finish; the one that is under way then is waited for.
    pub(super) async fn run(mut self) {
        if self.view.wait_for(Option::is_some).await.is_err() {
            return;
        }
        let mut turn = self.number as usize;
        let mut open: Option<Open> = None;
        while !self.finish.is_cancelled() {
            let began = Instant::now();
            let (fate, kept) = match tokio::time::timeout(self.spec.timeout, self.request(open.take(), turn)).await {
                Ok(answered) => answered,
                Err(_) => (Fate::TimedOut, None),
            };
            turn = turn.wrapping_add(1);
            open = kept;
            self.tally.lock().unwrap_or_else(PoisonError::into_inner).count(fate, began.elapsed());
            let answered = matches!(fate, Fate::Succeeded | Fate::Failed);
            let pause = if answered { self.spec.pause } else { self.spec.pause.max(AFTER_A_DROP) };
            tokio::select! {
                () = self.finish.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Sends one request over the connection that stands or over a new one; a connection that can carry more is kept.
    async fn request(&self, open: Option<Open>, turn: usize) -> (Fate, Option<Open>) {
        // A server may close a connection that is idle: nothing is lost by that.
        let usable = open.filter(|open| open.carried < self.spec.requests_per_connection && !open.sender.is_closed());
        let mut open = match usable {
            Some(open) => open,
            None => match self.connect(turn).await {
                Ok(open) => open,
                Err(fate) => return (fate, None),
            },
        };
        open.carried += 1;
        let last = open.carried >= self.spec.requests_per_connection;
        let Ok(request) = self.build(open.to, turn, last) else { return (Fate::Failed, None) };
        match exchange(&mut open.sender, request).await {
            Ok(status) if status.is_server_error() => (Fate::Failed, (!last).then_some(open)),
            Ok(_) => (Fate::Succeeded, (!last).then_some(open)),
            Err(error) => {
                tracing::debug!(%error, to = %open.to, "a request was lost");
                (Fate::Reset, None)
            }
        }
    }

    fn build(&self, to: SocketAddr, turn: usize, last: bool) -> Result<Request<Full<Bytes>>, http::Error> {
        let path = turn.checked_rem(self.spec.paths.len()).and_then(|at| self.spec.paths.get(at));
        let mut request = Request::get(path.map_or("/", String::as_str)).header(header::HOST, to.to_string());
        if last {
            request = request.header(header::CONNECTION, HeaderValue::from_static("close"));
        }
        request.body(Full::default())
    }

    /// Connects to the endpoint whose turn it is.
    async fn connect(&self, turn: usize) -> Result<Open, Fate> {
        let view = self.view.borrow().clone().unwrap_or_default();
        let Some(to) = turn.checked_rem(view.len()).and_then(|at| view.get(at)).copied() else {
            return Err(Fate::Unavailable);
        };
        let stream = self.cluster.dial(to).await.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => Fate::Refused,
            _ => Fate::Reset,
        })?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|_| Fate::Reset)?;
        tokio::spawn(async move {
            // How it ended is told to whoever waits for an answer.
            let _ = connection.await;
        });
        Ok(Open { sender, to, carried: 0 })
    }
}

async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<StatusCode, hyper::Error> {
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    response.into_body().collect().await?;
    Ok(status)
}
