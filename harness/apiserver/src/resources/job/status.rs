//! What is wrong with a change of a Job's status: what is finished stays finished, and the numbers agree.

use serde_json::Value;

use crate::field::{FieldError, Kind};
use crate::resources::metadata::NOT_NEGATIVE;
use crate::resources::print::timestamp;
use crate::resources::value::{flag, has, int, items, text};

/// What of a Job's status changed, since most rules only hold what is new to account.
struct Change<'a> {
    spec: &'a Value,
    old: &'a Value,
    new: &'a Value,
}

impl Change<'_> {
    fn of(&self, field: &str) -> bool {
        self.old[field] != self.new[field]
    }

    fn of_condition(&self, kind: &str) -> bool {
        holds(self.old, kind) != holds(self.new, kind)
    }

    fn finishes(&self) -> bool {
        finished(self.old) != finished(self.new)
    }
}

fn holds(status: &Value, kind: &str) -> bool {
    items(status, "conditions").iter().any(|c| text(c, "type") == kind && text(c, "status") == "True")
}

fn finished(status: &Value) -> bool {
    holds(status, "Complete") || holds(status, "Failed")
}

fn number(status: &Value, field: &str) -> i64 {
    int(status, field).unwrap_or_default()
}

/// A contradiction between conditions; there is no one value to show.
fn conditions(detail: impl Into<String>) -> FieldError {
    FieldError { kind: Kind::Invalid, field: "status.conditions".to_owned(), value: None, detail: detail.into() }
}

pub(super) fn validate(new: &Value, old: &Value) -> Vec<FieldError> {
    let change = Change { spec: &new["spec"], old: &old["status"], new: &new["status"] };
    let mut errors = Vec::new();
    counters(&change, &mut errors);
    contradictions(&change, &mut errors);
    times(&change, &mut errors);
    finish(&change, &mut errors);
    indexes(&change, &mut errors);
    regress(&change, &mut errors);
    errors
}

fn counters(change: &Change<'_>, errors: &mut Vec<FieldError>) {
    for field in ["active", "succeeded", "failed", "ready", "terminating"] {
        if number(change.new, field) < 0 {
            errors.push(FieldError::invalid(format!("status.{field}"), number(change.new, field), NOT_NEGATIVE));
        }
    }
    if (change.of("ready") || change.of("active"))
        && int(change.new, "ready").is_some_and(|ready| ready > number(change.new, "active"))
    {
        let detail = "cannot set more ready pods than active";
        errors.push(FieldError::invalid("status.ready", number(change.new, "ready"), detail));
    }
}

fn contradictions(change: &Change<'_>, errors: &mut Vec<FieldError>) {
    let is = |kind: &str| holds(change.new, kind);
    let (complete, failed, target, met) = (is("Complete"), is("Failed"), is("FailureTarget"), is("SuccessCriteriaMet"));
    let completes = change.of_condition("Complete");
    let fails = change.of_condition("Failed");
    let rules = [
        ((completes || fails) && complete && failed, "cannot set Complete=True and Failed=true conditions"),
        (
            (completes || change.of_condition("FailureTarget")) && complete && target,
            "cannot set Complete=True and FailureTarget=true conditions",
        ),
        (fails && failed && !target, "cannot set Failed=True condition without the FailureTarget=true condition"),
        (
            completes && complete && !met,
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        ),
        (met && failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
        (met && target, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
        (
            has(change.spec, "successPolicy") && !met && complete,
            "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
        ),
        (
            holds(change.old, "Complete") && !holds(change.old, "SuccessCriteriaMet") && met,
            "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions",
        ),
    ];
    errors.extend(rules.into_iter().filter(|(broken, _)| *broken).map(|(_, detail)| conditions(detail)));
}

fn times(change: &Change<'_>, errors: &mut Vec<FieldError>) {
    const COMPLETION: &str = "status.completionTime";
    let complete = holds(change.new, "Complete");
    let (start, end) = (&change.new["startTime"], &change.new["completionTime"]);
    if change.of_condition("Complete") || change.of("completionTime") {
        if !end.is_null() && !complete {
            let detail = "cannot set completionTime when there is no Complete=True condition";
            errors.push(FieldError::invalid(COMPLETION, end.clone(), detail));
        }
        if end.is_null() && complete {
            errors.push(FieldError::required(COMPLETION, "completionTime is required for Complete jobs"));
        }
    }
    if (change.of("startTime") || change.of("completionTime"))
        && let (Some(start), Some(ended)) = (timestamp(start), timestamp(end))
        && ended < start
    {
        errors.push(FieldError::invalid(COMPLETION, end.clone(), "completionTime cannot be set before startTime"));
    }
    if !end.is_null() && has(change.old, "completionTime") && change.of("completionTime") {
        errors.push(FieldError::invalid(COMPLETION, end.clone(), "completionTime cannot be mutated"));
    }
    if has(change.old, "startTime") && change.of("startTime") && !flag(change.spec, "suspend") {
        errors.push(FieldError::required("status.startTime", "startTime cannot be removed for unsuspended job"));
    }
}

fn finish(change: &Change<'_>, errors: &mut Vec<FieldError>) {
    if !finished(change.new) {
        return;
    }
    let looked_at = |field: &str| change.finishes() || change.of(field);
    for field in ["active", "terminating"] {
        if looked_at(field) && number(change.new, field) > 0 {
            let detail = format!("{field}>0 is invalid for finished job");
            errors.push(FieldError::invalid(format!("status.{field}"), number(change.new, field), detail));
        }
    }
    if looked_at("startTime") && !has(change.new, "startTime") {
        errors.push(FieldError::required("status.startTime", "startTime is required for finished job"));
    }
    let uncounted = &change.new["uncountedTerminatedPods"];
    let any = !items(uncounted, "failed").is_empty() || !items(uncounted, "succeeded").is_empty();
    if looked_at("uncountedTerminatedPods") && any {
        let detail = "uncountedTerminatedPods needs to be empty for finished job";
        errors.push(FieldError::invalid("status.uncountedTerminatedPods", uncounted.clone(), detail));
    }
}

fn indexes(change: &Change<'_>, errors: &mut Vec<FieldError>) {
    let completed = text(change.new, "completedIndexes");
    if change.of("completedIndexes") && !completed.is_empty() && text(change.spec, "completionMode") != "Indexed" {
        let detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
        errors.push(FieldError::invalid("status.completedIndexes", completed, detail));
    }
    if change.of("failedIndexes") && has(change.new, "failedIndexes") && !has(change.spec, "backoffLimitPerIndex") {
        let detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        errors.push(FieldError::invalid("status.failedIndexes", text(change.new, "failedIndexes"), detail));
    }
}

/// Nothing that has ended begins again.
fn regress(change: &Change<'_>, errors: &mut Vec<FieldError>) {
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if holds(change.old, kind) && !holds(change.new, kind) {
            errors.push(conditions(format!("cannot disable the terminal {kind}=True condition")));
        }
    }
    if holds(change.old, "SuccessCriteriaMet") && !holds(change.new, "SuccessCriteriaMet") {
        errors.push(conditions("cannot disable the SuccessCriteriaMet=True condition"));
    }
    let elastic =
        text(change.spec, "completionMode") == "Indexed" && change.spec["completions"] == change.spec["parallelism"];
    for field in ["failed", "succeeded"] {
        let less = number(change.new, field) < number(change.old, field);
        if less && !(elastic && field == "succeeded") {
            let detail = format!("cannot decrease the {field} counter");
            errors.push(FieldError::invalid(format!("status.{field}"), number(change.new, field), detail));
        }
    }
}
