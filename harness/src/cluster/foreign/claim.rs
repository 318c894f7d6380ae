//! Taking names on a cluster that others use: what is there already is theirs, unless it carries our label.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DynamicObject, ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::Value;
use thiserror::Error;

use crate::cluster::access::RUN_LABEL;
use crate::sim::seed::RunId;

/// Why a namespace cannot be had.
#[derive(Debug, Error)]
pub enum ClaimError {
    /// Somebody else's.
    #[error(
        "the namespace {0} is there already and is not ours: remove it, choose another cluster, or give the scenario \
         another namespace"
    )]
    Taken(String),
    /// Another run's, which has not put it away.
    #[error("the namespace {namespace} is left over from run {run}: `slipway clean --run {run}` removes it")]
    LeftOver {
        /// The namespace.
        namespace: String,
        /// The run.
        run: String,
    },
    /// The API server does not say, or refuses.
    #[error("cannot make the namespace {namespace}")]
    Refused {
        /// The namespace.
        namespace: String,
        /// The API server's answer.
        #[source]
        source: kube::Error,
    },
}

/// Makes a namespace for the run; none of that name may be there.
///
/// # Errors
/// See [`ClaimError`].
pub async fn namespace(client: &Client, run: &RunId, name: &str) -> Result<(), ClaimError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let refused = |source| ClaimError::Refused { namespace: name.to_owned(), source };
    let labels = Some([(RUN_LABEL.to_owned(), run.0.clone())].into());
    let metadata = ObjectMeta { name: Some(name.to_owned()), labels, ..ObjectMeta::default() };
    let made = api.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await;
    match made {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let there = api.get_opt(name).await.map_err(refused)?;
            match there.and_then(|there| there.labels().get(RUN_LABEL).cloned()) {
                Some(of) if of != run.0 => Err(ClaimError::LeftOver { namespace: name.to_owned(), run: of }),
                _ => Err(ClaimError::Taken(name.to_owned())),
            }
        }
        Err(source) => Err(refused(source)),
    }
}

/// Whether an object that a step is about to write becomes ours by that. What is there without our label may be written
/// only in a namespace of ours, where controllers make objects for us.
pub(super) async fn is_takeable(
    client: &Client,
    run: &RunId,
    api: &Api<DynamicObject>,
    manifest: &Value,
) -> Result<bool, String> {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let name = text("/metadata/name");
    if name.is_empty() {
        // Its name is made up by the server.
        return Ok(true);
    }
    // An answer that is no object is dealt with by whoever writes it.
    let Ok(Some(there)) = api.get_opt(name).await else { return Ok(true) };
    let is_ours = |labels: Option<&String>| labels == Some(&run.0);
    if is_ours(there.labels().get(RUN_LABEL)) {
        return Ok(true);
    }
    if let Some(namespace) = there.namespace() {
        let api: Api<Namespace> = Api::all(client.clone());
        let around = api.get_opt(&namespace).await.ok().flatten();
        if around.is_some_and(|around| is_ours(around.labels().get(RUN_LABEL))) {
            return Ok(false);
        }
    }
    Err(format!("{} {name} is there already and is not ours: scenarios change nothing that others have", text("/kind")))
}
