//! The entry: a tower service over HTTP requests.
//!
//! [`ApiServer`] authenticates by the `Authorization` header, as a listener needs it; [`ApiServer::as_user`] gives a
//! service with a fixed identity, from which an in-process client is made without a socket.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, header};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

pub use crate::access::User;
use crate::access::token::{self, Signer};
use crate::access::{self, bootstrap};
use crate::admission::Admission;
pub use crate::body::Body;
use crate::clock::Clock;
use crate::convert;
use crate::decode::MAX_BODY_BYTES;
use crate::dial::{Dialer, ServiceDialer};
use crate::entropy::Entropy;
use crate::fault::{Faults, Rule};
use crate::gateway::PodGateway;
use crate::handle::{Call, Wire, connect, handle, path, reply};
use crate::negotiate::{self, Output};
use crate::observe::{Observed, Observer};
use crate::resource::Resource;
use crate::resources::Registry;
use crate::resources::registry::Table;
use crate::route::{Query, Route, Target, Verb, route};
use crate::status::ApiError;
use crate::store::Store;
use crate::upgrade;
use crate::warning;

/// What a server is made from.
#[derive(Clone, Debug)]
pub struct Config {
    /// The time it goes by.
    pub clock: Clock,
    /// Where uids and generated names come from.
    pub seed: u64,
    /// Bearer tokens and whom they stand for.
    pub tokens: Vec<(String, User)>,
    /// Whether new Pods get a service account and its token. Somebody must make an account for every namespace then, as
    /// the controllers of a cluster do.
    pub service_accounts: bool,
    /// Events kept per resource before the oldest are compacted away.
    pub history: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { clock: Clock::system(), seed: 0, tokens: Vec::new(), service_accounts: false, history: 4096 }
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
    /// The store's revision when the request came in.
    pub revision_before: u64,
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
    /// Whether new Pods get a service account and its token.
    pub(crate) service_accounts: bool,
    /// Signs the tokens of service accounts.
    pub(crate) signer: Signer,
    pub(crate) tokens: RwLock<Vec<(String, Arc<User>)>>,
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    /// Who looks on.
    pub(crate) observed: Observed,
    /// Held while a definition's resources are put into the registry.
    pub(crate) definitions: Mutex<()>,
    /// The way to what runs in Pods.
    pub(crate) gateway: OnceLock<Arc<dyn PodGateway>>,
    /// Who has a say in writes.
    pub(crate) admission: Admission,
    /// Who answers for Services.
    pub(crate) dialer: Dialer,
    /// What requests must suffer.
    pub(crate) faults: Faults,
    /// Ends all watches.
    pub(crate) closing: CancellationToken,
}

impl ApiServer {
    /// A server with the namespaces and roles that every cluster has.
    pub fn new(config: Config) -> Self {
        let entropy = Entropy::seeded(config.seed);
        let observed = Observed::default();
        let store = Store::new(config.history).observed_by(observed.clone());
        bootstrap::fill(&store, || entropy.uid(), &config.clock.now_text());
        Self(Arc::new(Inner {
            clock: config.clock,
            entropy,
            service_accounts: config.service_accounts,
            signer: Signer::from_seed(&Entropy::key(config.seed)),
            tokens: RwLock::new(config.tokens.into_iter().map(|(token, user)| (token, Arc::new(user))).collect()),
            store,
            registry: Registry::builtin(),
            observed,
            definitions: Mutex::new(()),
            gateway: OnceLock::new(),
            admission: Admission::default(),
            dialer: Dialer::default(),
            faults: Faults::default(),
            closing: CancellationToken::new(),
        }))
    }

    /// Lets whoever shows `token` in as `user`, beside those whom the server was made with.
    pub fn admit(&self, token: String, user: User) {
        let mut tokens = self.0.tokens.write().unwrap_or_else(PoisonError::into_inner);
        tokens.push((token, Arc::new(user)));
    }

    /// A service whose requests are all made by `user`, for clients in this process.
    pub fn as_user(&self, user: User) -> UserService {
        UserService { server: self.clone(), user: Arc::new(user) }
    }

    /// The time the server goes by.
    pub fn clock(&self) -> Clock {
        self.0.clock
    }

    /// Whom tokens are meant for that are shown to the server.
    pub(crate) fn audiences() -> [String; 1] {
        [token::ISSUER.to_owned()]
    }

    /// Every resource that is served now.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// Lets logs, commands and ports of Pods be reached this way; only the first gateway counts.
    pub fn set_pod_gateway(&self, gateway: Arc<dyn PodGateway>) {
        // A server belongs to one cluster.
        let _ = self.0.gateway.set(gateway);
    }

    /// Lets requests to Services be answered from here from now on; none can be reached without. A new dialer replaces
    /// the one before.
    pub fn set_service_dialer(&self, dialer: Arc<dyn ServiceDialer>) {
        self.0.dialer.set(dialer);
    }

    /// Lets requests suffer these faults from now on, in place of those before.
    pub fn set_faults(&self, rules: Vec<Rule>) {
        self.0.faults.set(rules);
    }

    /// The revision of the last write.
    pub fn revision(&self) -> u64 {
        self.0.store.revision()
    }

    /// Lets `observer` look on from now on; only the first one does.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        // A server belongs to one cluster.
        let _ = self.0.observed.set(observer);
    }

    /// Ends all watches, now and from now on, so that connections can be closed.
    pub fn close(&self) {
        self.0.closing.cancel();
    }
}

/// The service of one user.
#[derive(Clone, Debug)]
pub struct UserService {
    server: ApiServer,
    user: Arc<User>,
}

impl UserService {
    /// Answers a request as it came, over a connection or without one.
    pub(crate) fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (server, user) = (self.server.clone(), Arc::clone(&self.user));
        Box::pin(async move { Ok(serve(server, Ok(user), request).await) })
    }
}

pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

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

    fn call(&mut self, request: Request<B>) -> Answer {
        if upgrade::is_asked(request.headers()) {
            return Box::pin(upgrade::through_memory(self.clone(), request).map(Ok));
        }
        self.answer(request)
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

    fn call(&mut self, request: Request<B>) -> Answer {
        let server = self.clone();
        let user = access::authenticate(&server, request.headers());
        Box::pin(async move { Ok(serve(server, user, request).await) })
    }
}

/// Answers a request and records it.
async fn serve<B>(server: ApiServer, user: Result<Arc<User>, ApiError>, request: Request<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    let started = server.0.clock.now();
    let (parts, body) = request.into_parts();
    let mut record = Record::starting(&parts, started);
    record.revision_before = server.0.store.revision();
    let response = match answer(&server, user, &parts, body, &mut record).await {
        Ok(response) => response,
        Err(error) => reply::error_response(&error),
    };
    record.status = response.status();
    record.revision = server.0.store.revision();
    record.ended = server.0.clock.now();
    tracing::debug!(
        verb = record.verb,
        resource = record.resource,
        namespace = record.namespace,
        name = record.name,
        status = record.status.as_u16(),
        "request"
    );
    if let Some(observer) = server.0.observed.get() {
        observer.answered(&record);
    }
    response
}

async fn answer<B>(
    server: &ApiServer,
    user: Result<Arc<User>, ApiError>,
    parts: &Parts,
    body: B,
    record: &mut Record,
) -> Result<Response<Body>, ApiError>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let route = route(&parts.method, parts.uri.path(), &query)?;
    if let Route::Resource(target) = &route {
        record.about(target);
    }
    let user = access::impersonate(server, &user?, &parts.headers)?;
    record.user.clone_from(&user.name);
    let target = match route {
        Route::Path(path) => {
            access::authorize_path(server, &user, record.verb, &path)?;
            return Ok(path::answer(server, &parts.method, &path, &parts.headers));
        }
        Route::Resource(target) => target,
    };
    access::authorize(server, &user, &target)?;
    let table = server.0.registry.table();
    let Some(resource) = table.find(&target.group, &target.version, &target.resource).cloned() else {
        return missing_resource(&table, &target);
    };
    if let Some(response) = misplaced(&resource, &target)? {
        return Ok(response);
    }
    let body = read(body).await?;
    let delay = server.0.faults.delay(&target);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    // What another program answers is not negotiated with this one.
    let connects = connect::takes(&target);
    let output = if connects { Output::default() } else { negotiate::output(&parts.headers)? };
    let wire = Wire::of(parts);
    let headers = parts.headers.clone();
    let (server, warnings) = (server.clone(), Vec::new());
    let mut call = Call { server, user, target, resource, query, headers, wire, body, output, warnings };
    let reply = handle(&mut call).await;
    call.warnings.extend(call.resource.deprecation.clone());
    record.name.clone_from(&call.target.name);
    let reply = match reply {
        Ok(reply) => convert::reply(&call.server, &call.resource, reply).await,
        refused => refused,
    };
    let mut response = match reply.and_then(|reply| reply::write(&call, reply)) {
        Ok(response) => response,
        Err(error) => reply::error_response(&error),
    };
    for warning in warning::headers(&call.warnings) {
        response.headers_mut().append(header::WARNING, warning);
    }
    Ok(response)
}

/// 404 for a resource that is not served: a group of the server's own says so as an API, others are not there at all.
fn missing_resource(table: &Table, target: &Target) -> Result<Response<Body>, ApiError> {
    let served = table.group(&target.group).and_then(|g| g.versions.iter().find(|v| v.name == target.version));
    match served {
        Some(version) if version.resources.iter().any(|r| r.definition.is_none()) => Err(ApiError::no_such_path()),
        _ => Ok(path::not_found()),
    }
}

/// 404 for a path that a resource of its scope does not have.
fn misplaced(resource: &Resource, target: &Target) -> Result<Option<Response<Body>>, ApiError> {
    let is_namespace = target.group.is_empty() && target.resource == "namespaces";
    let across = matches!(target.verb, Verb::List | Verb::Watch) && !target.named;
    let scoped = if resource.namespaced {
        !target.namespace.is_empty() || across
    } else {
        target.namespace.is_empty() || is_namespace
    };
    match resource.definition {
        _ if scoped && (!target.overlong || connect::takes(target)) => Ok(None),
        Some(_) => Ok(Some(path::not_found())),
        // Collections over all namespaces have a path, which can only be listed.
        None if resource.namespaced && !target.named => Err(ApiError::method_not_allowed()),
        None => Err(ApiError::no_such_path()),
    }
}

/// Reads a whole body.
///
/// # Errors
/// 413 beyond [`MAX_BODY_BYTES`], 400 for a body that breaks off.
async fn read<B>(body: B) -> Result<Bytes, ApiError>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    let mut body = std::pin::pin!(body);
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut length = 0;
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(frame) = frame else { return Err(ApiError::bad_request("the request's body broke off")) };
        if let Ok(piece) = frame.into_data() {
            length += piece.len();
            if length > MAX_BODY_BYTES {
                let message = format!("Request entity too large: limit is {MAX_BODY_BYTES}");
                return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message));
            }
            pieces.push(piece);
        }
    }
    Ok(match pieces.len() {
        1 => pieces.swap_remove(0),
        _ => Bytes::from(pieces.concat()),
    })
}

impl Record {
    fn starting(parts: &Parts, started: Timestamp) -> Self {
        let verb = match parts.method {
            Method::GET => "get",
            Method::HEAD => "head",
            Method::POST => "post",
            Method::PUT => "put",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            Method::OPTIONS => "options",
            _ => "other",
        };
        let agent = parts.headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        Self {
            verb,
            group: String::new(),
            resource: String::new(),
            namespace: String::new(),
            name: String::new(),
            subresource: String::new(),
            user: String::new(),
            user_agent: agent.to_owned(),
            status: StatusCode::OK,
            revision_before: 0,
            revision: 0,
            started,
            ended: started,
        }
    }

    fn about(&mut self, target: &Target) {
        self.verb = target.verb.as_str();
        self.group.clone_from(&target.group);
        self.resource.clone_from(&target.resource);
        self.namespace.clone_from(&target.namespace);
        self.name.clone_from(&target.name);
        self.subresource.clone_from(&target.subresource);
    }
}
