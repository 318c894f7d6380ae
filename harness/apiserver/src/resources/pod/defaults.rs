//! What a pod spec holds where its author said nothing, in pods and in templates alike.

use serde_json::{Value, json};

use crate::resources::quantity::Quantity;
use crate::resources::value::{at, copy, each, entries, flag, has, int, items, map, object, set, set_default, text};

/// Seconds between the request to stop and the kill.
pub(crate) const GRACE_SECONDS: i64 = 30;
/// `0644`, the mode of files in volumes made from objects.
const FILE_MODE: i64 = 0o644;

/// The `template` of a workload.
pub(crate) fn template(parent: &mut Value) {
    let Some(template) = at(parent, "template") else { return };
    set_default(template, "metadata", json!({}));
    if let Some(spec) = object(template, "spec") {
        pod_spec(spec);
    }
}

/// Defaults that pods have and templates do not.
pub(crate) fn pod(pod: &mut Value) {
    let Some(spec) = object(pod, "spec") else { return };
    pod_spec(spec);
    set_default(spec, "enableServiceLinks", true);
    for list in ["containers", "initContainers"] {
        for container in each(spec, list) {
            requests_from_limits(container);
        }
    }
    if has(spec, "resources") {
        requests_from_limits(spec);
    }
}

/// Whoever limits a resource requests as much, unless told otherwise.
fn requests_from_limits(holder: &mut Value) {
    let Some(resources) = at(holder, "resources") else { return };
    let limits: Vec<(String, Value)> = entries(resources, "limits").map(|(k, v)| (k.clone(), v.clone())).collect();
    if limits.is_empty() {
        return;
    }
    if let Some(requests) = object(resources, "requests") {
        for (name, limit) in limits {
            set_default(requests, &name, limit);
        }
    }
}

/// Defaults of a pod spec wherever it stands.
pub(crate) fn pod_spec(spec: &mut Value) {
    for (field, value) in
        [("dnsPolicy", "ClusterFirst"), ("restartPolicy", "Always"), ("schedulerName", "default-scheduler")]
    {
        default_text(spec, field, value);
    }
    set_default(spec, "securityContext", json!({}));
    set_default(spec, "terminationGracePeriodSeconds", GRACE_SECONDS);
    same_service_account(spec);
    let host_network = flag(spec, "hostNetwork");
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in each(spec, list) {
            self::container(container, host_network && list != "ephemeralContainers");
        }
    }
    each(spec, "volumes").for_each(volume);
    if let Some(overhead) = at(spec, "overhead") {
        round_resources(overhead);
    }
}

/// The old and the new name of the field hold the same.
fn same_service_account(spec: &mut Value) {
    let name = match text(spec, "serviceAccountName") {
        "" => text(spec, "serviceAccount").to_owned(),
        name => name.to_owned(),
    };
    if !name.is_empty() {
        set(spec, "serviceAccountName", name.clone());
        set(spec, "serviceAccount", name);
    }
}

fn container(container: &mut Value, host_network: bool) {
    let image = text(container, "image").to_owned();
    default_text(container, "imagePullPolicy", pull_policy(&image));
    default_text(container, "terminationMessagePath", "/dev/termination-log");
    default_text(container, "terminationMessagePolicy", "File");
    set_default(container, "resources", json!({}));
    if let Some(resources) = at(container, "resources") {
        for list in ["limits", "requests"] {
            at(resources, list).map(round_resources);
        }
    }
    for port in each(container, "ports") {
        default_text(port, "protocol", "TCP");
        if host_network
            && int(port, "hostPort").unwrap_or_default() == 0
            && let Some(number) = int(port, "containerPort")
        {
            set(port, "hostPort", number);
        }
    }
    for variable in each(container, "env") {
        if let Some(source) = at(variable, "valueFrom") {
            field_source(source);
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = at(container, probe) {
            self::probe(probe);
        }
    }
    if let Some(lifecycle) = at(container, "lifecycle") {
        for hook in ["postStart", "preStop"] {
            at(lifecycle, hook).map(http_get);
        }
    }
}

/// `latest` moves, every other tag and every digest is taken to stay.
fn pull_policy(image: &str) -> &'static str {
    let (name, digest) = image.split_once('@').map_or((image, false), |(name, _)| (name, true));
    let tag = name.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
    match (tag, digest) {
        (Some("latest"), _) | (None, false) => "Always",
        _ => "IfNotPresent",
    }
}

fn probe(probe: &mut Value) {
    for (field, value) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        if int(probe, field).unwrap_or_default() == 0 {
            set(probe, field, value);
        }
    }
    if let Some(grpc) = at(probe, "grpc") {
        set_default(grpc, "service", "");
    }
    http_get(probe);
}

fn http_get(handler: &mut Value) {
    if let Some(get) = at(handler, "httpGet") {
        default_text(get, "path", "/");
        default_text(get, "scheme", "HTTP");
    }
}

/// `fieldRef` and `resourceFieldRef`, in variables and in files.
fn field_source(source: &mut Value) {
    if let Some(field) = at(source, "fieldRef") {
        default_text(field, "apiVersion", "v1");
    }
    if let Some(resource) = at(source, "resourceFieldRef") {
        set_default(resource, "divisor", "0");
    }
}

/// Resources are counted in thousandths, rounded up.
fn round_resources(list: &mut Value) {
    for (_, amount) in map(list).into_iter().flatten() {
        if let Some(quantity) = Quantity::from_json(amount).filter(|q| !q.is_whole_millis()) {
            *amount = format!("{}m", quantity.millis()).into();
        }
    }
}

/// A volume of no kind is an empty directory; the others have defaults of their own.
fn volume(volume: &mut Value) {
    if crate::resources::value::keys(volume).iter().all(|key| *key == "name") {
        set(volume, "emptyDir", json!({}));
    }
    if let Some(path) = at(volume, "hostPath") {
        set_default(path, "type", "");
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = at(volume, source) {
            set_default(source, "defaultMode", FILE_MODE);
        }
    }
    if let Some(source) = at(volume, "downwardAPI") {
        each(source, "items").for_each(field_source);
    }
    if let Some(source) = at(volume, "projected") {
        for projection in each(source, "sources") {
            if let Some(token) = at(projection, "serviceAccountToken") {
                set_default(token, "expirationSeconds", 3600);
            }
            if let Some(api) = at(projection, "downwardAPI") {
                each(api, "items").for_each(field_source);
            }
        }
    }
    if let Some(claim) = at(volume, "ephemeral")
        && let Some(template) = at(claim, "volumeClaimTemplate")
        && let Some(spec) = object(template, "spec")
    {
        set_default(spec, "volumeMode", "Filesystem");
    }
    network_volume(volume);
}

fn network_volume(volume: &mut Value) {
    let texts: [(&str, &[(&str, &str)]); 5] = [
        ("iscsi", &[("iscsiInterface", "default")]),
        ("rbd", &[("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring")]),
        ("azureDisk", &[("cachingMode", "ReadWrite"), ("kind", "Shared"), ("fsType", "ext4")]),
        ("scaleIO", &[("storageMode", "ThinProvisioned"), ("fsType", "xfs")]),
        ("image", &[]),
    ];
    for (kind, fields) in texts {
        let Some(source) = at(volume, kind) else { continue };
        for (field, value) in fields {
            default_text(source, field, value);
        }
        if kind == "azureDisk" {
            set_default(source, "readOnly", false);
        }
        if kind == "image" {
            let policy = pull_policy(text(source, "reference"));
            default_text(source, "pullPolicy", policy);
        }
    }
}

/// Sets a text that is missing or empty.
pub(crate) fn default_text(object: &mut Value, key: &str, value: &str) {
    if text(object, key).is_empty() && (object[key].is_null() || object[key].is_string()) {
        set(object, key, value);
    }
}

/// The addresses of a pod stand in a list and, the first of them, beside it.
pub(crate) fn addresses(status: &mut Value) {
    let first = items(status, "podIPs").first().map(|ip| text(ip, "ip").to_owned());
    let one = text(status, "podIP").to_owned();
    match first {
        Some(first) if one.is_empty() => set(status, "podIP", first),
        Some(first) if first == one => {}
        _ if one.is_empty() => {}
        _ => set(status, "podIPs", json!([{"ip": one}])),
    }
}

/// The class of service that the resources of all containers add up to.
pub(crate) fn qos_class(spec: &Value) -> &'static str {
    const COUNTED: [&str; 2] = ["cpu", "memory"];
    let positive = |resources: &Value, list: &str, name: &str| {
        Quantity::from_json(&resources[list][name]).filter(|q| !q.is_zero() && !q.is_negative())
    };
    let whole_pod = has(spec, "resources") && !crate::resources::value::keys(&spec["resources"]).is_empty();
    let holders: Vec<&Value> = if whole_pod {
        vec![&spec["resources"]]
    } else {
        ["containers", "initContainers"].iter().flat_map(|l| items(spec, l)).map(|c| &c["resources"]).collect()
    };
    let (mut any, mut guaranteed) = (false, true);
    for resources in holders {
        for name in COUNTED {
            let (request, limit) = (positive(resources, "requests", name), positive(resources, "limits", name));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && request == limit;
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// What the admission plugins of a real server add to a new pod: a priority, and patience with failing nodes.
pub(crate) fn admitted(spec: &mut Value) {
    let priority = match text(spec, "priorityClassName") {
        "" => Some(0),
        "system-cluster-critical" => Some(2_000_000_000),
        "system-node-critical" => Some(2_000_001_000),
        _ => None,
    };
    if let Some(priority) = priority {
        set_default(spec, "priority", priority);
    }
    set_default(spec, "preemptionPolicy", "PreemptLowerPriority");
    tolerate_failing_nodes(spec);
}

/// What they add to a pod that is replaced by one from which it was left out.
pub(crate) fn readmitted(spec: &mut Value, old: &Value) {
    for field in ["priority", "preemptionPolicy"] {
        if !has(spec, field) {
            copy(spec, old, field);
        }
    }
    tolerate_failing_nodes(spec);
}

fn tolerate_failing_nodes(spec: &mut Value) {
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = items(spec, "tolerations").iter().any(|toleration| {
            let (its_key, effect) = (text(toleration, "key"), text(toleration, "effect"));
            (its_key == key || its_key.is_empty()) && (effect == "NoExecute" || effect.is_empty())
        });
        if tolerated {
            continue;
        }
        set_default(spec, "tolerations", json!([]));
        if let Some(list) = spec["tolerations"].as_array_mut() {
            list.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
}

/// A new status, and what stays of an old one.
pub(crate) fn new_status(pod: &mut Value) {
    let mut status = json!({"phase": "Pending", "qosClass": qos_class(&pod["spec"])});
    if !items(&pod["spec"], "schedulingGates").is_empty() {
        status["conditions"] = json!([{
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastProbeTime": null, "lastTransitionTime": null,
        }]);
    }
    set(pod, "status", status);
}

/// Old kubelets are known to break what only the server knows.
pub(crate) fn keep_in_status(new: &mut Value, old: &Value) {
    copy(new, old, "spec");
    if let Some(metadata) = at(new, "metadata") {
        copy(metadata, &old["metadata"], "ownerReferences");
    }
    if let Some(status) = object(new, "status")
        && text(status, "qosClass").is_empty()
    {
        copy(status, &old["status"], "qosClass");
    }
}
