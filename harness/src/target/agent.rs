//! The images that the built-in operator uses, as programs of the simulated nodes: the agent's own code, run for real
//! against the node's own files, and its link table or network namespace.

mod files;
mod host;
#[cfg(target_os = "linux")]
mod kernel;

use slipway_operator::agent::{Outcome, Request, SpecSource, Stop, bad_input, run, spec_from_json};
use slipway_operator::api::agent::AgentAction;

use self::host::ContainerHost;
#[cfg(target_os = "linux")]
use self::kernel::KernelHost;
use crate::cluster::embedded::node::images::stand_ins;
use crate::cluster::embedded::node::network::NodeNetwork;
use crate::cluster::embedded::node::program::{Exit, Process, Programs};
use crate::scenario::image::Image;

/// The agent's image under any registry and tag.
const IMAGES: [&str; 2] = ["multinic-agent*", "*/multinic-agent*"];

/// The agent's images, and what stands in for those of others.
pub fn programs(others: &[Image]) -> Programs {
    let own = IMAGES.iter().fold(Programs::new(), |programs, image| programs.with_function(*image, agent));
    stand_ins(own, others)
}

/// What the `multinic-agent` command does, with the container's surroundings in place of a process's.
async fn agent(process: Process) -> Exit {
    let outcome = match Request::from_env(&process.env) {
        Ok(request) => outcome(&process, request).await,
        Err(error) => {
            let node = process.env.get(slipway_operator::api::agent::env::NODE_NAME).map(String::as_str);
            bad_input(AgentAction::Apply, node, error.to_string())
        }
    };
    process.log.write(&outcome.message);
    if let Err(error) = process.last_words(&outcome.message) {
        process.log.write(&format!("the summary cannot be written to {}: {error}", process.termination_log));
    }
    Exit(outcome.exit.code().into())
}

async fn outcome(process: &Process, request: Request) -> Outcome {
    let request = match &request.source {
        SpecSource::Given(_) => request,
        SpecSource::File(path) => {
            let read = process.files.read(path).map_err(|error| error.to_string());
            let text = read.and_then(|bytes| String::from_utf8(bytes).map_err(|error| error.to_string()));
            let spec =
                text.and_then(|text| spec_from_json(&path.to_string_lossy(), &text).map_err(|error| error.to_string()));
            match spec {
                Ok(spec) => request.with_spec(spec),
                Err(error) => {
                    let message = format!("cannot read the spec from {}: {error}", path.display());
                    return bad_input(request.action, request.node.as_deref(), message);
                }
            }
        }
        SpecSource::NodeCr { .. } => {
            // Containers of simulated nodes have no service account token to read it with.
            let message = "the API server cannot be reached from here: there is no service account token".to_owned();
            return bad_input(request.action, request.node.as_deref(), message);
        }
    };
    let (sender, stop) = Stop::new();
    let told = process.stop.clone();
    let listening = async {
        told.cancelled().await;
        // The run looks at it between interfaces.
        let _ = sender.send(true);
        std::future::pending::<Outcome>().await
    };
    let running = async {
        match process.network.network() {
            NodeNetwork::Simulated(network) => run(&request, &ContainerHost::new(process, network), &stop).await,
            #[cfg(target_os = "linux")]
            NodeNetwork::Namespace(namespace) => run(&request, &KernelHost::new(process, namespace), &stop).await,
            #[cfg(not(target_os = "linux"))]
            NodeNetwork::Namespace(namespace) => match **namespace {},
        }
    };
    tokio::select! {
        biased;
        outcome = running => outcome,
        outcome = listening => outcome,
    }
}
