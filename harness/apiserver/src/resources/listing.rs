//! How `kubectl get` lists storage, networking, scheduling and admission kinds: their columns and rows, as the API
//! server's own printers have them (`pkg/printers/internalversion`). Pure.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::print::{
    NONE, age, age_column, between, column, containers, framed, label_list, name, name_column, or_none, selector, wide,
};
use super::simple::{SIMPLE, Simple, Status};
use super::value::{entries, flag, has, int, items, text};
use crate::table::Column;

/// What kubectl prints where somebody could have said something and has not.
const UNSET: &str = "<unset>";

/// The annotation of the storage class that counts where none is named.
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// As many of a list as are printed.
const SHOWN: usize = 3;

/// A list with commas between, cut short.
fn some_of(all: &[String], nothing: &str) -> String {
    if all.is_empty() {
        return nothing.to_owned();
    }
    let shown = all.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(",");
    if all.len() > SHOWN { format!("{shown} + {} more...", all.len() - SHOWN) } else { shown }
}

/// A text, or `<unset>`.
fn or_unset(text: &str) -> Value {
    if text.is_empty() { UNSET.into() } else { text.into() }
}

/// A text column.
fn said(name: &str, description: &str) -> Column {
    column(name, "string", description)
}

pub(super) fn endpoints_columns() -> Vec<Column> {
    between([said("Endpoints", "The addresses and ports of all subsets.")])
}

pub(super) fn endpoints_row(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut all = Vec::new();
    for subset in items(object, "subsets") {
        let addresses = || items(subset, "addresses").iter().map(|address| text(address, "ip"));
        match items(subset, "ports") {
            [] => all.extend(addresses().map(str::to_owned)),
            ports => {
                for port in ports.iter().map(|port| int(port, "port").unwrap_or_default()) {
                    all.extend(addresses().map(|ip| format!("{}:{port}", bracketed(ip))));
                }
            }
        }
    }
    framed(object, now, [some_of(&all, NONE).into()])
}

/// An address before a port.
fn bracketed(ip: &str) -> String {
    if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() }
}

pub(super) fn slice_columns() -> Vec<Column> {
    between([
        said("AddressType", "The kind of all addresses of this slice."),
        said("Ports", "The ports of each endpoint."),
        said("Endpoints", "The addresses of the endpoints."),
    ])
}

pub(super) fn slice_row(slice: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = items(slice, "ports")
        .iter()
        .map(|port| match (int(port, "port"), text(port, "name")) {
            (Some(number), _) => number.to_string(),
            (None, "") => "*".to_owned(),
            (None, name) => name.to_owned(),
        })
        .collect();
    let addresses: Vec<String> = items(slice, "endpoints")
        .iter()
        .flat_map(|endpoint| items(endpoint, "addresses"))
        .filter_map(|address| address.as_str().map(str::to_owned))
        .collect();
    framed(
        slice,
        now,
        [text(slice, "addressType").into(), some_of(&ports, UNSET).into(), some_of(&addresses, UNSET).into()],
    )
}

pub(super) fn policy_columns() -> Vec<Column> {
    between([said("Pod-Selector", "The Pods that the policy is about.")])
}

pub(super) fn policy_row(policy: &Value, now: Timestamp) -> Vec<Value> {
    framed(policy, now, [selector(&policy["spec"]["podSelector"]).into()])
}

pub(super) fn ingress_columns() -> Vec<Column> {
    between([
        said("Class", "The class that the Ingress asks for."),
        said("Hosts", "The hosts that requests are matched against."),
        said("Address", "Where the load balancer is reached."),
        said("Ports", "80, and 443 where TLS is configured."),
    ])
}

pub(super) fn ingress_row(ingress: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &ingress["spec"];
    let hosts: Vec<String> = items(spec, "rules")
        .iter()
        .map(|rule| text(rule, "host"))
        .filter(|host| !host.is_empty())
        .map(str::to_owned)
        .collect();
    let reached: Vec<&str> = items(&ingress["status"]["loadBalancer"], "ingress")
        .iter()
        .map(|one| if has(one, "ip") { text(one, "ip") } else { text(one, "hostname") })
        .collect();
    let ports = if items(spec, "tls").is_empty() { "80" } else { "80, 443" };
    let class = or_none(text(spec, "ingressClassName"));
    framed(ingress, now, [class, some_of(&hosts, "*").into(), reached.join(",").into(), ports.into()])
}

pub(super) fn autoscaler_columns() -> Vec<Column> {
    between([
        said("Reference", "What is scaled."),
        said("Targets", "What each metric is, and what it is to be."),
        said("MinPods", "The fewest replicas."),
        said("MaxPods", "The most replicas."),
        said("Replicas", "The replicas that were seen last."),
    ])
}

pub(super) fn autoscaler_row(autoscaler: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&autoscaler["spec"], &autoscaler["status"]);
    let target = &spec["scaleTargetRef"];
    let current = items(status, "currentMetrics");
    let metrics: Vec<String> = items(spec, "metrics")
        .iter()
        .enumerate()
        .map(|(at, metric)| metric_target(metric, current.get(at).unwrap_or(&Value::Null)))
        .collect();
    let targets = match metrics.as_slice() {
        [] => NONE.to_owned(),
        [one, two, rest @ ..] if !rest.is_empty() => format!("{one}, {two} + {} more...", rest.len()),
        few => few.join(", "),
    };
    let cells = [
        format!("{}/{}", text(target, "kind"), text(target, "name")).into(),
        targets.into(),
        int(spec, "minReplicas").map_or_else(|| UNSET.into(), |least| least.to_string().into()),
        json!(int(spec, "maxReplicas").unwrap_or_default()),
        json!(int(status, "currentReplicas").unwrap_or_default()),
    ];
    framed(autoscaler, now, cells)
}

/// What a metric is and what it is to be: `cpu: 12%/80%`.
fn metric_target(metric: &Value, current: &Value) -> String {
    let (field, names) = match text(metric, "type") {
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        "Pods" => ("pods", false),
        "Object" => ("object", false),
        "External" => ("external", false),
        _ => return "<unknown type>".to_owned(),
    };
    let (target, is) = (&metric[field]["target"], &current[field]["current"]);
    let unknown = || "<unknown>".to_owned();
    let percent = |number: Option<i64>| number.map(|percent| format!("{percent}%"));
    let amount = |from: &Value, key: &str| from[key].as_str().map(str::to_owned);
    let (is, wanted) = if let Some(wanted) = amount(target, "averageValue") {
        let average = if field == "pods" || names { "" } else { " (avg)" };
        (amount(is, "averageValue"), format!("{wanted}{average}"))
    } else if names {
        let wanted = percent(int(target, "averageUtilization")).unwrap_or_else(|| "<auto>".to_owned());
        (percent(int(is, "averageUtilization")), wanted)
    } else {
        (amount(is, "value"), amount(target, "value").unwrap_or_default())
    };
    let values = format!("{}/{wanted}", is.unwrap_or_else(unknown));
    if names { format!("{}: {values}", text(&metric[field], "name")) } else { values }
}

pub(super) fn quota_columns() -> Vec<Column> {
    between([
        said("Request", "What is used of what may be requested."),
        said("Limit", "What is used of what limits may add up to."),
    ])
}

pub(super) fn quota_row(quota: &Value, now: Timestamp) -> Vec<Value> {
    let amount = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, hard) in entries(&quota["status"], "hard") {
        let used = &quota["status"]["used"][resource];
        let used = if used.is_null() { "0".to_owned() } else { amount(used) };
        let list = if resource.starts_with("limits.") { &mut limits } else { &mut requests };
        list.push(format!("{resource}: {used}/{}", amount(hard)));
    }
    framed(quota, now, [requests.join(", ").into(), limits.join(", ").into()])
}

pub(super) fn revision_columns() -> Vec<Column> {
    between([said("Controller", "Whose state it holds."), column("Revision", "integer", "Which of its states.")])
}

pub(super) fn revision_row(revision: &Value, now: Timestamp) -> Vec<Value> {
    let owners = items(&revision["metadata"], "ownerReferences");
    let controller = owners.iter().find(|owner| flag(owner, "controller")).map(|owner| {
        let group = text(owner, "apiVersion").rsplit_once('/').map_or(String::new(), |(group, _)| format!(".{group}"));
        format!("{}{group}/{}", text(owner, "kind").to_lowercase(), text(owner, "name"))
    });
    let number = json!(int(revision, "revision").unwrap_or_default());
    framed(revision, now, [controller.unwrap_or_else(|| NONE.to_owned()).into(), number])
}

pub(super) fn priority_columns() -> Vec<Column> {
    vec![
        name_column(),
        column("Value", "integer", "The priority of Pods of this class."),
        column("Global-Default", "boolean", "Whether Pods that name no class have this one."),
        age_column(),
        said("PreemptionPolicy", "Whether Pods of this class take the place of others."),
    ]
}

pub(super) fn priority_row(class: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(class),
        json!(int(class, "value").unwrap_or_default()),
        flag(class, "globalDefault").into(),
        age(class, now),
        text(class, "preemptionPolicy").into(),
    ]
}

pub(super) fn claim_columns() -> Vec<Column> {
    let mut columns = between([
        said("Status", "The phase of the claim."),
        said("Volume", "The volume that is bound to it."),
        said("Capacity", "The size of that volume."),
        said("Access Modes", "How it may be mounted."),
        said("StorageClass", "The class that the claim asks for."),
        said("VolumeAttributesClass", "The class of attributes that the claim asks for."),
    ]);
    columns.push(wide("VolumeMode", "string", "Whether it is a file system or a raw device."));
    columns
}

pub(super) fn claim_row(claim: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&claim["spec"], &claim["status"]);
    let bound = !text(spec, "volumeName").is_empty();
    let held = |value: String| if bound { value.into() } else { "".into() };
    let cells = [
        phase(claim),
        text(spec, "volumeName").into(),
        held(text(&status["capacity"], "storage").to_owned()),
        held(access_modes(&status["accessModes"])),
        text(spec, "storageClassName").into(),
        or_unset(text(spec, "volumeAttributesClassName")),
    ];
    let mut row = framed(claim, now, cells);
    row.push(or_unset(text(spec, "volumeMode")));
    row
}

pub(super) fn volume_columns() -> Vec<Column> {
    let mut columns = between([
        said("Capacity", "How much it holds."),
        said("Access Modes", "How it may be mounted."),
        said("Reclaim Policy", "What becomes of it once it is released."),
        said("Status", "The phase of the volume."),
        said("Claim", "The claim that is bound to it."),
        said("StorageClass", "The class of the volume."),
        said("VolumeAttributesClass", "The class of its attributes."),
        said("Reason", "Why it is in a failed phase."),
    ]);
    columns.push(wide("VolumeMode", "string", "Whether it is a file system or a raw device."));
    columns
}

pub(super) fn volume_row(volume: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &volume["spec"];
    let claim = match &spec["claimRef"] {
        Value::Null => String::new(),
        claim => format!("{}/{}", text(claim, "namespace"), text(claim, "name")),
    };
    let cells = [
        text(&spec["capacity"], "storage").into(),
        access_modes(&spec["accessModes"]).into(),
        text(spec, "persistentVolumeReclaimPolicy").into(),
        phase(volume),
        claim.into(),
        text(spec, "storageClassName").into(),
        or_unset(text(spec, "volumeAttributesClassName")),
        text(&volume["status"], "reason").into(),
    ];
    let mut row = framed(volume, now, cells);
    row.push(or_unset(text(spec, "volumeMode")));
    row
}

/// The phase of a volume or a claim; what is deleted says so.
fn phase(object: &Value) -> Value {
    if has(&object["metadata"], "deletionTimestamp") {
        "Terminating".into()
    } else {
        text(&object["status"], "phase").into()
    }
}

/// Access modes as kubectl abbreviates them, each once and in its own order.
fn access_modes(modes: &Value) -> String {
    let known =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let has = |mode: &str| modes.as_array().is_some_and(|modes| modes.iter().any(|one| one == mode));
    known.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

pub(super) fn class_columns() -> Vec<Column> {
    between([
        said("Provisioner", "Who makes volumes of this class."),
        said("ReclaimPolicy", "What becomes of its volumes once they are released."),
        said("VolumeBindingMode", "When claims are bound."),
        said("AllowVolumeExpansion", "Whether volumes may grow."),
    ])
}

/// The class that counts where none is named has a word behind its name.
pub(super) fn class_row(class: &Value, now: Timestamp) -> Vec<Value> {
    let cells = [
        text(class, "provisioner").into(),
        text(class, "reclaimPolicy").into(),
        text(class, "volumeBindingMode").into(),
        flag(class, "allowVolumeExpansion").into(),
    ];
    let mut row = framed(class, now, cells);
    if text(&class["metadata"]["annotations"], DEFAULT_CLASS) == "true" {
        row[0] = format!("{} (default)", text(&class["metadata"], "name")).into();
    }
    row
}

pub(super) fn template_columns() -> Vec<Column> {
    let [names, images] = ["Containers", "Images"].map(|what| said(what, "Of the containers of the template."));
    vec![name_column(), names, images, said("Pod Labels", "The labels of the template.")]
}

pub(super) fn template_row(template: &Value, _now: Timestamp) -> Vec<Value> {
    let (names, images) = containers(&template["template"]["spec"]);
    vec![name(template), names, images, label_list(&template["template"]["metadata"], "labels").into()]
}

pub(super) static INGRESS_CLASS: Simple = Simple {
    columns: || {
        between([
            said("Controller", "Who sees to Ingresses of this class."),
            said("Parameters", "The object that holds what the controller needs to know."),
        ])
    },
    row: |class, now| {
        let spec = &class["spec"];
        let parameters = match &spec["parameters"] {
            Value::Null => NONE.to_owned(),
            named => {
                let group = text(named, "apiGroup");
                let dot = if group.is_empty() { "" } else { "." };
                format!("{}{dot}{group}/{}", text(named, "kind"), text(named, "name"))
            }
        };
        framed(class, now, [text(spec, "controller").into(), parameters.into()])
    },
    generation: true,
    ..SIMPLE
};

pub(super) static RUNTIME_CLASS: Simple = Simple {
    columns: || between([said("Handler", "What the container runtime is asked for.")]),
    row: |class, now| framed(class, now, [text(class, "handler").into()]),
    ..SIMPLE
};

pub(super) static SERVICE_CIDR: Simple = Simple {
    columns: || between([said("CIDRs", "The ranges that addresses of Services are taken from.")]),
    row: |range, now| {
        let ranges: Vec<&str> = items(&range["spec"], "cidrs").iter().filter_map(Value::as_str).collect();
        framed(range, now, [ranges.join(",").into()])
    },
    status: Status::Split,
    ..SIMPLE
};

pub(super) static CSI_NODE: Simple = Simple {
    columns: || between([column("Drivers", "integer", "How many drivers the node has.")]),
    row: |node, now| framed(node, now, [items(&node["spec"], "drivers").len().into()]),
    ..SIMPLE
};

pub(super) static VOLUME_ATTACHMENT: Simple = Simple {
    columns: || {
        between([
            said("Attacher", "The driver that attaches."),
            said("PV", "The volume."),
            said("Node", "The node that it is attached to."),
            column("Attached", "boolean", "Whether it is attached."),
        ])
    },
    row: |attachment, now| {
        let spec = &attachment["spec"];
        let cells = [
            text(spec, "attacher").into(),
            text(&spec["source"], "persistentVolumeName").into(),
            text(spec, "nodeName").into(),
            flag(&attachment["status"], "attached").into(),
        ];
        framed(attachment, now, cells)
    },
    status: Status::Split,
    ..SIMPLE
};

pub(super) static API_SERVICE: Simple = Simple {
    columns: || {
        between([
            said("Service", "The Service that answers; Local where it is this server."),
            said("Available", "Whether it does."),
        ])
    },
    row: |service, now| {
        let reference = &service["spec"]["service"];
        let answers = if reference.is_null() {
            "Local".to_owned()
        } else {
            format!("{}/{}", text(reference, "namespace"), text(reference, "name"))
        };
        let condition = items(&service["status"], "conditions").iter().find(|one| text(one, "type") == "Available");
        let available = condition.map_or("Unknown".to_owned(), |condition| match text(condition, "status") {
            "True" => "True".to_owned(),
            status => format!("{status} ({})", text(condition, "reason")),
        });
        framed(service, now, [answers.into(), available.into()])
    },
    status: Status::Split,
    ..SIMPLE
};

fn param_kind(policy: &Value) -> Value {
    match &policy["spec"]["paramKind"] {
        Value::Null => UNSET.into(),
        named => format!("{}/{}", text(named, "apiVersion"), text(named, "kind")).into(),
    }
}

pub(super) fn admission_columns() -> Vec<Column> {
    between([
        column("Validations", "integer", "How many rules there are."),
        said("ParamKind", "The kind of the objects that hold its parameters."),
    ])
}

pub(super) fn admission_row(policy: &Value, now: Timestamp) -> Vec<Value> {
    framed(policy, now, [items(&policy["spec"], "validations").len().into(), param_kind(policy)])
}

pub(super) fn binding_columns() -> Vec<Column> {
    between([
        said("PolicyName", "The policy that is bound."),
        said("ParamRef", "The object that holds its parameters."),
    ])
}

pub(super) fn binding_row(binding: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &binding["spec"];
    let parameters = match &spec["paramRef"] {
        Value::Null => UNSET.to_owned(),
        named if text(named, "namespace").is_empty() => format!("*/{}", text(named, "name")),
        named => format!("{}/{}", text(named, "namespace"), text(named, "name")),
    };
    framed(binding, now, [text(spec, "policyName").into(), parameters.into()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Registry;

    fn listed(group: &str, kind: &str, object: &Value) -> Vec<(String, Value)> {
        let registry = Registry::builtin();
        let resource =
            registry.table().all().iter().find(|one| one.group == group && one.kind == kind).cloned().unwrap();
        let (columns, row) =
            (resource.rules.columns(), resource.rules.row(object, "2026-01-01T00:01:00Z".parse().unwrap()));
        assert_eq!(columns.len(), row.len(), "{kind}");
        columns.into_iter().map(|column| column.name).zip(row).collect()
    }

    fn cell(row: &[(String, Value)], column: &str) -> Value {
        row.iter().find(|(name, _)| name == column).map(|(_, value)| value.clone()).unwrap()
    }

    #[test]
    fn a_claim_says_what_it_is_bound_to_and_nothing_before_that() {
        let mut claim = json!({
            "metadata": { "name": "data-0", "creationTimestamp": "2026-01-01T00:00:00Z" },
            "spec": { "accessModes": ["ReadWriteOnce"], "storageClassName": "standard", "volumeMode": "Filesystem" },
            "status": { "phase": "Pending" },
        });
        let row = listed("", "PersistentVolumeClaim", &claim);
        assert_eq!((cell(&row, "Status"), cell(&row, "Capacity")), (json!("Pending"), json!("")));
        claim["spec"]["volumeName"] = json!("pvc-1");
        claim["status"] = json!({ "phase": "Bound", "capacity": { "storage": "1Gi" }, "accessModes": ["ReadOnlyMany", "ReadWriteOnce"] });
        let row = listed("", "PersistentVolumeClaim", &claim);
        let values: Vec<Value> = row.into_iter().map(|(_, value)| value).collect();
        let wanted = json!(["data-0", "Bound", "pvc-1", "1Gi", "RWO,ROX", "standard", "<unset>", "60s", "Filesystem"]);
        assert_eq!(json!(values), wanted);
    }

    #[test]
    fn endpoints_are_cut_short_after_three() {
        let endpoints: Vec<Value> = (1..=5).map(|at| json!({ "addresses": [format!("10.0.0.{at}")] })).collect();
        let slice = json!({
            "metadata": { "name": "web-1" },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{ "port": 8080 }, { "name": "all" }],
        });
        let row = listed("discovery.k8s.io", "EndpointSlice", &slice);
        assert_eq!(cell(&row, "Endpoints"), json!("10.0.0.1,10.0.0.2,10.0.0.3 + 2 more..."));
        assert_eq!(cell(&row, "Ports"), json!("8080,all"));
        let none = listed("discovery.k8s.io", "EndpointSlice", &json!({ "addressType": "IPv6" }));
        assert_eq!((cell(&none, "Ports"), cell(&none, "Endpoints")), (json!("<unset>"), json!("<unset>")));
        let subsets = json!([{ "addresses": [{ "ip": "10.0.0.1" }, { "ip": "fd00::1" }], "ports": [{ "port": 80 }] }]);
        let row = listed("", "Endpoints", &json!({ "subsets": subsets }));
        assert_eq!(cell(&row, "Endpoints"), json!("10.0.0.1:80,[fd00::1]:80"));
    }

    #[test]
    fn an_autoscaler_says_what_each_metric_is_and_is_to_be() {
        let resource = |name: &str| {
            json!({
                "type": "Resource",
                "resource": { "name": name, "target": { "type": "Utilization", "averageUtilization": 80 } },
            })
        };
        let mut autoscaler = json!({
            "spec": {
                "scaleTargetRef": { "kind": "Deployment", "name": "web" },
                "maxReplicas": 5,
                "metrics": [resource("cpu")],
            },
        });
        let row = listed("autoscaling", "HorizontalPodAutoscaler", &autoscaler);
        assert_eq!(cell(&row, "Reference"), json!("Deployment/web"));
        assert_eq!(cell(&row, "Targets"), json!("cpu: <unknown>/80%"));
        assert_eq!((cell(&row, "MinPods"), cell(&row, "MaxPods")), (json!("<unset>"), json!(5)));
        autoscaler["spec"]["metrics"] = json!([resource("cpu"), resource("memory"), resource("gpu")]);
        autoscaler["status"] = json!({ "currentMetrics": [{ "type": "Resource", "resource": { "name": "cpu", "current": { "averageUtilization": 12 } } }] });
        let row = listed("autoscaling", "HorizontalPodAutoscaler", &autoscaler);
        assert_eq!(cell(&row, "Targets"), json!("cpu: 12%/80%, memory: <unknown>/80% + 1 more..."));
    }

    #[test]
    fn the_class_that_counts_where_none_is_named_is_marked() {
        let mut class = json!({ "metadata": { "name": "standard" }, "provisioner": "slipway.dev/disk" });
        assert_eq!(cell(&listed("storage.k8s.io", "StorageClass", &class), "Name"), json!("standard"));
        class["metadata"]["annotations"] = json!({ DEFAULT_CLASS: "true" });
        assert_eq!(cell(&listed("storage.k8s.io", "StorageClass", &class), "Name"), json!("standard (default)"));
    }

    #[test]
    fn every_built_in_kind_has_a_cell_for_each_column() {
        for resource in Registry::builtin().table().all() {
            let row = resource.rules.row(&json!({ "metadata": { "name": "a" } }), Timestamp::UNIX_EPOCH);
            assert_eq!(resource.rules.columns().len(), row.len(), "{} {}", resource.group, resource.kind);
        }
    }
}
