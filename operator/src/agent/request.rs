//! What the agent is asked to do, from its environment. Pure: the environment comes in as a map.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::error::Category;

use crate::api::agent::{AgentAction, AgentSettings, AgentSpec, OsKind, env};

/// What the agent is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The action.
    pub action: AgentAction,
    /// The node, where the environment says it.
    pub node: Option<String>,
    /// The spec, or where it is.
    pub source: SpecSource,
}

/// The spec, or where it is. The edges of the agent read the other two forms and turn them into the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpecSource {
    /// The spec itself.
    Given(Box<AgentSpec>),
    /// A file with the spec as JSON.
    File(PathBuf),
    /// The custom resource named as the node.
    NodeCr {
        /// Its namespace.
        namespace: String,
        /// Its name, the node's.
        name: String,
        /// How the node keeps its configuration, which the resource does not say.
        os: OsKind,
        /// What holds for all interfaces, which the resource does not say either.
        settings: Box<AgentSettings>,
    },
}

/// The environment does not make a request.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// A variable is needed and absent or empty.
    #[error("{0} is not set")]
    Missing(&'static str),
    /// A variable has a value it cannot have.
    #[error("{name} is {value:?}: it must be one of {allowed}")]
    Unknown {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// The values it can have.
        allowed: &'static str,
    },
    /// A JSON text cannot be read.
    #[error("{name} is not what it must be ({})", describe(source))]
    Json {
        /// The variable, or the file.
        name: String,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
}

impl Request {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`RequestError`] when a variable is missing or cannot be read.
    pub fn from_env(vars: &BTreeMap<String, String>) -> Result<Self, RequestError> {
        let var = |name: &'static str| vars.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let need = |name: &'static str| var(name).ok_or(RequestError::Missing(name));
        let action = match var(env::ACTION).unwrap_or("apply") {
            "apply" => AgentAction::Apply,
            "cleanup" => AgentAction::Cleanup,
            "verify" => AgentAction::Verify,
            other => return Err(unknown(env::ACTION, other, "apply, cleanup, verify")),
        };
        let source = match var(env::DATA_SOURCE).unwrap_or("env") {
            "env" => SpecSource::Given(Box::new(spec_from_json(env::SPEC, need(env::SPEC)?)?)),
            "file" => SpecSource::File(need(env::SPEC_FILE)?.into()),
            "nodecr" => SpecSource::NodeCr {
                namespace: need(env::NODE_CR_NAMESPACE)?.to_owned(),
                name: need(env::NODE_NAME)?.to_owned(),
                os: os_from_name(need(env::OS)?)?,
                settings: Box::new(match var(env::SETTINGS) {
                    None => AgentSettings::default(),
                    Some(text) => from_json(env::SETTINGS, text)?,
                }),
            },
            other => return Err(unknown(env::DATA_SOURCE, other, "env, file, nodecr")),
        };
        Ok(Self { action, node: var(env::NODE_NAME).map(str::to_owned), source })
    }

    /// The same request with its spec at hand.
    #[must_use]
    pub fn with_spec(self, spec: AgentSpec) -> Self {
        Self { source: SpecSource::Given(Box::new(spec)), ..self }
    }
}

/// Reads a spec. `name` says where the text is from.
///
/// # Errors
/// [`RequestError::Json`].
pub fn spec_from_json(name: &str, text: &str) -> Result<AgentSpec, RequestError> {
    from_json(name, text)
}

fn from_json<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> Result<T, RequestError> {
    serde_json::from_str(text).map_err(|source| RequestError::Json { name: name.to_owned(), source })
}

fn os_from_name(value: &str) -> Result<OsKind, RequestError> {
    OsKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == value)
        .ok_or_else(|| unknown(env::OS, value, "Netplan, Ifcfg, NetworkManager"))
}

fn unknown(name: &'static str, value: &str, allowed: &'static str) -> RequestError {
    RequestError::Unknown { name, value: value.chars().take(40).collect(), allowed }
}

/// The kind of mistake; the source has the details.
fn describe(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        Category::Io => "it cannot be read",
        Category::Syntax => "it is not JSON",
        Category::Data => "it is JSON of another shape",
        Category::Eof => "it ends too early",
    }
}
