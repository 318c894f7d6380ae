//! The entry: a tower service over HTTP requests.
//!
//! [`ApiServer`] authenticates by the `Authorization` header, as a listener needs it; [`ApiServer::as_user`] gives a
//! service with a fixed identity, from which an in-process client is made without a socket.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use tokio::sync::broadcast;

pub use crate::access::User;
pub use crate::body::Body;
use crate::clock::Clock;
use crate::entropy::Entropy;

/// How many request records an observer may lag behind before it is told that it missed some.
const RECORDS_KEPT: usize = 4096;

/// What a server is made from.
#[derive(Clone, Debug)]
pub struct Config {
    /// The time it goes by.
    pub clock: Clock,
    /// Where uids and generated names come from.
    pub seed: u64,
    /// Bearer tokens and whom they stand for.
    pub tokens: Vec<(String, User)>,
    /// Events kept per resource before the oldest are compacted away.
    pub history: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { clock: Clock::system(), seed: 0, tokens: Vec::new(), history: 10_000 }
    }
}

/// What one request was and how it ended. A watch is recorded when its stream begins.
#[derive(Clone, Debug)]
pub struct Record {
    /// Kubernetes' verb, like `list` or `deletecollection`; the HTTP method in lower case for other paths.
    pub verb: &'static str,
    /// The API group, empty for the core group.
    pub group: String,
    /// The resource's plural name, empty for paths that are no resource.
    pub resource: String,
    /// The namespace, empty at cluster scope.
    pub namespace: String,
    /// The object's name, empty for collections; a created object's name is what it was created with.
    pub name: String,
    /// The subresource, empty for the object itself.
    pub subresource: String,
    /// Who asked.
    pub user: String,
    /// The `User-Agent`, empty where there was none.
    pub user_agent: String,
    /// The HTTP status of the answer.
    pub status: StatusCode,
    /// The store's revision when the answer was made.
    pub revision: u64,
    /// When the request came in.
    pub started: Timestamp,
    /// When its answer was ready.
    pub ended: Timestamp,
}

/// The server; clones are the same server.
#[derive(Clone, Debug)]
pub struct ApiServer(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
    pub(crate) tokens: Vec<(String, User)>,
    pub(crate) records: broadcast::Sender<Arc<Record>>,
}

impl ApiServer {
    /// A server with the namespaces and roles that every cluster has.
    pub fn new(config: Config) -> Self {
        Self(Arc::new(Inner {
            clock: config.clock,
            entropy: Entropy::seeded(config.seed),
            tokens: config.tokens,
            records: broadcast::Sender::new(RECORDS_KEPT),
        }))
    }

    /// A service whose requests are all made by `user`, for clients in this process.
    pub fn as_user(&self, user: User) -> UserService {
        UserService { server: self.clone(), user: Arc::new(user) }
    }

    /// The time the server goes by.
    pub fn clock(&self) -> Clock {
        self.0.clock
    }

    /// Every request from now on, as it is answered. A receiver that lags behind is told so.
    pub fn observe(&self) -> broadcast::Receiver<Arc<Record>> {
        self.0.records.subscribe()
    }
}

/// The service of one user.
#[derive(Clone, Debug)]
pub struct UserService {
    server: ApiServer,
    user: Arc<User>,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<B> tower::Service<Request<B>> for UserService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<B>) -> Answer {
        Box::pin(async move { Ok(Response::new(Body::full("not found"))) })
    }
}

impl<B> tower::Service<Request<B>> for ApiServer
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<B>) -> Answer {
        Box::pin(async move { Ok(Response::new(Body::full("not found"))) })
    }
}
