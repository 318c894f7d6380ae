//! `slipway-operator rbac`: prints the service accounts, roles and bindings that an installation needs.

use std::io::Write;

use super::Error;
use crate::runtime::Controller;
use crate::runtime::rbac::{AGENT_NAMESPACE, Install, NAMESPACE, Part, parts};

#[derive(Debug, clap::Args)]
pub(super) struct RbacArgs {
    /// For these controllers only
    #[arg(long, value_delimiter = ',')]
    controllers: Vec<Controller>,
    /// The only namespace that the operator is to look at, as in `run`
    #[arg(long)]
    namespace: Option<String>,
    /// Where the operator runs
    #[arg(long, default_value = NAMESPACE)]
    install_namespace: String,
    /// Where `MultiNIC` agents run; `--namespace` goes before
    #[arg(long, default_value = AGENT_NAMESPACE)]
    agent_namespace: String,
    /// The `ConfigMap` with the configuration of the drain controller, as in `run`
    #[arg(long, default_value_t = Install::default().config_map.1)]
    config_map_name: String,
    /// The namespace it is in; the operator's own unless told otherwise
    #[arg(long)]
    config_map_namespace: Option<String>,
}

impl From<RbacArgs> for Install {
    fn from(args: RbacArgs) -> Self {
        let controllers = if args.controllers.is_empty() { Controller::ALL.to_vec() } else { args.controllers };
        Self {
            controllers: controllers.into_iter().collect(),
            watched: args.namespace,
            config_map: (
                args.config_map_namespace.unwrap_or_else(|| args.install_namespace.clone()),
                args.config_map_name,
            ),
            namespace: args.install_namespace,
            agent_namespace: args.agent_namespace,
        }
    }
}

pub(super) fn print(args: RbacArgs) -> Result<(), Error> {
    for part in parts(&args.into()) {
        let text = render(&part).map_err(|error| Error::Render(Box::new(error)))?;
        std::io::stdout().write_all(text.as_bytes()).map_err(Error::Write)?;
    }
    Ok(())
}

/// A part as YAML, the same in every run.
fn render(part: &Part) -> Result<String, serde_yaml::ser::Error> {
    let documents = part.manifests.iter().map(|manifest| Ok(format!("---\n{}", serde_yaml::to_string(manifest)?)));
    documents.collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Set this variable to write the files anew.
    const UPDATE: &str = "UPDATE_RBAC";

    #[test]
    fn the_committed_roles_are_those_of_the_controllers() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/rbac");
        for part in parts(&Install::default()) {
            let name = format!("{}.yaml", part.name);
            let path = directory.join(&name);
            let text = render(&part).unwrap();
            if std::env::var_os(UPDATE).is_some() {
                std::fs::create_dir_all(&directory).unwrap();
                std::fs::write(&path, &text).unwrap();
            }
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(committed, text, "{name} is stale: run the tests once with {UPDATE}=1 and commit it");
        }
    }
}
