//! As many Pods as objects, all of them evicted at once and again while they are held, as the autoscaler does it.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DynamicObject, EvictParams};

use super::follow::{Sight, Standing, Task, follow};
use super::theatre::{NAMESPACE, SAMPLE_EVERY, Theatre, kind};
use super::{BenchError, Listener, Load, Outcome, population, refused};

/// Who evicts: the autoscaler's own service account, with the rights to do so.
const EVICTOR: &str = "system:serviceaccount:kube-system:vpa-updater";
const EVICTOR_GROUPS: [&str; 2] = ["system:masters", "system:authenticated"];

/// The finalizer that shows that the operator has seen a Pod.
const FINALIZER: &str = "drain.slipway.dev/finalizer";

/// When to ask again where the server does not say.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What holds the Pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mechanisms {
    /// Both, as by default.
    #[default]
    Both,
    /// The finalizer alone.
    Finalizer,
    /// The eviction gate alone.
    EvictionGate,
}

impl Mechanisms {
    /// As the annotation has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Both => "finalizer,eviction-gate",
            Self::Finalizer => "finalizer",
            Self::EvictionGate => "eviction-gate",
        }
    }
}

pub(super) async fn run(load: Load, mechanisms: Mechanisms, listener: Listener<'_>) -> Result<Outcome, BenchError> {
    let mut theatre =
        Theatre::build(&["drain".to_owned()], population::nodes(load.nodes), load.time, load.seed).await?;
    let client = theatre.cluster.client();
    let evictor = theatre.cluster.client_as(EVICTOR, &EVICTOR_GROUPS.map(str::to_owned));
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let evicted: Api<Pod> = Api::namespaced(evictor, NAMESPACE);
    let names: Vec<String> = (0..load.objects).map(population::name).collect();
    let api: Api<DynamicObject> = Api::namespaced_with(client, NAMESPACE, &kind("", "v1", "Pod", "pods"));
    let task = |phase| Task { phase, names: &names, at_once: load.at_once, api: api.clone() };
    theatre.start();
    let phases = theatre.perform(SAMPLE_EVERY, async {
        let start = follow(
            task("start"),
            listener,
            |name| population::serve(&pods, name, load.nodes, mechanisms),
            |sight| served(&sight, mechanisms),
        );
        let start = start.await?;
        let gone = |sight: Sight<'_>| match sight {
            Sight::Gone => Standing::Done,
            Sight::There(_) => Standing::Under,
        };
        let drain = follow(task("drain"), listener, |name| evict(&evicted, name), gone).await?;
        Ok(vec![start, drain])
    });
    let phases = phases.await?;
    Ok(theatre.outcome(phases).await)
}

/// Whether a Pod serves, and the operator has its hand on it.
fn served(sight: &Sight<'_>, mechanisms: Mechanisms) -> Standing {
    let Sight::There(pod) = sight else { return Standing::Under };
    let conditions = pod.data["status"]["conditions"].as_array();
    let is_ready = conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True");
    let guards = pod.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER);
    if is_ready && (guards || mechanisms == Mechanisms::EvictionGate) { Standing::Done } else { Standing::Under }
}

/// Asks until it is let through, as often as the server says.
async fn evict(pods: &Api<Pod>, name: String) -> Result<(), BenchError> {
    loop {
        match pods.evict(&name, &EvictParams::default()).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 429 => {
                let hint = status.details.as_ref().map(|details| details.retry_after_seconds).unwrap_or_default();
                tokio::time::sleep(Duration::from_secs(hint.into()).max(AGAIN_AFTER)).await;
            }
            Err(error) => return Err(refused("evict", &name)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_serves_when_it_is_ready_and_guarded() {
        let pod = |ready: &str, finalizers: &[&str]| -> DynamicObject {
            serde_json::from_value(json!({
                "metadata": { "name": "one", "finalizers": finalizers },
                "status": { "conditions": [{ "type": "Ready", "status": ready }] },
            }))
            .unwrap()
        };
        let is_done =
            |pod: &DynamicObject, mechanisms| matches!(served(&Sight::There(pod), mechanisms), Standing::Done);
        assert!(is_done(&pod("True", &[FINALIZER]), Mechanisms::Both));
        assert!(!is_done(&pod("True", &[]), Mechanisms::Both));
        assert!(!is_done(&pod("False", &[FINALIZER]), Mechanisms::Both));
        assert!(is_done(&pod("True", &[]), Mechanisms::EvictionGate), "a gate needs no finalizer");
    }
}
