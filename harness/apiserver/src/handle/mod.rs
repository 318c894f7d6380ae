//! What is done for a request, once it is known who asks for what: one file per kind of request.
//!
//! A handler reads and writes the store and answers with a [`Reply`]; how that is written on the wire is decided in
//! [`reply`] alone.

pub(crate) mod connect;
mod create;
mod delete;
mod eviction;
pub(crate) mod get;
pub(crate) mod list;
mod log;
mod patch;
pub(crate) mod path;
mod pod;
pub(crate) mod reply;
mod review;
mod scale;
mod token;
mod update;
mod write;

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Uri};
use hyper::upgrade::OnUpgrade;
use jiff::Timestamp;

use crate::access::User;
use crate::apply::{Manager, Operation, managed};
use crate::decode::api_version;
use crate::field::FieldError;
use crate::lifecycle;
use crate::negotiate::Output;
use crate::resource::SharedResource;
use crate::route::{Query, Target, Verb};
use crate::service::ApiServer;
use crate::status::ApiError;
use crate::store::{GroupResource, Key, Store};

pub(crate) use reply::Reply;

/// One request for a resource, authenticated and authorized.
pub(crate) struct Call {
    pub(crate) server: ApiServer,
    pub(crate) user: Arc<User>,
    pub(crate) target: Target,
    pub(crate) resource: SharedResource,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) wire: Wire,
    pub(crate) body: Bytes,
    pub(crate) output: Output,
    /// What the client is warned of, beside the answer.
    pub(crate) warnings: Vec<String>,
}

/// What of a request only those look at who pass it on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    /// The connection itself, once the answer has been sent; none where the transport cannot be had.
    pub(crate) upgrade: Option<OnUpgrade>,
}

impl Wire {
    pub(crate) fn of(parts: &Parts) -> Self {
        let upgrade = parts.extensions.get::<OnUpgrade>().cloned();
        Self { method: parts.method.clone(), uri: parts.uri.clone(), upgrade }
    }
}

impl Call {
    /// The request without its body, for an answer that outlives it.
    pub(crate) fn split(&self) -> Self {
        Self {
            server: self.server.clone(),
            user: Arc::clone(&self.user),
            target: self.target.clone(),
            resource: Arc::clone(&self.resource),
            query: Query::default(),
            headers: HeaderMap::new(),
            wire: Wire::default(),
            body: Bytes::new(),
            output: self.output,
            warnings: Vec::new(),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.server.0.store
    }

    /// Where the request's resource is stored.
    pub(crate) fn collection(&self) -> GroupResource {
        let own = (self.resource.group.as_str(), self.resource.plural.as_str());
        let (group, plural) = self.resource.rules.stored_as().unwrap_or(own);
        GroupResource::new(group, plural)
    }

    /// Where the request's object is stored.
    fn key(&self) -> Key {
        self.key_of(&self.target.name)
    }

    fn key_of(&self, name: &str) -> Key {
        let namespace = if self.resource.namespaced { self.target.namespace.as_str() } else { "" };
        Key::new(namespace, name)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.server.0.clock.now()
    }

    fn now_text(&self) -> String {
        lifecycle::time_text(self.now())
    }

    fn dry_run(&self) -> bool {
        self.query.all("dryRun").iter().any(|v| v == "All")
    }

    fn user_agent(&self) -> Option<&str> {
        self.headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok())
    }

    /// Who is recorded for the fields that the request writes.
    fn manager(&self, operation: Operation) -> Manager {
        Manager {
            name: managed::manager_name(self.query.text("fieldManager"), self.user_agent()),
            operation,
            api_version: api_version(&self.resource),
            subresource: self.target.subresource.clone(),
        }
    }

    fn not_found(&self) -> ApiError {
        ApiError::not_found(&self.resource.group, &self.resource.plural, &self.target.name)
    }

    /// Refuses parameters that make no sense; `kind` is what Kubernetes calls them together.
    fn check_options(&self, kind: &str) -> Result<(), ApiError> {
        let mut errors = managed::validate_field_manager(self.query.get("fieldManager").unwrap_or_default());
        errors.extend(lifecycle::validate_dry_run(&self.query.all("dryRun")));
        if let Some(level) = self.query.get("fieldValidation")
            && !["", "Ignore", "Strict", "Warn"].contains(&level)
        {
            errors.push(FieldError::not_supported("fieldValidation", level, &["", "Ignore", "Strict", "Warn"]));
        }
        if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid("meta.k8s.io", kind, "", &errors)) }
    }
}

/// Does what the request asks for.
pub(crate) async fn handle(call: &mut Call) -> Result<Reply, ApiError> {
    let allowed = allowed_verbs(call)?;
    let verb = call.target.verb;
    // A single object is watched through its path, too, and that is a right to `watch`, not to `get`.
    let collection = matches!(verb, Verb::List | Verb::Watch | Verb::DeleteCollection);
    let shape = match verb {
        Verb::Create => call.target.name.is_empty() || !call.target.subresource.is_empty(),
        Verb::Watch => true,
        _ => collection != call.target.named,
    };
    if !shape || !allowed.iter().any(|v| v == verb.as_str()) {
        return Err(match call.resource.definition {
            Some(_) => ApiError::method_not_supported(&call.resource.group, &call.resource.plural, verb.as_str()),
            None => ApiError::method_not_allowed(),
        });
    }
    if call.target.subresource.is_empty() {
        return match verb {
            _ if review::is_review(&call.resource) => review::create(call).await,
            Verb::Create if call.collection() == GroupResource::new("", "bindings") => pod::bind_by_name(call).await,
            Verb::Get => get::get(call).await,
            Verb::List => list::list(call).await,
            Verb::Watch => crate::watch::watch(call).await,
            Verb::Create => create::create(call).await,
            Verb::Update => update::update(call).await,
            Verb::Patch => patch::patch(call).await,
            Verb::Delete => delete::delete(call).await,
            Verb::DeleteCollection => delete::delete_collection(call).await,
        };
    }
    match (call.resource.group.as_str(), call.resource.plural.as_str(), call.target.subresource.as_str()) {
        ("", "pods", "binding") => pod::bind(call).await,
        ("", "pods", "eviction") => eviction::evict(call).await,
        ("", "pods", "log") => log::read(call),
        ("", _, "exec" | "attach" | "portforward" | "proxy") => connect::connect(call).await,
        ("", "serviceaccounts", "token") => token::create(call).await,
        (_, _, "scale") => match verb {
            Verb::Get => scale::get(call),
            Verb::Update | Verb::Patch => scale::update(call).await,
            _ => Err(ApiError::method_not_allowed()),
        },
        _ => match verb {
            Verb::Get => get::get(call).await,
            Verb::Update => update::update(call).await,
            Verb::Patch => patch::patch(call).await,
            _ => Err(ApiError::method_not_allowed()),
        },
    }
}

/// What may be done at the request's path.
fn allowed_verbs(call: &Call) -> Result<Vec<String>, ApiError> {
    let (resource, subresource) = (&call.resource, &call.target.subresource);
    if subresource.is_empty() {
        return Ok(resource.verbs.clone());
    }
    if call.target.overlong && !connect::takes(&call.target) {
        return Err(ApiError::no_such_path());
    }
    let found = resource.subresources.iter().find(|s| s.name == *subresource);
    match (found, &resource.definition) {
        (Some(found), _) => Ok(found.verbs.clone()),
        (None, Some(_)) => Err(call.not_found()),
        (None, None) => Err(ApiError::no_such_path()),
    }
}
