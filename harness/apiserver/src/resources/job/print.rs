//! Jobs as kubectl prints them.

use jiff::Timestamp;
use serde_json::Value;

use crate::resources::pod::terminating;
use crate::resources::print::{
    age, age_column, column, container_columns, containers, name, name_column, selector, timestamp, wide,
};
use crate::resources::value::{int, items, text};
use crate::table::{Column, human_duration};

const COMPLETIONS: &str = "The number of pods which reached phase Succeeded. The value increases monotonically for a given \
    spec. However, it may decrease in reaction to scale down of elastic indexed jobs.";
const SELECTOR: &str = "A label query over pods that should match the pod count. Normally, the system sets this field for \
    you. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors";

pub(super) fn columns() -> Vec<Column> {
    let mut columns = vec![
        name_column(),
        column("Status", "string", "Status of the job."),
        column("Completions", "string", COMPLETIONS),
        column("Duration", "string", "Time required to complete the job."),
        age_column(),
    ];
    columns.extend(container_columns());
    columns.push(wide("Selector", "string", SELECTOR));
    columns
}

pub(super) fn row(job: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&job["spec"], &job["status"]);
    let (names, images) = containers(&spec["template"]["spec"]);
    vec![
        name(job),
        state(job).into(),
        completions(spec, status).into(),
        duration(status, now).into(),
        age(job, now),
        names,
        images,
        selector(&spec["selector"]).into(),
    ]
}

fn completions(spec: &Value, status: &Value) -> String {
    let done = int(status, "succeeded").unwrap_or_default();
    if let Some(wanted) = int(spec, "completions") {
        return format!("{done}/{wanted}");
    }
    match int(spec, "parallelism").unwrap_or_default() {
        parallel if parallel > 1 => format!("{done}/1 of {parallel}"),
        _ => format!("{done}/1"),
    }
}

fn duration(status: &Value, now: Timestamp) -> String {
    let Some(start) = timestamp(&status["startTime"]) else { return String::new() };
    let end = timestamp(&status["completionTime"]).unwrap_or(now);
    human_duration(end.as_second() - start.as_second())
}

fn state(job: &Value) -> &'static str {
    let holds = |kind: &str| {
        items(&job["status"], "conditions").iter().any(|c| text(c, "type") == kind && text(c, "status") == "True")
    };
    if holds("Complete") {
        "Complete"
    } else if holds("Failed") {
        "Failed"
    } else if terminating(job) {
        "Terminating"
    } else if holds("Suspended") {
        "Suspended"
    } else if holds("FailureTarget") {
        "FailureTarget"
    } else if holds("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}
