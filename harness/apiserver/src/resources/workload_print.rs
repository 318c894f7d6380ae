//! Workloads as kubectl prints them.

use jiff::Timestamp;
use serde_json::Value;

use super::print::{
    NONE, age, age_column, column, container_columns, containers, count, label_list, name, name_column, selector,
    since, wide,
};
use super::value::{flag, int, items, text};
use crate::table::Column;

const DESIRED: &str = "Replicas is the number of desired pods. This is a pointer to distinguish between explicit zero and \
    unspecified. Defaults to 1. More info: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset";
const CURRENT: &str = "Replicas is the most recently observed number of non-terminating pods. More info: \
    https://kubernetes.io/docs/concepts/workloads/controllers/replicaset";
const NODE_SELECTOR: &str = "NodeSelector is a selector which must be true for the pod to fit on a node. Selector which must \
    match a node's labels for the pod to be scheduled on that node. More info: \
    https://kubernetes.io/docs/concepts/configuration/assign-pod-node/";
const SCHEDULED: &str = "The total number of nodes that should be running the daemon pod (including nodes correctly running \
    the daemon pod). More info: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/";
const RUNNING: &str = "The number of nodes that are running at least 1 daemon pod and are supposed to run the daemon pod. More \
    info: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/";
const TIME_ZONE: &str = "The time zone name for the given schedule, see \
    https://en.wikipedia.org/wiki/List_of_tz_database_time_zones. If not specified, this will default to the time zone \
    of the kube-controller-manager process. The set of valid time zone names and the time zone offset is loaded from \
    the system-wide time zone database by the API server during CronJob validation and the controller manager during \
    execution. If no system-wide time zone database can be found a bundled version of the database is used instead. If \
    the time zone name becomes invalid during the lifetime of a CronJob or due to a change in host configuration, the \
    controller will stop creating new new Jobs and will create a system event with the reason UnknownTimeZone. More \
    information can be found in \
    https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#time-zones";

/// Names, images and selector of the pods, for `-o wide`.
fn pods(selector_text: &str) -> Vec<Column> {
    let mut columns = Vec::from(container_columns());
    columns.push(wide("Selector", "string", selector_text));
    columns
}

fn pods_row(spec: &Value) -> [Value; 3] {
    let (names, images) = containers(&spec["template"]["spec"]);
    [names, images, selector(&spec["selector"]).into()]
}

fn with_pods(mut columns: Vec<Column>, selector_text: &str) -> Vec<Column> {
    columns.extend(pods(selector_text));
    columns
}

pub(super) fn deployment_columns() -> Vec<Column> {
    let ready = "Number of the pod with ready state";
    let columns = vec![
        name_column(),
        column("Ready", "string", ready),
        column(
            "Up-to-date",
            "string",
            "Total number of non-terminating pods targeted by this deployment that have the desired template spec.",
        ),
        column(
            "Available",
            "string",
            "Total number of available non-terminating pods (ready for at least minReadySeconds) targeted by this deployment.",
        ),
        age_column(),
    ];
    let selector = "Label selector for pods. Existing ReplicaSets whose pods are selected by this will be the ones \
                    affected by this deployment. It must match the pod template's labels.";
    with_pods(columns, selector)
}

pub(super) fn deployment_row(deployment: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&deployment["spec"], &deployment["status"]);
    let ready = int(status, "readyReplicas").unwrap_or_default();
    let mut row = vec![
        name(deployment),
        format!("{ready}/{}", int(spec, "replicas").unwrap_or_default()).into(),
        count(status, "updatedReplicas"),
        count(status, "availableReplicas"),
        age(deployment, now),
    ];
    row.extend(pods_row(spec));
    row
}

pub(super) fn replica_set_columns() -> Vec<Column> {
    let columns = vec![
        name_column(),
        column("Desired", "integer", DESIRED),
        column("Current", "integer", CURRENT),
        column(
            "Ready",
            "integer",
            "The number of non-terminating pods targeted by this ReplicaSet with a Ready Condition.",
        ),
        age_column(),
    ];
    let selector = "Selector is a label query over pods that should match the replica count. Label keys and values that \
                    must match in order to be controlled by this replica set. It must match the pod template's labels. \
                    More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors";
    with_pods(columns, selector)
}

pub(super) fn replica_set_row(set: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&set["spec"], &set["status"]);
    let mut row = vec![
        name(set),
        count(spec, "replicas"),
        count(status, "replicas"),
        count(status, "readyReplicas"),
        age(set, now),
    ];
    row.extend(pods_row(spec));
    row
}

/// As a set's, but for its selector, which is a map of labels.
pub(super) fn replication_controller_row(controller: &Value, now: Timestamp) -> Vec<Value> {
    let mut row = replica_set_row(controller, now);
    row.pop();
    row.push(label_list(&controller["spec"], "selector").into());
    row
}

pub(super) fn stateful_set_columns() -> Vec<Column> {
    let mut columns =
        vec![name_column(), column("Ready", "string", "Number of the pod with ready state"), age_column()];
    columns.extend(container_columns());
    columns
}

pub(super) fn stateful_set_row(set: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&set["spec"], &set["status"]);
    let (names, images) = containers(&spec["template"]["spec"]);
    let ready = int(status, "readyReplicas").unwrap_or_default();
    let ready = format!("{ready}/{}", int(spec, "replicas").unwrap_or_default());
    vec![name(set), ready.into(), age(set, now), names, images]
}

pub(super) fn daemon_set_columns() -> Vec<Column> {
    let columns = vec![
        name_column(),
        column("Desired", "integer", SCHEDULED),
        column("Current", "integer", RUNNING),
        column(
            "Ready",
            "integer",
            "numberReady is the number of nodes that should be running the daemon pod and have one or more of the daemon pod running with a Ready Condition.",
        ),
        column("Up-to-date", "integer", "The total number of nodes that are running updated daemon pod"),
        column(
            "Available",
            "integer",
            "The number of nodes that should be running the daemon pod and have one or more of the daemon pod running and available (ready for at least spec.minReadySeconds)",
        ),
        column("Node Selector", "string", NODE_SELECTOR),
        age_column(),
    ];
    let selector = "A label query over pods that are managed by the daemon set. Must match in order to be controlled. It \
                    must match the pod template's labels. More info: \
                    https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors";
    with_pods(columns, selector)
}

pub(super) fn daemon_set_row(set: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&set["spec"], &set["status"]);
    let mut row = vec![name(set)];
    for field in
        ["desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable"]
    {
        row.push(count(status, field));
    }
    row.push(label_list(&spec["template"]["spec"], "nodeSelector").into());
    row.push(age(set, now));
    row.extend(pods_row(spec));
    row
}

pub(super) fn cron_job_columns() -> Vec<Column> {
    let columns = vec![
        name_column(),
        column("Schedule", "string", "The schedule in Cron format, see https://en.wikipedia.org/wiki/Cron."),
        column("Timezone", "string", TIME_ZONE),
        column(
            "Suspend",
            "boolean",
            "This flag tells the controller to suspend subsequent executions, it does not apply to already started executions.  Defaults to false.",
        ),
        column("Active", "integer", "A list of pointers to currently running jobs."),
        column("Last Schedule", "string", "Information when was the last time the job was successfully scheduled."),
        age_column(),
    ];
    let selector = "A label query over pods that should match the pod count. Normally, the system sets this field for \
                    you. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors";
    with_pods(columns, selector)
}

pub(super) fn cron_job_row(cron: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&cron["spec"], &cron["status"]);
    let last = &status["lastScheduleTime"];
    let zone = text(spec, "timeZone");
    let suspended = if flag(spec, "suspend") { "True" } else { "False" };
    let mut row = vec![
        name(cron),
        text(spec, "schedule").into(),
        (if zone.is_empty() { NONE } else { zone }).into(),
        suspended.into(),
        items(status, "active").len().into(),
        (if last.is_null() { NONE.to_owned() } else { since(last, now) }).into(),
        age(cron, now),
    ];
    row.extend(pods_row(&spec["jobTemplate"]["spec"]));
    row
}

pub(super) fn budget_columns() -> Vec<Column> {
    vec![
        name_column(),
        column("Min Available", "string", "The minimum number of pods that must be available."),
        column("Max Unavailable", "string", "The maximum number of pods that may be unavailable."),
        column("Allowed Disruptions", "integer", "Calculated number of pods that may be disrupted at this time."),
        age_column(),
    ]
}

pub(super) fn budget_row(budget: &Value, now: Timestamp) -> Vec<Value> {
    let amount = |field: &str| match &budget["spec"][field] {
        Value::Null => Value::from("N/A"),
        Value::String(text) => text.as_str().into(),
        number => number.to_string().into(),
    };
    vec![
        name(budget),
        amount("minAvailable"),
        amount("maxUnavailable"),
        count(&budget["status"], "disruptionsAllowed"),
        age(budget, now),
    ]
}
