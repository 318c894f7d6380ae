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
        let data_source = var(env::DATA_SOURCE).unwrap_or("env");
        let source = match data_source {
            // What is to be undone stands in the node's own files; the resource may be gone.
            "env" | "nodecr" if action == AgentAction::Cleanup && var(env::SPEC).is_none() => {
                SpecSource::Given(Box::new(nothing(var(env::NODE_NAME))))
            }
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

/// The spec of a node that is to have no interfaces.
fn nothing(node: Option<&str>) -> AgentSpec {
    AgentSpec {
        node_name: node.unwrap_or_default().to_owned(),
        config_uid: String::new(),
        generation: 0,
        os: OsKind::Netplan,
        interfaces: Vec::new(),
        settings: AgentSettings::default(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = r#"{"nodeName":"node-1","os":"Netplan","interfaces":[
        {"id":1,"name":"multinic1","mac":"fa:16:3e:f3:b0:3f","address":"11.11.11.33","cidr":"11.11.11.0/24","mtu":1450}]}"#;

    fn read(vars: &[(&str, &str)]) -> Result<Request, String> {
        let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Request::from_env(&vars).map_err(|error| error.to_string())
    }

    #[test]
    fn a_spec_in_the_environment_is_read_with_defaults_for_what_it_leaves_out() {
        let request = read(&[(env::SPEC, SPEC), (env::NODE_NAME, "node-1")]).unwrap();
        assert_eq!((request.action, request.node.as_deref()), (AgentAction::Apply, Some("node-1")));
        let SpecSource::Given(spec) = request.source else { panic!("no spec") };
        assert_eq!(spec.settings, AgentSettings::default());
        assert_eq!(spec.interfaces[0].cidr, "11.11.11.0/24".parse().ok());
    }

    #[test]
    fn every_data_source_says_what_it_needs() {
        let file =
            read(&[(env::DATA_SOURCE, "file"), (env::SPEC_FILE, "/spec.json"), (env::ACTION, "verify")]).unwrap();
        assert_eq!((file.action, file.source), (AgentAction::Verify, SpecSource::File("/spec.json".into())));
        let resource = read(&[
            (env::DATA_SOURCE, "nodecr"),
            (env::NODE_CR_NAMESPACE, "multinic-system"),
            (env::NODE_NAME, "node-1"),
            (env::OS, "Ifcfg"),
            (env::SETTINGS, r#"{"routeMetric":7}"#),
        ]);
        let settings = Box::new(AgentSettings { route_metric: 7, ..AgentSettings::default() });
        let (namespace, name) = ("multinic-system".to_owned(), "node-1".to_owned());
        assert_eq!(resource.unwrap().source, SpecSource::NodeCr { namespace, name, os: OsKind::Ifcfg, settings });
        for (vars, message) in [
            (&[][..], "MULTINIC_SPEC is not set"),
            (&[(env::SPEC, "")], "MULTINIC_SPEC is not set"),
            (&[(env::SPEC, "{")], "MULTINIC_SPEC is not what it must be (it ends too early)"),
            (&[(env::SPEC, "nonsense")], "MULTINIC_SPEC is not what it must be (it is not JSON)"),
            (&[(env::SPEC, "{}")], "MULTINIC_SPEC is not what it must be (it is JSON of another shape)"),
            (&[(env::ACTION, "install")], "AGENT_ACTION is \"install\": it must be one of apply, cleanup, verify"),
            (&[(env::DATA_SOURCE, "db")], "DATA_SOURCE is \"db\": it must be one of env, file, nodecr"),
            (&[(env::DATA_SOURCE, "file")], "MULTINIC_SPEC_FILE is not set"),
            (&[(env::DATA_SOURCE, "nodecr")], "NODE_CR_NAMESPACE is not set"),
        ] {
            assert_eq!(read(vars).unwrap_err(), message);
        }
    }

    #[test]
    fn a_cleanup_needs_no_spec() {
        for source in ["env", "nodecr"] {
            let vars = [(env::ACTION, "cleanup"), (env::DATA_SOURCE, source), (env::NODE_NAME, "node-1")];
            let SpecSource::Given(spec) = read(&vars).unwrap().source else { panic!("no spec") };
            assert_eq!((spec.node_name.as_str(), spec.interfaces.len()), ("node-1", 0));
        }
    }
}
