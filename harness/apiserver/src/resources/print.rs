//! What the tables of several kinds share: headings, ages and short forms.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::value::{entries, items, text};
use crate::table::{Column, human_duration};

/// What kubectl prints where there is nothing.
pub(crate) const NONE: &str = "<none>";
/// What kubectl prints where nobody knows.
pub(crate) const UNKNOWN: &str = "<unknown>";

const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may \
    allow a client to request the generation of an appropriate name automatically. Name is primarily intended for \
    creation idempotence and configuration definition. Cannot be updated. More info: \
    https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const AGE: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not \
    guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is \
    represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// A column that is always printed.
pub(crate) fn column(name: &str, ty: &str, description: &str) -> Column {
    Column {
        name: name.to_owned(),
        ty: ty.to_owned(),
        format: String::new(),
        description: description.to_owned(),
        priority: 0,
        json_path: None,
    }
}

/// A column that `-o wide` adds.
pub(crate) fn wide(name: &str, ty: &str, description: &str) -> Column {
    Column { priority: 1, ..column(name, ty, description) }
}

/// The first column of nearly every kind.
pub(crate) fn name_column() -> Column {
    Column { format: "name".to_owned(), ..column("Name", "string", NAME) }
}

/// The age, which every kind prints somewhere.
pub(crate) fn age_column() -> Column {
    column("Age", "string", AGE)
}

/// The name, the columns given, the age.
pub(crate) fn between(columns: impl IntoIterator<Item = Column>) -> Vec<Column> {
    let mut all = vec![name_column()];
    all.extend(columns);
    all.push(age_column());
    all
}

/// The row of [`between`]: the name, the cells given, the age.
pub(crate) fn framed(object: &Value, now: Timestamp, cells: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let mut row = vec![name(object)];
    row.extend(cells);
    row.push(age(object, now));
    row
}

/// The object's name.
pub(crate) fn name(object: &Value) -> Value {
    text(&object["metadata"], "name").into()
}

/// How long the object has existed.
pub(crate) fn age(object: &Value, now: Timestamp) -> Value {
    since(&object["metadata"]["creationTimestamp"], now).into()
}

/// How long ago a timestamp was.
pub(crate) fn since(time: &Value, now: Timestamp) -> String {
    match timestamp(time) {
        Some(time) => human_duration(now.as_second() - time.as_second()),
        None => UNKNOWN.to_owned(),
    }
}

/// A timestamp of an object.
pub(crate) fn timestamp(time: &Value) -> Option<Timestamp> {
    time.as_str().and_then(|time| time.parse().ok())
}

/// A text, or `<none>`.
pub(crate) fn or_none(text: &str) -> Value {
    if text.is_empty() { NONE.into() } else { text.into() }
}

/// `key=value` of a map of labels, or `<none>`.
pub(crate) fn label_list(parent: &Value, key: &str) -> String {
    let pairs: Vec<String> =
        entries(parent, key).map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    if pairs.is_empty() { NONE.to_owned() } else { pairs.join(",") }
}

/// A label selector in the form people type.
pub(crate) fn selector(selector: &Value) -> String {
    if selector.is_null() {
        return NONE.to_owned();
    }
    let mut terms: Vec<(String, String)> = entries(selector, "matchLabels")
        .map(|(k, v)| (k.clone(), format!("{k}={}", v.as_str().unwrap_or_default())))
        .collect();
    for requirement in items(selector, "matchExpressions") {
        let key = text(requirement, "key");
        let mut values: Vec<&str> = items(requirement, "values").iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let term = match text(requirement, "operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        };
        terms.push((key.to_owned(), term));
    }
    terms.sort();
    let terms: Vec<String> = terms.into_iter().map(|(_, term)| term).collect();
    if terms.is_empty() { NONE.to_owned() } else { terms.join(",") }
}

/// Names and images of a template's containers.
pub(crate) fn containers(spec: &Value) -> (Value, Value) {
    let list = |field: &str| items(spec, "containers").iter().map(|c| text(c, field)).collect::<Vec<_>>().join(",");
    (list("name").into(), list("image").into())
}

/// The columns of [`containers`].
pub(crate) fn container_columns() -> [Column; 2] {
    [
        wide("Containers", "string", "Names of each container in the template."),
        wide("Images", "string", "Images referenced by each container in the template."),
    ]
}

/// A number of a status, zero where there is none.
pub(crate) fn count(object: &Value, key: &str) -> Value {
    json!(object[key].as_i64().unwrap_or_default())
}
