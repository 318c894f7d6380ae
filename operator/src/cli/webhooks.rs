//! `slipway-operator webhooks`: prints the webhook configurations that an installation needs.
//!
//! Who signs the webhooks' certificate is left out: the operator puts that in when it runs.

use std::io::Write;

use super::Error;
use crate::controllers::drain::gate::webhooks::{Installation, evictions, pods};
use crate::runtime::rbac::{NAME, NAMESPACE};

/// The port of the Service.
const PORT: u16 = 443;

#[derive(Debug, clap::Args)]
pub(super) struct WebhooksArgs {
    /// The only namespace that the operator is to look at, as in `run`
    #[arg(long)]
    namespace: Option<String>,
    /// Where the operator runs
    #[arg(long, default_value = NAMESPACE)]
    install_namespace: String,
}

impl From<WebhooksArgs> for Installation {
    fn from(args: WebhooksArgs) -> Self {
        Self {
            user: format!("system:serviceaccount:{}:{NAME}", args.install_namespace),
            namespace: args.install_namespace,
            service: format!("{NAME}-webhooks"),
            port: PORT,
            watched: args.namespace,
        }
    }
}

pub(super) fn print(args: WebhooksArgs) -> Result<(), Error> {
    let text = render(&args.into()).map_err(|error| Error::Render(Box::new(error)))?;
    std::io::stdout().write_all(text.as_bytes()).map_err(Error::Write)
}

/// The configurations as YAML, the same in every run.
fn render(at: &Installation) -> Result<String, serde_yaml::ser::Error> {
    let (evictions, pods) = (serde_yaml::to_string(&evictions(at))?, serde_yaml::to_string(&pods(at))?);
    Ok(format!("---\n{evictions}---\n{pods}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Set this variable to write the file anew.
    const UPDATE: &str = "UPDATE_WEBHOOKS";

    #[test]
    fn the_committed_configurations_are_those_of_the_gate() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/webhooks/drain.yaml");
        let text = render(&WebhooksArgs { namespace: None, install_namespace: NAMESPACE.to_owned() }.into()).unwrap();
        if std::env::var_os(UPDATE).is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(committed, text, "drain.yaml is stale: run the tests once with {UPDATE}=1 and commit it");
    }
}
