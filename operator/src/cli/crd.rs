//! `slipway-operator crd`: prints the definitions that the controllers need in a cluster.

use std::io::Write;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::Error;
use crate::runtime::Controller;

pub(super) fn print(controllers: &[Controller]) -> Result<(), Error> {
    let controllers = if controllers.is_empty() { &Controller::ALL } else { controllers };
    for crd in controllers.iter().flat_map(|controller| controller.crds()) {
        let text = render(&crd).map_err(|error| Error::Render(Box::new(error)))?;
        write!(std::io::stdout(), "---\n{text}").map_err(Error::Write)?;
    }
    Ok(())
}

/// A definition as YAML, the same in every run.
fn render(crd: &CustomResourceDefinition) -> Result<String, serde_yaml::ser::Error> {
    serde_yaml::to_string(crd)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Set this variable to write the files anew.
    const UPDATE: &str = "UPDATE_CRDS";

    #[test]
    fn the_committed_definitions_are_those_of_the_types() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/crds");
        for crd in Controller::ALL.into_iter().flat_map(Controller::crds) {
            let name = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
            let path = directory.join(&name);
            let text = format!("---\n{}", render(&crd).unwrap());
            if std::env::var_os(UPDATE).is_some() {
                std::fs::create_dir_all(&directory).unwrap();
                std::fs::write(&path, &text).unwrap();
            }
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(committed, text, "{name} is stale: run the tests once with {UPDATE}=1 and commit it");
        }
    }
}
