//! What a binding feeds its policy: objects of the policy's `paramKind`, by name or by label.

use serde_json::Value;

use super::rules::{Binding, Policy};
use crate::admission::attributes::Attributes;
use crate::convert;
use crate::resource::SharedResource;
use crate::service::ApiServer;
use crate::store::{GroupResource, Key};

fn resource(server: &ApiServer, (api_version, kind): &(String, String)) -> Option<SharedResource> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    server.0.registry.find_kind(group, version, kind)
}

/// What is wrong with a policy whose `paramKind` is not served.
pub(super) fn unknown_kind(server: &ApiServer, policy: &Policy) -> Option<String> {
    let kind = policy.param_kind.as_ref()?;
    let (group, version) = kind.0.split_once('/').unwrap_or(("", &kind.0));
    let why = || format!("failed to find resource referenced by paramKind: '{group}/{version}, Kind={}'", kind.1);
    resource(server, kind).is_none().then(why)
}

/// The objects that a policy is to judge with, one after another. A single none means that it judges without.
///
/// # Errors
/// What is wrong with the binding, or that there is nothing where something is required.
pub(super) async fn collect(
    server: &ApiServer,
    policy: &Policy,
    binding: &Binding,
    about: &Attributes,
) -> Result<Vec<Option<Value>>, String> {
    let (Some(kind), Some(wanted)) = (&policy.param_kind, &binding.params) else { return Ok(vec![None]) };
    let Some(resource) = resource(server, kind) else { return Ok(Vec::new()) };
    let namespace = match (resource.namespaced, wanted.namespace.as_str(), about.namespace.as_str()) {
        (false, "", _) => "",
        (false, _, _) => {
            return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned());
        }
        (true, "", "") => {
            let why = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources";
            return Err(why.to_owned());
        }
        (true, "", own) => own,
        (true, given, _) => given,
    };
    let home = resource.rules.stored_as().unwrap_or((&resource.group, &resource.plural));
    let collection = GroupResource::new(home.0, home.1);
    let store = &server.0.store;
    let found = if wanted.name.is_empty() {
        // The present is never compacted.
        let listed = store.list(&collection, resource.namespaced.then_some(namespace), None);
        let mut all = listed.map(|now| now.objects).unwrap_or_default();
        all.retain(|object| wanted.selector.matches(&object.value));
        all
    } else {
        store.get(&collection, &Key::new(namespace, wanted.name.as_str())).into_iter().collect()
    };
    if found.is_empty() && wanted.required {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
    }
    let mut params = Vec::with_capacity(found.len());
    for object in found {
        let param = convert::to(server, &resource, &object.value).await;
        params.push(Some(param.map_err(|error| error.message)?));
    }
    Ok(params)
}
