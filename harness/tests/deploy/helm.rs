//! The chart, rendered by `helm template`.

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use slipway::cluster::Cluster as _;
use slipway_operator::runtime::Controller;
use slipway_operator::runtime::rbac::{Install, parts};

use super::cluster::{Operator, install, on_a_cluster, use_it};
use super::kustomize::{SERVICE_MONITORS, check, samples};
use super::pods::check_restricted;
use super::tools::run;
use super::{Outcome, find, objects, of_kind, root, same, trial};

const CHART: &str = "operator/deploy/helm/slipway-operator";

/// Where the release goes.
const NAMESPACE: &str = "slipway-system";

/// Everything that is off unless it is asked for.
const EVERYTHING: [&str; 9] = [
    "replicaCount=2",
    "metrics.serviceMonitor.enabled=true",
    "metrics.dashboard.enabled=true",
    "networkPolicy.enabled=true",
    "podDisruptionBudget.enabled=true",
    "priorityClassName=system-cluster-critical",
    "podLabels.team=harbour",
    "image.pullSecrets[0].name=registry",
    "nodeSelector.disk=ssd",
];

/// Values that must be refused, and the word that says why.
const BAD: [(&str, &str); 6] = [
    ("settings.multinic.agentImag=x", "agentImag"),
    ("settings.multinic.agent.policyRouting=perhaps", "policyRouting"),
    ("settings.controllers={hallo}", "controllers"),
    ("replicaCount=some", "replicaCount"),
    ("replica=2", "replica"),
    ("image.pullPolicy=Sometimes", "pullPolicy"),
];

pub(crate) fn trials() -> Vec<Trial> {
    let lacking = run("helm", &["version", "--short"], &root(".")).err().map(|_| "helm is not to be had");
    let trial = |name: &str, case: fn() -> Outcome| trial(name, lacking, case);
    vec![
        trial("helm finds nothing to say about the chart", lint),
        trial("the chart as it is is taken by the API server, and its operator needs no other rights", || shipped(&[])),
        trial("the chart with everything on is taken by the API server", || shipped(&EVERYTHING)),
        trial("the chart for one namespace gives rights in that namespace only", one_namespace),
        trial("a certificate of somebody else is mounted, and the webhooks are told who vouches for it", certificate),
        trial("a server that is off has no port, no Service and nobody who scrapes it", off),
        trial("the chart grants what the program says it needs", rights),
        trial("the Lease has the name and the namespace that are chosen, and the operator its rights there", lease),
        trial("values that are misspelt or make no sense are refused", refused),
    ]
}

fn lint() -> Outcome {
    let settings: Vec<&str> = EVERYTHING.iter().flat_map(|value| ["--set", value]).collect();
    for settings in [&[], settings.as_slice()] {
        run("helm", &[&["lint", "--strict", CHART], settings].concat(), &root("."))?;
    }
    Ok(())
}

/// The objects of a release, and the namespace that an administrator makes for it.
fn render(values: &[&str]) -> Result<Vec<Value>, Failed> {
    let settings: Vec<&str> = values.iter().flat_map(|value| ["--set", value]).collect();
    render_with(&settings)
}

fn render_with(settings: &[&str]) -> Result<Vec<Value>, Failed> {
    let fixed = ["template", "slipway", CHART, "--namespace", NAMESPACE, "--kube-version", "1.36.0"];
    let mut objects = objects(&run("helm", &[&fixed, settings].concat(), &root("."))?)?;
    let labels = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
    let metadata = json!({ "name": NAMESPACE, "labels": labels });
    objects.insert(0, json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata }));
    // Helm applies kinds in an order of its own: what others are in or of goes first.
    let rank = |object: &Value| match object["kind"].as_str() {
        Some("Namespace") => 0,
        Some("CustomResourceDefinition") => 1,
        Some("MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration") => 3,
        _ => 2,
    };
    objects.sort_by_key(rank);
    Ok(objects)
}

fn shipped(values: &[&str]) -> Outcome {
    let objects = render(values)?;
    check(&objects)?;
    if values == EVERYTHING {
        for (kind, name) in [
            ("ServiceMonitor", "slipway-operator"),
            ("NetworkPolicy", "slipway-operator"),
            ("PodDisruptionBudget", "slipway-operator"),
            ("ConfigMap", "slipway-operator-dashboard"),
        ] {
            find(&objects, kind, name)?;
        }
    }
    run_it(&objects, &samples()?)
}

fn one_namespace() -> Outcome {
    let objects = render(&["settings.namespace=default", "settings.controllers={hello}"])?;
    check_restricted(&find(&objects, "Deployment", "slipway-operator")?["spec"]["template"]["spec"])?;
    for role in of_kind(&objects, "ClusterRole") {
        let name = role["metadata"]["name"].as_str().unwrap_or_default();
        let allowed =
            ["slipway-operator", "slipway-operator-view", "slipway-operator-edit", "slipway-operator-metrics-reader"];
        same(&json!([name, allowed.contains(&name)]), &json!([name, true]))?;
    }
    same(&find(&objects, "Role", "slipway-operator-hello")?["metadata"]["namespace"], &json!("default"))?;
    let samples: Vec<_> = samples()?.into_iter().filter(|sample| sample["kind"] == "Hello").collect();
    run_it(&objects, &samples)
}

fn certificate() -> Outcome {
    let objects = render(&[
        "certificate.existingSecret=given",
        "webhooks.caBundle=Q0E=",
        r"webhooks.annotations.cert-manager\.io/inject-ca-from=slipway-system/given",
    ])?;
    let spec = &find(&objects, "Deployment", "slipway-operator")?["spec"]["template"]["spec"];
    check_restricted(spec)?;
    let settings = super::cluster::settings(&objects, find(&objects, "Deployment", "slipway-operator")?)?;
    let directory = settings.servers.certificate.directory.ok_or("the operator would make one itself")?;
    let mounts = spec["containers"][0]["volumeMounts"].as_array().ok_or("nothing is mounted")?;
    let mount = mounts.iter().find(|mount| mount["mountPath"] == directory.to_string_lossy().as_ref());
    let volume = &mount.ok_or("it is not mounted")?["name"];
    let volumes = spec["volumes"].as_array().ok_or("there are no volumes")?;
    let volume = volumes.iter().find(|it| &it["name"] == volume).ok_or("the mount has no volume")?;
    same(&volume["secret"]["secretName"], &json!("given"))?;
    for kind in ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"] {
        let configuration = find(&objects, kind, "slipway-drain")?;
        let annotation = &configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"];
        same(annotation, &json!("slipway-system/given"))?;
        for webhook in configuration["webhooks"].as_array().into_iter().flatten() {
            same(&webhook["clientConfig"]["caBundle"], &json!("Q0E="))?;
        }
    }
    Ok(())
}

fn off() -> Outcome {
    for (server, port) in [("metricsAddress", "metrics"), ("webhooksAddress", "webhooks")] {
        let objects = render_with(&["--set-string", &format!("settings.servers.{server}=0")])?;
        let spec = &find(&objects, "Deployment", "slipway-operator")?["spec"]["template"]["spec"];
        let ports = spec["containers"][0]["ports"].as_array().ok_or("the container has no ports")?;
        same(&json!(ports.iter().any(|it| it["name"] == port)), &json!(false))?;
        let service = format!("slipway-operator-{port}");
        same(&json!(find(&objects, "Service", &service).is_err()), &json!(true))?;
        same(&json!(of_kind(&objects, "Service").count()), &json!(1))?;
    }
    let scraped = ["--set-string", "settings.servers.metricsAddress=0", "--set", "metrics.serviceMonitor.enabled=true"];
    let error = render_with(&scraped).err();
    let said = error.and_then(|error| error.message().map(str::to_owned)).unwrap_or_default();
    same(&json!(said.contains("metricsAddress")), &json!(true))
}

fn run_it(objects: &[Value], samples: &[Value]) -> Outcome {
    on_a_cluster(async |cluster| {
        let client = cluster.client();
        install(&client, &super::objects(SERVICE_MONITORS)?).await?;
        install(&client, objects).await?;
        let operator = Operator::start(&cluster, objects)?;
        let used = use_it(&client, samples).await;
        // What it was refused says more than what it did not do.
        operator.stop().await?;
        used
    })
}

fn rights() -> Outcome {
    for watched in [None, Some("team-a"), Some(NAMESPACE)] {
        let value = format!("settings.namespace={}", watched.unwrap_or_default());
        let rendered = render(&[&value])?;
        let said = Install { watched: watched.map(str::to_owned), ..Install::default() };
        let said = parts(&said).into_iter().flat_map(|part| part.manifests);
        let said: Vec<Value> =
            said.map(|manifest| Ok(plain(&serde_json::to_value(manifest)?))).collect::<Result<_, Failed>>()?;
        let granted = ["ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];
        let granted = |object: &&Value| granted.contains(&object["kind"].as_str().unwrap_or_default());
        let shipped: Vec<Value> = rendered.iter().filter(granted).map(plain).collect();
        if let Some(object) = said.iter().find(|object| !shipped.contains(object)) {
            return Err(format!("for {watched:?}, the chart has not: {object:#}").into());
        }
        if let Some(object) = shipped.iter().find(|object| !said.contains(object)) {
            return Err(format!("for {watched:?}, only the chart has: {object:#}").into());
        }
    }
    same(&json!(Controller::ALL.len()), &json!(3))
}

fn lease() -> Outcome {
    let rendered = render(&["settings.leaderElection.namespace=leases", "settings.leaderElection.name=mine"])?;
    let role = |namespace: &str| {
        let mut roles = of_kind(&rendered, "Role");
        let role = roles
            .find(|role| role["metadata"]["namespace"] == namespace && role["metadata"]["name"] == "slipway-operator");
        role.map(|role| role["rules"].clone()).ok_or(format!("no Role in {namespace}"))
    };
    let rule =
        |verbs: &[&str]| json!({ "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": verbs });
    let mut named = rule(&["get", "update"]);
    named["resourceNames"] = json!(["mine"]);
    same(&role("leases")?, &json!([rule(&["create"]), named]))?;
    same(&json!(role(NAMESPACE)?.to_string().contains("leases")), &json!(false))?;
    // The environment goes before the file, which says it here.
    let deployment = of_kind(&rendered, "Deployment").next().map(ToString::to_string).unwrap_or_default();
    same(&json!(deployment.contains("POD_NAMESPACE")), &json!(false))
}

/// Without the labels that tell of the release.
fn plain(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(labels) = object["metadata"]["labels"].as_object_mut() {
        labels.retain(|label, _| label.starts_with("rbac."));
        if labels.is_empty() {
            object["metadata"]["labels"] = Value::Null;
        }
    }
    object["metadata"].as_object_mut().into_iter().for_each(|metadata| metadata.retain(|_, value| !value.is_null()));
    object
}

fn refused() -> Outcome {
    for (value, word) in BAD {
        match render(&[value]) {
            Ok(_) => return Err(format!("{value} is taken").into()),
            Err(error) => {
                let said = error.message().unwrap_or_default().to_owned();
                same(&json!([value, said.contains(word)]), &json!([value, true])).map_err(|_| said)?;
            }
        }
    }
    let error = render(&["replicaCount=2", "settings.leaderElection.enabled=false"]).err();
    let said = error.and_then(|error| error.message().map(str::to_owned)).unwrap_or_default();
    same(&json!(said.contains("leaderElection")), &json!(true))
}
