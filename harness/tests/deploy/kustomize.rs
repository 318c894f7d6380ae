//! The overlays, rendered by `kubectl kustomize`.

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use slipway::cluster::Cluster as _;

use super::cluster::{Operator, install, on_a_cluster, use_it};
use super::pods::check_restricted;
use super::tools::{lacking_kubectl, run};
use super::{Outcome, find, objects, of_kind, root, same, trial};

/// A definition of the Prometheus operator's kind, as strict as its own about what we say.
pub(crate) const SERVICE_MONITORS: &str = include_str!("servicemonitors.yaml");

/// What holds for an installation.
type Check = fn(&[Value]) -> Outcome;

/// An overlay, and what is particular about it.
const OVERLAYS: [(&str, Check); 3] = [("kind", kind), ("vm", vm), ("production", production)];

pub(crate) fn trials() -> Vec<Trial> {
    let lacking = lacking_kubectl();
    let trials = OVERLAYS.into_iter().map(|(overlay, particular)| {
        let name = format!("overlay {overlay} is taken by the API server, and its operator needs no other rights");
        trial(&name, lacking.as_deref(), move || shipped(overlay, particular))
    });
    trials.collect()
}

fn shipped(overlay: &str, particular: Check) -> Outcome {
    let objects = render(overlay)?;
    check(&objects)?;
    particular(&objects)?;
    on_a_cluster(async |cluster| {
        let client = cluster.client();
        install(&client, &super::objects(SERVICE_MONITORS)?).await?;
        install(&client, &objects).await?;
        let operator = Operator::start(&cluster, &objects)?;
        let used = use_it(&client, &samples()?).await;
        // What it was refused says more than what it did not do.
        operator.stop().await?;
        used
    })
}

fn render(overlay: &str) -> Result<Vec<Value>, Failed> {
    let directory = format!("operator/deploy/overlays/{overlay}");
    objects(&run("kubectl", &["kustomize", &directory], &root("."))?)
}

/// The samples of every kind.
pub(crate) fn samples() -> Result<Vec<Value>, Failed> {
    let mut samples = Vec::new();
    for entry in std::fs::read_dir(root("operator/deploy/samples"))? {
        samples.extend(objects(&std::fs::read_to_string(entry?.path())?)?);
    }
    Ok(samples)
}

/// What holds for every installation.
pub(crate) fn check(objects: &[Value]) -> Outcome {
    let deployment = find(objects, "Deployment", "slipway-operator")?;
    let (spec, template) = (&deployment["spec"], &deployment["spec"]["template"]);
    check_restricted(&template["spec"])?;
    let namespace = find(objects, "Namespace", "slipway-system")?;
    same(&namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], &json!("restricted"))?;
    let container = &template["spec"]["containers"][0];
    let image = container["image"].as_str().unwrap_or_default();
    let tag = image.rsplit_once(':').map(|(_, tag)| tag);
    same(&json!(tag), &json!(env!("CARGO_PKG_VERSION")))?;
    let ports = container["ports"].as_array().ok_or("the container has no ports")?;
    let port = |name: &str| ports.iter().find(|port| port["name"] == name).map(|port| port["containerPort"].clone());
    for (name, number) in [("health", 8081), ("metrics", 8443), ("webhooks", 9443)] {
        same(&json!(port(name)), &json!(number))?;
    }
    // A probe or a Service names a port; one that nobody has would be found out only on a cluster.
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        same(&container[probe]["httpGet"]["port"], &json!("health"))?;
    }
    for service in of_kind(objects, "Service") {
        let labels = template["metadata"]["labels"].as_object().ok_or("the Pods have no labels")?;
        let selector = service["spec"]["selector"].as_object().ok_or("a Service selects nothing")?;
        let selected = selector.iter().all(|(key, value)| labels.get(key) == Some(value));
        same(&json!([service["metadata"]["name"], selected]), &json!([service["metadata"]["name"], true]))?;
        let target = service["spec"]["ports"][0]["targetPort"].as_str().unwrap_or_default();
        port(target).ok_or_else(|| format!("no port is called {target:?}"))?;
    }
    same(&spec["selector"]["matchLabels"]["app.kubernetes.io/name"], &json!("slipway-operator"))
}

fn kind(objects: &[Value]) -> Outcome {
    let spec = &find(objects, "Deployment", "slipway-operator")?["spec"];
    same(&spec["replicas"], &json!(1))?;
    same(&spec["template"]["spec"]["containers"][0]["imagePullPolicy"], &json!("IfNotPresent"))
}

fn vm(objects: &[Value]) -> Outcome {
    let spec = &find(objects, "Deployment", "slipway-operator")?["spec"];
    let resources = json!({
        "requests": { "cpu": "500m", "memory": "512Mi" }, "limits": { "cpu": "2", "memory": "2Gi" },
    });
    same(&spec["template"]["spec"]["containers"][0]["resources"], &resources)
}

fn production(objects: &[Value]) -> Outcome {
    let spec = &find(objects, "Deployment", "slipway-operator")?["spec"];
    let replicas = spec["replicas"].as_i64().unwrap_or_default();
    if replicas < 2 {
        return Err(format!("{replicas} replicas are one too few").into());
    }
    let labels = &spec["template"]["metadata"]["labels"];
    let rules =
        &spec["template"]["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    same(&rules[0]["labelSelector"]["matchLabels"], labels)?;
    same(&find(objects, "PodDisruptionBudget", "slipway-operator")?["spec"]["selector"]["matchLabels"], labels)?;
    same(&find(objects, "NetworkPolicy", "slipway-operator")?["spec"]["podSelector"]["matchLabels"], labels)?;
    let monitor = find(objects, "ServiceMonitor", "slipway-operator")?;
    let selector = monitor["spec"]["selector"]["matchLabels"].as_object().ok_or("it selects nothing")?;
    let service = find(objects, "Service", "slipway-operator-metrics")?;
    for (key, value) in selector {
        same(&service["metadata"]["labels"][key], value)?;
    }
    same(&monitor["spec"]["endpoints"][0]["port"], &service["spec"]["ports"][0]["name"])
}
