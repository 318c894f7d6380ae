//! Pods as kubectl prints them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::terminating;
use crate::resources::print::{NONE, age, age_column, column, name, name_column, or_none, since, timestamp, wide};
use crate::resources::value::{has, int, items, text};
use crate::table::Column;

const RESTARTS: &str = "The number of times the containers in this pod have been restarted and when the last container in \
    this pod has restarted.";
const IP: &str =
    "podIP address allocated to the pod. Routable at least within the cluster. Empty if not yet allocated.";
const NODE: &str = "NodeName indicates in which node this pod is scheduled. If empty, this pod is a candidate for scheduling \
    by the scheduler defined in schedulerName. Once this field is set, the kubelet for this node becomes responsible \
    for the lifecycle of this pod. This field should not be used to express a desire for the pod to be scheduled on a \
    specific node. https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#nodename";
const NOMINATED: &str = "nominatedNodeName is set only when this pod preempts other pods on the node, but it cannot be \
    scheduled right away as preemption victims receive their graceful termination periods. This field does not \
    guarantee that the pod will be scheduled on this node. Scheduler may decide to place the pod elsewhere if other \
    nodes become available sooner. Scheduler may also decide to give the resources on this node to a higher priority \
    pod that is created after preemption. As a result, this field may be different than PodSpec.nodeName when the pod \
    is scheduled.";
const GATES: &str = "If specified, all readiness gates will be evaluated for pod readiness. A pod is ready when all its \
    containers are ready AND all conditions specified in the readiness gates have status equal to \"True\" More info: \
    https://git.k8s.io/enhancements/keps/sig-network/580-pod-readiness-gates";

pub(super) fn columns() -> Vec<Column> {
    vec![
        name_column(),
        column("Ready", "string", "The aggregate readiness state of this pod for accepting traffic."),
        column("Status", "string", "The aggregate status of the containers in this pod."),
        column("Restarts", "string", RESTARTS),
        age_column(),
        wide("IP", "string", IP),
        wide("Node", "string", NODE),
        wide("Nominated Node", "string", NOMINATED),
        wide("Readiness Gates", "string", GATES),
    ]
}

/// A pod whose containers are done is marked, so that kubectl can leave it out.
pub(super) fn row_conditions(pod: &Value) -> Vec<Value> {
    let (reason, message) = match text(&pod["status"], "phase") {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return Vec::new(),
    };
    vec![json!({"type": "Completed", "status": "True", "reason": reason, "message": message})]
}

/// What the containers of a pod add up to.
#[derive(Default)]
struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<Timestamp>,
    sidecar_restarts: i64,
    last_sidecar_restart: Option<Timestamp>,
}

pub(super) fn row(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = summarise(pod);
    let restarts = match summary.last_restart.filter(|_| summary.restarts != 0) {
        Some(time) => format!("{} ({} ago)", summary.restarts, since(&time.to_string().into(), now)),
        None => summary.restarts.to_string(),
    };
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let ip = items(status, "podIPs").first().map_or("", |ip| text(ip, "ip"));
    let gates = items(spec, "readinessGates");
    let open = gates.iter().filter(|gate| {
        let wanted = text(gate, "conditionType");
        items(status, "conditions").iter().any(|c| text(c, "type") == wanted && text(c, "status") == "True")
    });
    let gates = if gates.is_empty() { NONE.to_owned() } else { format!("{}/{}", open.count(), gates.len()) };
    vec![
        name(pod),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        restarts.into(),
        age(pod, now),
        or_none(ip),
        or_none(text(spec, "nodeName")),
        or_none(text(status, "nominatedNodeName")),
        gates.into(),
    ]
}

fn summarise(pod: &Value) -> Summary {
    let status = &pod["status"];
    let mut summary = Summary { total: items(&pod["spec"], "containers").len(), ..Summary::default() };
    let reason = text(status, "reason");
    if reason.is_empty() { text(status, "phase") } else { reason }.clone_into(&mut summary.reason);
    if let Some(condition) = condition(status, "PodScheduled").filter(|c| text(c, "reason") == "SchedulingGated") {
        text(condition, "reason").clone_into(&mut summary.reason);
    }
    let initialising = init_containers(pod, &mut summary);
    if !initialising || condition(status, "Initialized").is_some_and(|c| text(c, "status") == "True") {
        main_containers(status, &mut summary);
    }
    if terminating(pod) {
        if reason == "NodeLost" {
            "Unknown".clone_into(&mut summary.reason);
        } else if !matches!(text(status, "phase"), "Failed" | "Succeeded") {
            "Terminating".clone_into(&mut summary.reason);
        }
    }
    summary
}

fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    items(status, "conditions").iter().find(|c| text(c, "type") == kind)
}

/// Counts init containers; true while one of them is not done.
fn init_containers(pod: &Value, summary: &mut Summary) -> bool {
    let specs = items(&pod["spec"], "initContainers");
    let sidecar = |name: &str| specs.iter().any(|c| text(c, "name") == name && text(c, "restartPolicy") == "Always");
    summary.total += specs.iter().filter(|c| text(c, "restartPolicy") == "Always").count();
    for (i, container) in items(&pod["status"], "initContainerStatuses").iter().enumerate() {
        let restarts = int(container, "restartCount").unwrap_or_default();
        summary.restarts += restarts;
        let ended = timestamp(&container["lastState"]["terminated"]["finishedAt"]);
        summary.last_restart = summary.last_restart.max(ended);
        let state = &container["state"];
        let (terminated, waiting) = (&state["terminated"], &state["waiting"]);
        if sidecar(text(container, "name")) {
            summary.sidecar_restarts += restarts;
            summary.last_sidecar_restart = summary.last_sidecar_restart.max(ended);
            if container["started"] == true {
                summary.ready += usize::from(container["ready"] == true);
                continue;
            }
        }
        if !terminated.is_null() {
            if int(terminated, "exitCode") == Some(0) {
                continue;
            }
            summary.reason = format!("Init:{}", ending(terminated));
        } else if !matches!(text(waiting, "reason"), "" | "PodInitializing") {
            summary.reason = format!("Init:{}", text(waiting, "reason"));
        } else {
            summary.reason = format!("Init:{i}/{}", specs.len());
        }
        return true;
    }
    false
}

fn main_containers(status: &Value, summary: &mut Summary) {
    summary.restarts = summary.sidecar_restarts;
    summary.last_restart = summary.last_sidecar_restart;
    let mut running = false;
    for container in items(status, "containerStatuses").iter().rev() {
        summary.restarts += int(container, "restartCount").unwrap_or_default();
        let ended = timestamp(&container["lastState"]["terminated"]["finishedAt"]);
        summary.last_restart = summary.last_restart.max(ended);
        let state = &container["state"];
        if !text(&state["waiting"], "reason").is_empty() {
            text(&state["waiting"], "reason").clone_into(&mut summary.reason);
        } else if has(state, "terminated") {
            summary.reason = ending(&state["terminated"]);
        } else if container["ready"] == true && has(state, "running") {
            running = true;
            summary.ready += 1;
        }
    }
    if summary.reason == "Completed" && running {
        let ready = condition(status, "Ready").is_some_and(|c| text(c, "status") == "True");
        if ready { "Running" } else { "NotReady" }.clone_into(&mut summary.reason);
    }
}

/// Why a container ended.
fn ending(terminated: &Value) -> String {
    let (reason, signal) = (text(terminated, "reason"), int(terminated, "signal").unwrap_or_default());
    if !reason.is_empty() {
        reason.to_owned()
    } else if signal != 0 {
        format!("Signal:{signal}")
    } else {
        format!("ExitCode:{}", int(terminated, "exitCode").unwrap_or_default())
    }
}
