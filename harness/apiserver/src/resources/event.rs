//! Events, in both groups that serve them.

use jiff::Timestamp;
use serde_json::Value;

use super::metadata::refuse;
use super::names;
use super::print::{column, name, name_column, since, timestamp, wide};
use super::simple::{SIMPLE, Simple};
use super::value::{has, int, text};
use crate::field::FieldError;
use crate::table::Column;

const MAX_MESSAGE_BYTES: usize = 1024;
const MAX_INSTANCE_BYTES: usize = 128;

/// Names of the fields that the two groups call differently.
struct Dialect {
    about: &'static str,
    controller: &'static str,
    message: &'static str,
    source: &'static str,
    first: &'static str,
    last: &'static str,
    count: &'static str,
}

static CORE: Dialect = Dialect {
    about: "involvedObject",
    controller: "reportingComponent",
    message: "message",
    source: "source",
    first: "firstTimestamp",
    last: "lastTimestamp",
    count: "count",
};
static EVENTS: Dialect = Dialect {
    about: "regarding",
    controller: "reportingController",
    message: "note",
    source: "deprecatedSource",
    first: "deprecatedFirstTimestamp",
    last: "deprecatedLastTimestamp",
    count: "deprecatedCount",
};

/// What events are selected by; the newer group knows them by the older one's names, too.
const FIELDS: [&str; 19] = [
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingComponent",
    "reportingController",
    "source",
    "type",
];

/// Events of the core group.
pub(super) static CORE_EVENT: Simple = Simple {
    validate: |event, errors| legacy(event, &CORE, errors),
    fields: &FIELDS,
    convert: |event| translate(event, &EVENTS, &CORE),
    field,
    columns,
    row,
    ..SIMPLE
};

/// Events of `events.k8s.io`, which must say more.
pub(super) static NEW_EVENT: Simple = Simple {
    validate: |event, errors| {
        legacy(event, &EVENTS, errors);
        if !has(event, "eventTime") {
            errors.push(FieldError::required("eventTime", ""));
        }
        let kind = text(event, "type");
        if !matches!(kind, "Normal" | "Warning") {
            errors.push(FieldError::invalid("type", "", format!("has invalid value: {kind}")));
        }
        for (field, shown) in [(EVENTS.first, "firstTimestamp"), (EVENTS.last, "lastTimestamp")] {
            if has(event, field) {
                errors.push(FieldError::invalid(shown, "", "needs to be unset"));
            }
        }
        if int(event, EVENTS.count).is_some_and(|c| c != 0) {
            errors.push(FieldError::invalid("count", "", "needs to be unset"));
        }
    },
    change: |_, _, _| {},
    fields: &FIELDS,
    stored_as: Some(("", "events")),
    convert: |event| translate(event, &CORE, &EVENTS),
    field,
    columns,
    row,
    ..SIMPLE
};

/// What holds for events of every age. Errors name the core group's fields, whichever was asked.
fn legacy(event: &Value, dialect: &Dialect, errors: &mut Vec<FieldError>) {
    const NAMESPACE: &str = "involvedObject.namespace";
    let about = text(&event[dialect.about], "namespace");
    let namespace = text(&event["metadata"], "namespace");
    let mismatch = if has(event, "eventTime") {
        about.is_empty() && !matches!(namespace, "default" | "kube-system")
    } else if about.is_empty() {
        !matches!(namespace, "" | "default")
    } else {
        about != namespace
    };
    if mismatch {
        errors.push(FieldError::invalid(NAMESPACE, about, "does not match event.namespace"));
    }
    if !has(event, "eventTime") {
        return;
    }
    let (controller, instance) = (text(event, dialect.controller), text(event, "reportingInstance"));
    if controller.is_empty() {
        errors.push(FieldError::required(dialect.controller, ""));
    }
    refuse(errors, dialect.controller, controller, names::qualified(controller));
    if instance.is_empty() {
        errors.push(FieldError::required("reportingInstance", ""));
    }
    if instance.len() > MAX_INSTANCE_BYTES {
        let detail = format!("can have at most {MAX_INSTANCE_BYTES} characters");
        errors.push(FieldError::invalid("reportingInstance", "", detail));
    }
    for field in ["action", "reason"] {
        let value = text(event, field);
        if value.is_empty() {
            errors.push(FieldError::required(field, ""));
        } else if value.len() > MAX_INSTANCE_BYTES {
            let detail = format!("can have at most {MAX_INSTANCE_BYTES} characters");
            errors.push(FieldError::invalid(field, "", detail));
        }
    }
    if text(event, dialect.message).len() > MAX_MESSAGE_BYTES {
        let detail = format!("can have at most {MAX_MESSAGE_BYTES} characters");
        errors.push(FieldError::invalid("message", "", detail));
    }
}

/// The names that an event's own fields have; both groups store in one place, each in its own words.
fn dialect_of(event: &Value) -> &'static Dialect {
    if event.get(EVENTS.about).is_some() { &EVENTS } else { &CORE }
}

/// Renames the fields that the two groups call differently.
fn translate(event: &mut Value, from: &Dialect, to: &Dialect) {
    let Some(fields) = event.as_object_mut() else { return };
    let names = |d: &Dialect| [d.about, d.controller, d.message, d.source, d.first, d.last, d.count];
    for (from, to) in names(from).into_iter().zip(names(to)) {
        if let Some(value) = fields.remove(from) {
            fields.insert(to.to_owned(), value);
        }
    }
}

fn field(event: &Value, path: &str) -> Option<String> {
    const OF_OBJECT: [&str; 7] = ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"];
    let dialect = dialect_of(event);
    let of_object = path.strip_prefix("involvedObject.").or_else(|| path.strip_prefix("regarding."));
    let value = match (of_object, path) {
        (Some(of_object), _) if OF_OBJECT.contains(&of_object) => text(&event[dialect.about], of_object),
        (_, "reason") => text(event, "reason"),
        (_, "type") => text(event, "type"),
        (_, "reportingComponent" | "reportingController") => text(event, dialect.controller),
        (_, "source") => match text(&event[dialect.source], "component") {
            "" => text(event, dialect.controller),
            component => component,
        },
        _ => return None,
    };
    Some(value.to_owned())
}

fn columns() -> Vec<Column> {
    vec![
        column("Last Seen", "string", "The time at which the most recent occurrence of this event was recorded."),
        column("Type", "string", "Type of this event (Normal, Warning), new types could be added in the future"),
        column(
            "Reason",
            "string",
            "This should be a short, machine understandable string that gives the reason for the transition into the \
             object's current status.",
        ),
        column("Object", "string", "The object that this event is about."),
        wide(
            "Subobject",
            "string",
            "If referring to a piece of an object instead of an entire object, this string should contain a valid \
             JSON/Go field access statement, such as desiredState.manifest.containers[2]. For example, if the object \
             reference is to a container within a pod, this would take on a value like: \"spec.containers{name}\" \
             (where \"name\" refers to the name of the container that triggered the event) or if no container name is \
             specified \"spec.containers[2]\" (container with index 2 in this pod). This syntax is chosen only to have \
             some well-defined way of referencing a part of an object.",
        ),
        wide(
            "Source",
            "string",
            "The component reporting this event. Should be a short machine understandable string.",
        ),
        column("Message", "string", "A human-readable description of the status of this operation."),
        wide(
            "First Seen",
            "string",
            "The time at which the event was first recorded. (Time of server receipt is in TypeMeta.)",
        ),
        wide("Count", "string", "The number of times this event has occurred."),
        Column { priority: 1, ..name_column() },
    ]
}

fn row(event: &Value, now: Timestamp) -> Vec<Value> {
    let dialect = dialect_of(event);
    let about = &event[dialect.about];
    let kind = text(about, "kind").to_lowercase();
    let object = match text(about, "name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let source = match (text(&event[dialect.source], "component"), text(&event[dialect.source], "host")) {
        ("", _) => text(event, dialect.controller).to_owned(),
        (component, "") => component.to_owned(),
        (component, host) => format!("{component}, {host}"),
    };
    let or_event_time =
        |field: &str| if timestamp(&event[field]).is_some() { &event[field] } else { &event["eventTime"] };
    let series = &event["series"];
    let last = if has(series, "lastObservedTime") { &series["lastObservedTime"] } else { or_event_time(dialect.last) };
    let count = int(series, "count").or_else(|| int(event, dialect.count)).filter(|c| *c != 0).unwrap_or(1);
    vec![
        since(last, now).into(),
        text(event, "type").into(),
        text(event, "reason").into(),
        object.into(),
        text(about, "fieldPath").into(),
        source.into(),
        text(event, dialect.message).trim().into(),
        since(or_event_time(dialect.first), now).into(),
        count.to_string().into(),
        name(event),
    ]
}
