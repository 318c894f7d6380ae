//! `serviceaccounts/token`: a token for whoever may speak for a service account.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{Call, Reply};
use crate::access::account::{self, Grant, Named};
use crate::access::token::ISSUER;
use crate::admission;
use crate::apply::{Manager, Operation, managed};
use crate::decode::{self, FieldValidation};
use crate::field::{FieldError, quote};
use crate::lifecycle::{self, meta, metadata};
use crate::resource::Resource;
use crate::resources::value::{has, int, items, text};
use crate::schema::node::SchemaRef;
use crate::status::ApiError;
use crate::store::{GroupResource, Key, Stored};

const GROUP: &str = "authentication.k8s.io";
const DEFAULT_SECONDS: i64 = 3600;
const SECONDS_MIN: i64 = 600;
const SECONDS_MAX: i64 = 1 << 32;
/// What kubelets ask for who mount a token in the way of old. Such tokens are good for a year, but it is noted who uses
/// them for longer than was asked.
const MOUNTED_SECONDS: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;

/// Makes a token for the request's account.
pub(super) async fn create(call: &mut Call) -> Result<Reply, ApiError> {
    call.check_options("CreateOptions")?;
    let mut request = decoded(call)?;
    for (field, own) in [("name", &call.target.name), ("namespace", &call.target.namespace)] {
        let given = meta(&request, field);
        if !given.is_empty() && given != own {
            let why = format!("must match the service account {field} if specified");
            let error = FieldError::invalid(format!("metadata.{field}"), given, why);
            return Err(ApiError::invalid(GROUP, "TokenRequest", &call.target.name, &[error]));
        }
    }
    admission::admit_create(call, &mut request)?;
    admission::mutate(call, admission::Operation::Create, &mut request, None).await?;
    let account = call.store().get(&call.collection(), &call.key()).ok_or_else(|| call.not_found())?;
    let (now, now_text) = (call.now(), call.now_text());
    complete(&mut request, call, &now_text);
    let errors = validate(&request["spec"]);
    if !errors.is_empty() {
        return Err(ApiError::invalid(GROUP, "TokenRequest", "", &errors));
    }
    admission::validate(call, admission::Operation::Create, &request, None).await?;
    let spec = &request["spec"];
    let bound = bound(call, &spec["boundObjectRef"])?;
    let audiences: Vec<String> = items(spec, "audiences").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let asked = int(spec, "expirationSeconds").unwrap_or(DEFAULT_SECONDS);
    let mounted = bound.contains_key("pod") && asked == MOUNTED_SECONDS && audiences == [ISSUER];
    let grant = Grant {
        namespace: call.target.namespace.clone(),
        account: Named::of(&account.value),
        bound,
        audiences,
        now,
        seconds: if mounted { EXTENDED_SECONDS } else { asked },
        warn_after: mounted.then_some(asked),
        id: call.server.0.entropy.uid(),
    };
    let token = call.server.0.signer.sign(&account::claims(&grant));
    let end = now.saturating_add(SignedDuration::from_secs(asked)).unwrap_or(now);
    request["status"] = json!({"token": token, "expirationTimestamp": lifecycle::time_text(end)});
    Ok(Reply::Plain(StatusCode::CREATED, request))
}

fn decoded(call: &mut Call) -> Result<Value, ApiError> {
    let media = decode::media(&call.headers)?;
    let resource = Resource {
        group: GROUP.to_owned(),
        version: "v1".to_owned(),
        kind: "TokenRequest".to_owned(),
        schema: SchemaRef::Builtin("io.k8s.api.authentication.v1.TokenRequest"),
        ..(*call.resource).clone()
    };
    let validation = FieldValidation::of(&call.query);
    let mut request = decode::object(&call.body, media, &resource, validation, &mut call.warnings)?;
    lifecycle::wipe_system_fields(&mut request);
    let manager = Manager { api_version: format!("{GROUP}/v1"), ..call.manager(Operation::Update) };
    managed::record_update(&manager, None, &mut request, &resource, &call.now_text());
    Ok(request)
}

/// Fills in what was not said.
fn complete(request: &mut Value, call: &Call, now: &str) {
    let fields = metadata(request);
    fields.insert("name".to_owned(), call.target.name.as_str().into());
    fields.insert("namespace".to_owned(), call.target.namespace.as_str().into());
    fields.insert("creationTimestamp".to_owned(), now.into());
    let spec = &request["spec"];
    let audiences = if items(spec, "audiences").is_empty() { json!([ISSUER]) } else { spec["audiences"].clone() };
    let seconds = int(spec, "expirationSeconds").unwrap_or(DEFAULT_SECONDS);
    request["spec"] =
        json!({"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": spec["boundObjectRef"]});
}

fn validate(spec: &Value) -> Vec<FieldError> {
    let seconds = int(spec, "expirationSeconds").unwrap_or_default();
    let refuse = |why: &str| vec![FieldError::invalid("spec.expirationSeconds", seconds, why)];
    match seconds {
        ..SECONDS_MIN => refuse("may not specify a duration less than 10 minutes"),
        _ if seconds > SECONDS_MAX => refuse("may not specify a duration larger than 2^32 seconds"),
        _ => Vec::new(),
    }
}

/// What the token is to be bound to, with the node of a Pod.
fn bound(call: &Call, reference: &Value) -> Result<BTreeMap<&'static str, Named>, ApiError> {
    let mut bound = BTreeMap::new();
    if !reference.is_object() {
        return Ok(bound);
    }
    let (version, kind, name) = (text(reference, "apiVersion"), text(reference, "kind"), text(reference, "name"));
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let own = call.target.namespace.as_str();
    let (claim, resource, namespace) = match (group, kind) {
        ("", "Pod") => ("pod", "pods", own),
        ("", "Secret") => ("secret", "secrets", own),
        ("", "Node") => ("node", "nodes", ""),
        _ => {
            let what = format!("{group}/{version}, Kind={kind}");
            return Err(ApiError::bad_request(format!("cannot bind token to object of type {what}")));
        }
    };
    let object = get(call, resource, namespace, name).ok_or_else(|| ApiError::not_found("", resource, name))?;
    if claim == "pod" {
        let account = &call.target.name;
        if object.value["spec"]["serviceAccountName"] != account.as_str() {
            let message = format!(
                "cannot bind token for serviceaccount {} to pod running with different serviceaccount name.",
                quote(account)
            );
            return Err(ApiError::bad_request(message));
        }
        let node = text(&object.value["spec"], "nodeName");
        if !node.is_empty() {
            let absent = || Named { name: node.to_owned(), uid: String::new() };
            bound.insert("node", get(call, "nodes", "", node).map_or_else(absent, |node| Named::of(&node.value)));
        }
    }
    let uid = text(reference, "uid");
    if has(reference, "uid") && !uid.is_empty() && uid != object.uid() {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been \
             deleted and then recreated"
        );
        return Err(ApiError::conflict("", kind, name, &why));
    }
    bound.insert(claim, Named::of(&object.value));
    Ok(bound)
}

fn get(call: &Call, resource: &str, namespace: &str, name: &str) -> Option<Arc<Stored>> {
    call.store().get(&GroupResource::new("", resource), &Key::new(namespace, name))
}
